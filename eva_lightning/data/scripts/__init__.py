"""Scripts: clips that exist as words alone, and questions across several of them, to train in a text world.

An author (any engine, or a seeded grammar) writes a story for an order; it is read strictly, checked, and
assembled into a task with evidence. To add a kind of question, add a `ScriptSpec` to kinds.py and, for use
without a server, a function to grammar.py; nothing else knows the kinds.
"""
