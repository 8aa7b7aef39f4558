"""Exchange: trajectories as other trainers' chat data, and their chat data as trajectories.

Ours come back to the last token id; those of others come without ids. To add a form, write a file that
turns a `Conversation` into a row and back, and name it in row_forms.py.
"""
