"""Worlds: what an agent can perceive, frames, sounds or words.

They use video and records, and see clips, never tasks, so that no gold answer can leak. To add one,
subclass `World` in base.py; `describe` and `look` are all it must have. A world of words says
`has_pictures = False` and gives no size; one that can `tell` may be asked by the tools that want words.
"""
