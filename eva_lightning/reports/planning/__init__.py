"""Planning: what a run would take, before it is launched.

An architecture is counted on the meta device (architectures.py), a config says what is asked of it
(asked.py), and the rest is arithmetic: bytes on a card (memory.py), tokens, seconds and money (work.py). It
may use the policy's room below, and reads no weights. To add a strategy, say in memory.py what a rank holds.
"""
