"""Engines: who writes the turns, in one process, in others, behind HTTP, or from a script.

They use the policy and records, and the agent loop can not tell one from another. To add one, subclass
`Engine` in base.py (one coroutine, `write`), or `RefreshedEngine` if it writes with a copy of the weights.
"""
