"""Teaching: a teacher is briefed, its calls are audited, its attempts filtered, its bill kept.

It alone outside the agent's room knows EVA's tool by name, because its rules are about that tool's
arguments. To add a hint, add words to hints.py; to add a rule, a function to audits.py.
"""
