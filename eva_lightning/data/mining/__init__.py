"""Mining: what a policy fails at becomes new tasks of the same kind, checked before they join.

An author writes (the embedded world, or a teacher), checks.py refuses, harvest.py is the only way into the
pool. To add an author, subclass `TaskAuthor` in author.py.
"""
