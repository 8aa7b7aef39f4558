"""The settings with which a file of trajectories was made, as far as they lie beside it.

`eva collect` and `eva test` leave them as JSON, a fit its config. What a user says himself comes first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from eva_lightning.agent.config import AgentConfig, default_dialect, flat
from eva_lightning.agent.overview import Overview
from eva_lightning.agent.rollout import Limits
from eva_lightning.faults import UsageError

SPELLED = ("dialect", "tools")
"""What `eva test` says in words, by which nothing can be made again."""


def recorded_settings(file: Path) -> tuple[Path, dict[str, Any]] | None:
    """The file of settings, and what stands in it by the names of `AgentConfig.facts`; None without one."""
    for beside in (file.with_suffix(".settings.json"), file.parent / "settings.json"):
        if beside.is_file():
            found = flat({name: value for name, value in _read(beside).items() if name not in SPELLED})
            return beside, {name.removeprefix("agent."): value for name, value in found.items()}
    config = file.parent.parent / "config.yaml"  # of the run, above trajectories/ and evaluations/
    return (config, _of_a_fit(_read(config), file)) if config.is_file() else None


def _read(file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as problem:
        raise UsageError(f"{file}: can not be read ({problem}); move it away, and say the settings") from None
    if not isinstance(found, dict):
        raise UsageError(f"{file}: holds no settings; move it away, and say them")
    return found


def _of_a_fit(config: Mapping[str, Any], file: Path) -> dict[str, Any]:
    module = config.get("model", {}).get("init_args", {})
    agent = dict(module.get("agent") or {})
    dialect = agent.pop("dialect", None) or {}
    known = {f"dialect.{name}": value for name, value in (dialect.get("init_args") or {}).items()}
    if file.parent.name == "evaluations":
        agent["temperature"] = (module.get("evaluation") or {}).get("temperature", 0.0)
    known |= flat({name: agent.get(name) or {} for name in ("limits", "overview")})
    return known | ({"temperature": agent["temperature"]} if "temperature" in agent else {})


def as_recorded(agent: AgentConfig, known: Mapping[str, Any]) -> tuple[AgentConfig, list[str]]:
    """The agent with what was recorded where nothing else is said; and what is another now, in words."""
    usual, said = AgentConfig().facts(), agent.facts()

    def taken(name: str) -> bool:
        return name in known and said.get(name) == usual.get(name)

    limits = {one.name: known[f"limits.{one.name}"] for one in fields(Limits) if taken(f"limits.{one.name}")}
    agent = replace(agent, limits=replace(agent.limits, **limits))
    if taken("temperature"):
        agent = replace(agent, temperature=known["temperature"])
    if agent.dialect is None and known.get("dialect.timestamps") == "seconds":
        agent = replace(agent, dialect=default_dialect(seconds=True))
    if agent.overview is None and known.get("overview.frames"):
        told = {one.name: f"overview.{one.name}" for one in fields(Overview)}
        shown = {name: known[where] for name, where in told.items() if where in known}
        agent = replace(agent, overview=Overview(**shown))
    now = agent.facts()
    return agent, [
        f"{name} was {json.dumps(known[name])} and is {json.dumps(now[name])}"
        for name in now
        if name in known and known[name] != now[name]
    ]
