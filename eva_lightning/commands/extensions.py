"""Extensions: what a config may name bare, because the file that defines it was read.

No registry: a class is known by its name once its module is. Files of a user's own are named by their path.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pkgutil import walk_packages

AGENT = ("agent.worlds", "agent.tools", "agent.dialects")
LIGHT = (*AGENT, "engines.server_engine")
"""What an agent may be made of in commands that may do without torch; other engines are named by path."""
EVERY = (*AGENT, "engines", "rewards")
"""Parts of the core whose classes a config of a stage may name."""


def name_extensions(parts: Sequence[str] = EVERY) -> None:
    """Read all files of these parts. vLLM itself is imported where an engine starts, not here."""
    for name in parts:
        part = import_module(f"eva_lightning.{name}")
        for file in walk_packages(getattr(part, "__path__", ()), f"{part.__name__}."):
            if file.name != "eva_lightning.engines.vllm.shared_memory":  # vLLM's own process reads it
                import_module(file.name)
