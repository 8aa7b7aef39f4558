"""Two clips and a question about one: one look is enough, and a sloppy teacher fails as told."""

import asyncio

import pytest

from eva_lightning.agent import AgentConfig, jobs_for, rollout
from eva_lightning.agent.dialects.react import ReActDialect
from eva_lightning.agent.tools.observe import Observe
from eva_lightning.agent.worlds.script_world import ScriptWorld
from eva_lightning.data.synthesis.in_words import in_words
from eva_lightning.data.synthesis.script import ScriptSettings, write_script
from eva_lightning.data.synthesis.two_clips import WordTeacher, two_clips
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.scoring import score

SCRIPTS = [write_script(seed, ScriptSettings(duration=(40, 90))) for seed in range(6)]
TASKS = two_clips(SCRIPTS, 60, seed=1)
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


def test_the_clip_that_is_named_shows_it_and_the_other_one_does_not():
    known = {script.id: script for script in SCRIPTS}
    for one in TASKS:
        (evidence,) = one.evidence
        shown = {clip.id: known[clip.path[6:-4]].at(evidence.start).see.shape for clip in one.clips}
        assert f"video {evidence.clip} show at second {evidence.start:g}?" in one.question
        assert shown.pop(evidence.clip) == one.answer.value not in shown.values()
    assert sum(one.evidence[0].clip == "a" for one in TASKS) == 30
    assert TASKS == two_clips(SCRIPTS, 60, seed=1) != two_clips(SCRIPTS, 60, seed=2)


def test_the_teacher_is_right_in_turns_of_good_form_and_meets_the_evidence():
    for one in acted():
        assert score(one.task, one.answer).correct and len(one.evidence_met) == 1
        assert [DIALECT.flaw(turn.text) for turn in one.turns] == [None, None]


def test_a_sloppy_one_looks_elsewhere_too_often_or_not_at_all():
    """One way of four is right all the same, and a guess is right one time in four: 0.44 of 60, about 26."""
    made = acted(sloppy=1.0)
    right = [score(one.task, one.answer).correct for one in made]
    assert 14 < sum(right) < 40 and 5 < sum(one.rounds == 1 for one in made) < 25
    dense = [ok for one, ok in zip(made, right, strict=True) if '"frames": 4' in one.turns[0].text]
    assert len(dense) > 5 and all(dense)


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
