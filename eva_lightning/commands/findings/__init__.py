"""Findings: what is believed about training, as data, and how it is tried on a laptop for `eva tunnel`.

A finding names ways of training that begin with one policy, and the measures that are compared. Ways are
taught by the commands of a course (`courses/school.py`); nothing here knows an objective or a reward. To try
an idea of your own, write a config like those in configs/tunnel/.
"""
