"""Selection: which attempts and tasks are worth learning from, and why.

`outcome.py` reads once how an attempt ended and `density.py` what is too dense; marks for KTO, sifting of
tasks and filters of teachers stand on both. To add a rule, add it here, and not to one of its readers.
"""
