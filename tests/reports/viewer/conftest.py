"""Trajectories to view: the sloppy teacher and the oracle on a small real world, and one that is out to do
harm."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.sloppy import SloppyTeacher
from eva_lightning.data.synthesis.teachers import Oracle
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.files.store import portable, write
from eva_lightning.records import (
    Answer,
    Clip,
    Message,
    Observation,
    Score,
    Task,
    ToolCall,
    Trajectory,
    Turn,
)

HARM = '</script><script>window.ran = 1</script><img src=x onerror="window.ran = 2">\u2028&lt;i&gt;\u2029<!--'
"""What would run if it were ever read as HTML, or as JavaScript with a line end in a string."""


@dataclass(frozen=True, kw_only=True)
class Taught:
    """Two runs over the same tasks, with files whose clips lie beside them."""

    folder: Path
    sloppy: list[Trajectory]
    oracle: list[Trajectory]


@pytest.fixture(scope="session")
def taught(tmp_path_factory):
    folder = tmp_path_factory.mktemp("viewed")
    files = build_world(folder, 4, ScriptSettings(duration=(30, 40)), families=["colour_at", "when"])
    dialect = EvaDialect(timestamps="seconds")
    teachers = {
        "sloppy": SloppyTeacher(files.scripts, files.tasks, dialect, seed=0, rate=0.7),
        "oracle": Oracle(files.scripts, files.tasks, dialect),
    }
    made = {name: teach(name, one, files.tasks, 2, dialect, 0) for name, one in teachers.items()}
    for name, ones in made.items():
        write(folder / f"{name}.jsonl", [portable(one, folder) for one in ones])
    return Taught(folder=folder, **made)


@pytest.fixture(scope="session")
def harmful():
    """A trajectory whose every text tries to leave its place in the page."""
    call = ToolCall(name=HARM, arguments={"start_time": HARM, "end_time": [HARM], "video": HARM}, text=HARM)
    return Trajectory(
        task=Task(
            id=HARM,
            source=HARM,
            clips=(Clip(id=HARM, path=f"{HARM}.mp4"),),
            question=HARM,
            options=(HARM, "b"),
            answer=Answer(kind="choice", value="A"),
        ),
        prompt=(Message(role="user", parts=(HARM,)),),
        turns=[
            Turn(text=f"see {HARM}", calls=(call,), observation=Observation(parts=(HARM,), error=HARM)),
            Turn(text=f"<answer>{HARM}</answer>", token_ids=[1, 2], logprobs=[-0.5, -3.0]),
        ],
        stop="answered",
        answer=HARM,
        faults=[HARM],
        scores={HARM: Score(value=0.25, weight=2.0, reason=HARM)},
        seed=2**62 + 1,
    )
