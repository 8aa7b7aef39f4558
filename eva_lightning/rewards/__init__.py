"""Rewards: what is good, a number with a reason for each trajectory.

They use scoring, agents and engines, and know no trainer. To add one, subclass `Reward` in base.py and name
it by `class_path`; a fault is never scored.
"""
