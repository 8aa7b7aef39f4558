"""Manuals: what a tool says of itself is what its own checks and every dialect accept."""

import asyncio
import inspect
import subprocess
import sys

import pytest

from eva_lightning.agent import Dialect, Tool
from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.dialects.eva_official import OfficialEvaDialect
from eva_lightning.agent.tools.clip_frames import ClipFrames
from eva_lightning.agent.tools.clip_words import ClipAnswer, ClipCaption
from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.agent.tools.frame_select_official import OfficialFrameSelect
from eva_lightning.commands.extensions import name_extensions
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.records import Clip, Task
from tests.making import StillWorld


def below(kind):
    """Every class of ours that a config can name."""
    name_extensions()
    found = [one for child in kind.__subclasses__() for one in (child, *below(child))]
    ours = [
        one for one in found if one.__module__.startswith("eva_lightning.") and not inspect.isabstract(one)
    ]
    return sorted(set(ours), key=lambda one: one.__name__)


def made(tool):
    """A tool as it is; those that ask an engine have one that says yes."""
    asks = "engine" in inspect.signature(tool).parameters
    return tool(ScriptedEngine(lambda context: "yes")) if asks else tool()


ONE, TWO = ("v",), ("left", "right")
USES = [
    (dialect, clips, tool)
    for dialect in below(Dialect)
    for clips in (ONE, TWO)
    for tool in below(Tool)
    # its script knows one video and one tool
    if dialect is not OfficialEvaDialect or (clips is ONE and issubclass(tool, FrameSelect))
]


@pytest.mark.parametrize(("dialect", "clips", "tool"), USES)
def test_the_example_of_every_tool_is_read_back_by_every_dialect_and_runs(dialect, tool, clips):
    speech, deed = dialect(), made(tool)
    (call,) = speech.parse(speech.call(deed.name, **deed.example(clips))).calls
    assert (call.name, dict(call.arguments)) == (deed.name, dict(deed.example(clips)))
    assert speech.call(deed.name, **deed.example(clips)) in speech.manual([deed], clips)
    there = tuple(Clip(id=clip, path=f"{clip}.mp4") for clip in clips)
    found = asyncio.run(deed.run(call, there, StillWorld(duration=100.0), 30_000))
    assert found.spans and {span.clip for span in found.spans} <= set(clips)


def test_there_are_tools_and_dialects_to_look_at():
    assert {FrameSelect, OfficialFrameSelect, ClipFrames, ClipCaption, ClipAnswer} <= set(
        below(Tool)
    ) and EvaDialect in below(Dialect)


def test_a_model_that_knows_no_tool_is_told_of_them_in_its_system_message():
    task = Task(id="t", clips=(Clip(id="v"),), question="Where?")
    facts = [StillWorld().facts]
    plain, told = EvaDialect(), EvaDialect(explain_tools=True)
    system = told.opening(task, facts, tools=[FrameSelect()])[0].text
    assert "- nframes: how many frames, spread evenly over the window." in system
    assert system.startswith(plain.opening(task, facts, tools=[FrameSelect()])[0].text)


def test_an_agent_of_one_s_own_begins_with_one_import_and_no_torch():
    code = (
        "import sys; from eva_lightning.agent import Tool, World, Dialect, Findings;"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
