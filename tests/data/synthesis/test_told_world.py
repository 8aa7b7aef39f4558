"""A told world is the rendered one without its pixels: teachers do the same in both."""

import pytest

from eva_lightning.agent.config import AgentConfig, default_dialect
from eva_lightning.agent.overview import Overview
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.synthesis.parts import lessons
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.searches import ALL_FAMILIES
from eva_lightning.data.synthesis.sloppy_searcher import SloppySearcher
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.files.store import located

DIALECT = default_dialect(seconds=True)


@pytest.fixture(scope="module", params=[1, 5])
def files(request, tmp_path_factory):
    """Clips of 1 or 5 frames a second, with whatever can be asked of them."""
    folder = tmp_path_factory.mktemp("told")
    settings = ScriptSettings(duration=(60, 90), event=(6, 12), fps=request.param, height=112, width=112)
    made = build_world(folder, 3, settings, families=tuple(ALL_FAMILIES), per_family=3, seed=4, held_out=0)
    return folder, made


@pytest.mark.parametrize("overview", [None, Overview(frames=7)])
def test_every_trajectory_is_that_over_the_files(files, overview):
    _, made = files
    teacher = SloppySearcher(made.scripts, made.tasks, DIALECT, 2, rate=0.6)
    agent = AgentConfig(dialect=DIALECT, overview=overview)
    shown = teach("shown", teacher, made.tasks, 1, agent, 5)
    told = teach("told", teacher, made.tasks, 1, agent, 5, told=made.scripts)
    assert len(told) > 30 and sum(len(one.frames) for one in told) > 200
    assert told == shown


def test_so_is_every_trajectory_over_parts_of_files(files):
    folder, made = files
    pairs = list(lessons(made.scripts, 1, 20, (20, 60), families=("right_after", "plate_while")))
    tasks = [located(task, folder) for _, task in pairs]
    scripts = [part for part, _ in pairs]
    teacher = SloppySearcher(scripts, tasks, DIALECT, 2, rate=0.6)
    shown = teach("shown", teacher, tasks, 1, DIALECT, 5)
    told = teach("told", teacher, tasks, 1, DIALECT, 5, told=[*made.scripts, *scripts])
    assert told == shown
