"""What lies beside a file of trajectories says how they were made; what a user says himself comes first."""

import json
from dataclasses import replace

import pytest
import yaml

from eva_lightning.agent.config import AgentConfig, default_dialect
from eva_lightning.agent.overview import Overview
from eva_lightning.agent.rollout import Limits
from eva_lightning.commands.recorded_settings import as_recorded, recorded_settings
from eva_lightning.faults import UsageError

MADE_WITH = AgentConfig(
    temperature=0.5,
    limits=Limits(turns=3),
    dialect=default_dialect(seconds=True),
    overview=Overview(frames=4),
)


def test_a_collection_s_settings_make_the_agent_again(tmp_path):
    facts = {f"agent.{name}": value for name, value in MADE_WITH.facts().items()}
    (tmp_path / "a.settings.json").write_text(json.dumps({"model": "m", **facts}))
    file, known = recorded_settings(tmp_path / "a.jsonl")
    agent, others = as_recorded(AgentConfig(), known)
    assert file.name == "a.settings.json" and others == []
    assert agent.facts() == MADE_WITH.facts()


def test_what_is_said_holds_and_is_told():
    said = AgentConfig(temperature=0.0, limits=Limits(turn_tokens=8))
    agent, others = as_recorded(said, MADE_WITH.facts() | {"tools": ["Other"]})
    assert (agent.temperature, agent.limits) == (0.0, Limits(turns=3, turn_tokens=8))
    assert [one.partition(" was ")[0] for one in others] == ["tools", "limits.turn_tokens", "temperature"]
    assert others[2] == "temperature was 0.5 and is 0.0"


@pytest.mark.parametrize(("folder", "temperature"), [("trajectories", 0.5), ("evaluations", 0.25)])
def test_a_fit_s_config_does_so_too(tmp_path, folder, temperature):
    said = {
        "temperature": 0.5,
        "limits": {"turns": 3},
        "overview": {"frames": 4, "resize": 1.0, "tokens": 12000},
        "dialect": {"class_path": "EvaDialect", "init_args": {"timestamps": "seconds"}},
    }
    written = {"model": {"init_args": {"agent": said, "evaluation": {"temperature": 0.25}}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(written))
    file, known = recorded_settings(tmp_path / folder / "iteration-000010.jsonl")
    agent, others = as_recorded(AgentConfig(), known)
    assert file == tmp_path / "config.yaml" and others == []
    assert agent.facts() == replace(MADE_WITH, temperature=temperature).facts()


def test_a_benchmark_s_settings_tell_temperature_and_limits(tmp_path):
    written = {"temperature": 0.5, "limits": vars(Limits(turns=3)), "tools": ["FrameSelect()"]}
    (tmp_path / "settings.json").write_text(json.dumps(written | {"overview": None}))
    agent, others = as_recorded(AgentConfig(), recorded_settings(tmp_path / "trajectories.jsonl")[1])
    assert (agent.temperature, agent.limits.turns, others) == (0.5, 3, [])


def test_nothing_beside_is_nothing_known_and_nonsense_is_refused(tmp_path):
    assert recorded_settings(tmp_path / "run" / "a.jsonl") is None
    (tmp_path / "a.settings.json").write_text("[1]")
    with pytest.raises(UsageError, match="a.settings.json: holds no settings"):
        recorded_settings(tmp_path / "a.jsonl")
