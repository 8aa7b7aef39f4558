"""Intake: other people's questions become tasks, whatever file they come in.

A table is read row by row (tables.py), a shape says which column is what (row_shape.py), and a row that can
not be asked is put aside with its cause. To take in a new data set, write a config with a shape; code is
rarely needed.
"""
