"""What follows a scene is asked and told about the same scenes as when it is shown."""

import pytest

from eva_lightning.commands.courses.grounder import ASKED, GROUNDING, SLIPS
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.synthesis.questions import ask
from eva_lightning.data.synthesis.script import ScriptSettings, write_script
from eva_lightning.data.synthesis.what_follows import Teller, asked
from eva_lightning.scoring import score

SETTINGS = ScriptSettings(duration=(180, 600), event=(70, 150), fps=1, gop=1, height=112, width=112)
SCRIPTS = [write_script(seed, SETTINGS) for seed in range(30)]


def questions(kind):
    return [
        asked(task, one, kind)
        for one in SCRIPTS
        for task in ask(one, 0, per_family=8, open_share=1.0, **ASKED)
    ]


def worth(rate, kind):
    """What the answers of a teacher are worth who slips as often."""
    tasks = questions(kind)
    teacher = Teller(SCRIPTS, tasks, GROUNDING.dialect, 0, rate=rate, slips=SLIPS)
    made = teach("teacher", teacher, tasks, 1, GROUNDING, 0, told=SCRIPTS)
    return sum(score(one.task, one.answer).value for one in made) / len(made)


def test_what_follows_a_background_is_the_one_shown_where_it_ends():
    scripts = {one.id: one for one in SCRIPTS}
    tasks = questions("answers")
    assert len(tasks) > 60
    for task in tasks:
        script, (shown, after) = scripts[task.clips[0].id], task.evidence
        colour = script.at(int(shown.start)).see.background
        assert task.question == f"Which background comes right after the {colour} one?"
        assert shown.end == after.start
        assert task.answer.value == script.at(int(shown.end)).see.background != colour


@pytest.mark.parametrize("kind, good, sloppy", [("grounding", 0.85, 0.6), ("answers", 1.0, 0.8)])
def test_who_looks_there_is_right_and_who_looks_elsewhere_is_not(kind, good, sloppy):
    assert worth(0.0, kind) >= good
    assert worth(1.0, kind) < sloppy
