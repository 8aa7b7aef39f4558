"""Two clips and a question: one of them is right, one look is enough, and a sloppy teacher fails as told."""

import asyncio

import pytest

from eva_lightning.agent import AgentConfig, jobs_for, rollout
from eva_lightning.agent.dialects.react import ReActDialect
from eva_lightning.agent.tools.observe import Observe
from eva_lightning.agent.worlds.script_world import ScriptWorld
from eva_lightning.data.synthesis.in_words import in_words
from eva_lightning.data.synthesis.script import ScriptSettings, write_script
from eva_lightning.data.synthesis.which_clip import WordTeacher, which_clip
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.scoring import score

SCRIPTS = [write_script(seed, ScriptSettings(duration=(40, 90))) for seed in range(6)]
TASKS = which_clip(SCRIPTS, 60, seed=1)
DIALECT = ReActDialect()


def acted(**teacher):
    world = ScriptWorld.of(map(in_words, SCRIPTS))
    engine = ScriptedEngine(WordTeacher(TASKS, DIALECT, **teacher))
    agent = AgentConfig(dialect=DIALECT, tools=[Observe()], world=world).agent(engine)
    return asyncio.run(rollout(jobs_for(TASKS), agent))


def test_a_script_in_words_has_all_its_events_and_sounds():
    script = SCRIPTS[0]
    words = in_words(script)
    assert [words.at(n).see for n in range(script.duration)] == [
        script.at(n).see.sentence for n in range(script.duration)
    ]
    cues = [event.hear for event in script.events if event.hear]
    assert [one.hear for one in words.heard(0, script.duration)] == [cue.name for cue in cues]
    assert [one.hear for one in words.heard(cues[0].at, cues[0].at)] == [cues[0].name]


def test_exactly_one_clip_shows_it_and_it_is_the_first_as_often_as_the_second():
    known = {script.id: script for script in SCRIPTS}
    for one in TASKS:
        at, shape = one.extra["at"], one.extra["shape"]
        shown = [known[clip.path[6:-4]].at(at).see.shape == shape for clip in one.clips]
        assert shown == [one.answer.value == letter for letter in "AB"]
    assert sum(one.answer.value == "A" for one in TASKS) == 30
    assert TASKS == which_clip(SCRIPTS, 60, seed=1) != which_clip(SCRIPTS, 60, seed=2)


def test_the_teacher_is_right_in_turns_of_good_form_and_meets_all_the_evidence():
    for one in acted():
        assert score(one.task, one.answer).correct and len(one.evidence_met) == 2
        assert [DIALECT.flaw(turn.text) for turn in one.turns] == [None, None]


def test_a_sloppy_one_looks_elsewhere_at_too_much_or_not_at_all():
    made = acted(sloppy=1.0)
    right = sum(score(one.task, one.answer).correct for one in made)
    assert 15 < right < 50 and any(one.rounds == 1 for one in made)
    assert any("0.0 to" in one.messages[3].text for one in made if one.rounds == 2)


def test_it_speaks_other_dialects_without_its_thoughts():
    from eva_lightning.agent.dialects.vital import VitalDialect

    (one,) = TASKS[:1]
    dialect = VitalDialect()
    world = ScriptWorld.of(map(in_words, SCRIPTS))
    agent = AgentConfig(dialect=dialect, tools=[Observe()], world=world).agent(
        ScriptedEngine(WordTeacher(TASKS, dialect))
    )
    (made,) = asyncio.run(rollout(jobs_for([one]), agent))
    assert score(one, made.answer).correct


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_makes_the_same_mistakes(seed):
    assert acted(sloppy=0.5, seed=seed) == acted(sloppy=0.5, seed=seed)
