"""Data: where training data comes from, and which of it is worth training on.

Six rooms that hardly know each other; all of them use agents, engines and rewards, and none knows a report.
What comes out is always tasks or trajectories, as records.
"""
