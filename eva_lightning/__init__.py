"""The core of eva_lightning: video agents that plan before they look, in plain Python and torch.

Its parts stand in one order, and each knows those before it only: records, faults, timecode, device <
files, video, objectives, scoring < policy, ranks < engines < agent < rewards < data < reports < commands <
cli. Lightning's side (modules, datamodules, callbacks, configs) stands on it and imports under the same
name. To add a capability, add files to the room that fits.
"""

__version__ = "0.2.0"
