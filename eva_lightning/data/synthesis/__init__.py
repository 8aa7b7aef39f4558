"""Synthesis: the embedded world, clips that are drawn, questions whose evidence is known, and teachers.

It uses the agent's defaults and video, and no model. To add a family of questions, add a function to
families.py that says what is asked, what is right, and where it is seen.
"""
