"""What acts: a rollout over worlds (what is seen), tools (what can be done) and dialects (how it is said).

It stands on engines and knows no reward, no data and no torch. To add a world, a tool or a dialect, subclass
one of the names below in a file of your own and give its `class_path` in a config; docs/your-own-tool.md is
an example.
"""

from eva_lightning.agent.config import AgentConfig
from eva_lightning.agent.dialects.base import Dialect, Parsed
from eva_lightning.agent.overview import Overview
from eva_lightning.agent.rollout import Agent, Job, Limits, jobs_for, rollout
from eva_lightning.agent.tools.base import Findings, Tool
from eva_lightning.agent.worlds.base import ClipFacts, Glimpse, Look, Sound, World

__all__ = [
    "Agent",
    "AgentConfig",
    "ClipFacts",
    "Dialect",
    "Findings",
    "Glimpse",
    "Job",
    "Limits",
    "Look",
    "Overview",
    "Parsed",
    "Sound",
    "Tool",
    "World",
    "jobs_for",
    "rollout",
]
