"""Viewer: one HTML page to read trajectories in a browser, with what was watched and when.

page.py makes a single file of plain values, so that no text of a model can act. To show more of a
trajectory, add it to detail.py and to trajectory.js.
"""
