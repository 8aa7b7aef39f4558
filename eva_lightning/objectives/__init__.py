"""Objectives: losses, advantages and credit, as pure functions over flat tensors and records.

They know no model and no trainer; sums are divided by global counts that are given. To add an advantage,
subclass `Advantage` in advantages.py; to add a loss, write a function of log-probs that returns a sum and a
`Tally`.
"""
