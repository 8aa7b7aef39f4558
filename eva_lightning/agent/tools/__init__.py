"""Tools: what an agent can do. A tool checks what the model asked for and puts it to a world.

They use worlds and know no dialect. To add one, subclass `Tool` in base.py: a name, a manual, an example,
and `run`; docs/your-own-tool.md walks through it.
"""
