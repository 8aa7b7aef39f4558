"""Dialects: how calls, answers and observations are spelled, a class for each family of checkpoints.

They use tools' findings and manuals and decide no meaning. To add one, subclass `Dialect` in base.py; a
test puts the example of every tool through it.
"""
