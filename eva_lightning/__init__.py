"""eva_lightning: train video agents that plan before they look. The core is plain Python and torch."""

__version__ = "0.1.0"
