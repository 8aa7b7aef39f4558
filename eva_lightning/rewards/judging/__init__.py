"""Judging: a model's opinion as a verdict: a rubric asks, a judge answers, rulings are kept.

No verdict is never a verdict: what can not be read or reached is told apart. To judge something else, write
a `Rubric`.
"""
