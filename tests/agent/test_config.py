"""AgentConfig: what it says of itself is the same in the run that goes on."""

import json
import threading

from eva_lightning.agent import AgentConfig, Limits
from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.agent.worlds.noisy import Noisy
from eva_lightning.agent.worlds.script_world import ScriptWorld
from eva_lightning.video.sampling import Budget


class Locked(FrameSelect):
    """A tool that holds what no file can hold, itself included."""

    def __init__(self, side=56):
        super().__init__(Budget(tokens=500))
        self.side, self.lock, self.other, self._lock = side, threading.Lock(), self, threading.Lock()


def test_facts_are_plain_equal_for_equal_agents_and_other_for_others():
    one, again, other = (AgentConfig(tools=[Locked(side)]).facts() for side in (56, 56, 84))
    assert json.loads(json.dumps(one)) == one == again != other
    (tool,) = one["tools"]
    assert tool["side"] == 56 and tool["budget"]["tokens"] == 500 and "_lock" not in tool
    assert "0x" not in json.dumps(one)


def test_facts_have_dotted_names():
    facts = AgentConfig(limits=Limits(turns=3)).facts()
    assert (facts["limits.turns"], facts["dialect.class"], facts["overview"]) == (3, "EvaDialect", None)


def test_facts_tell_which_scripts_a_world_is_made_of(tmp_path):
    for name in ("one", "two"):
        script = {"clip": "a", "duration": 9.0, "events": [{"start": 0.0, "end": 9.0, "see": "rain"}]}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(script) + "\n")
    one, two = (ScriptWorld(str(tmp_path / f"{name}.jsonl"), fps=5) for name in ("one", "two"))
    facts = AgentConfig(world=one).facts()
    assert facts["world"] == "ScriptWorld" and facts["world.fps"] == 5
    assert facts != AgentConfig(world=two).facts()
    noisy, calm = (AgentConfig(world=Noisy(one, wrong=rate)).facts() for rate in (0.1, 0.0))
    assert noisy["world.of.scripts"] == str(tmp_path / "one.jsonl")
    assert {name for name in noisy if noisy[name] != calm[name]} == {"world.wrong"}
    assert json.loads(json.dumps(noisy)) == noisy
