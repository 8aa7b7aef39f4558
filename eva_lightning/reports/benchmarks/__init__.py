"""Benchmarks: a name, a table of questions, a folder of videos, published numbers; and what came of it.

Answers are written as they come (recorder.py), one row a question (result.py), and told with what was
published. To add a benchmark, write a config.
"""
