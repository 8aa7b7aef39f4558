"""Files: records on disk, whole or not at all.

JSON and back (encoding), JSONL (store), the settings a run began with, locks, and writing that leaves no
halves. They use records and faults only, and no torch. A new record needs no code here: its type hints say
all.
"""
