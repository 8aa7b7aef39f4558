"""Diagnosis: what `eva doctor` finds out about an installation and an engine.

It compares an engine's log-probs with the trainer's on conversations with and without frames. To add a
check, return one more finding.
"""
