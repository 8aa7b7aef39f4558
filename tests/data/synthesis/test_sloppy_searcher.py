"""Each mistake of the sloppy searcher is what it claims to be, and the rules that mark attempts agree."""

from collections import Counter
from itertools import chain

import pytest

from eva_lightning.agent.config import default_dialect
from eva_lightning.data.selection.feedback import FeedbackRules, mark
from eva_lightning.data.synthesis.questions import ask
from eva_lightning.data.synthesis.script import ScriptSettings, write_script
from eva_lightning.data.synthesis.searcher import Searcher
from eva_lightning.data.synthesis.searches import SCAN, SEARCHES
from eva_lightning.data.synthesis.sloppy_searcher import SEARCH_MISTAKES, SloppySearcher
from eva_lightning.engines.base import Context
from eva_lightning.scoring import score
from tests.data.synthesis.told import attempts

DIALECT = default_dialect(seconds=True)
SETTINGS = ScriptSettings(duration=(150, 240), event=(12, 40), height=112, width=112)  # two scans suffice
SCRIPTS = [write_script(seed, SETTINGS) for seed in range(50)]
TASKS = [task for script in SCRIPTS for task in ask(script, 1, list(SEARCHES), per_family=3)]


def sloppy(*mistakes, rate=1.0, seed=1):
    return SloppySearcher(SCRIPTS, TASKS, DIALECT, seed, rate=rate, mistakes=mistakes or SEARCH_MISTAKES)


@pytest.fixture(scope="module")
def good():
    return attempts(Searcher(SCRIPTS, TASKS, DIALECT), SCRIPTS, TASKS)


def where_possible(mistake, made, teacher):
    """The attempts in which the mistake is made, by family."""
    asked = [Context(messages=(), ids=(), pixels=lambda _: None, task_id=one.task.id) for one in made]
    found = {family: [] for family in SEARCHES}
    for one, context in zip(made, asked, strict=True):
        if teacher.mistake(context) == mistake:
            found[one.task.source].append(one)
    return {family: ones for family, ones in found.items() if ones}


def outside(frames, spans):
    return not any(span.start <= frame.time < span.end for frame in frames for span in spans)


def looks_like(mistake, one, best):
    """Whether an attempt shows this mistake, by its frames and turns alone."""
    evidence, source = one.task.evidence, one.task.source
    match mistake:
        case "guess":
            return one.rounds == 1 and not one.frames
        case "hasty":
            if source == "signpost":  # at one of the roads, and not at the post
                return one.rounds == 2 and one.frames[0].time in one.task.extra["means"].values()
            return (one.rounds == 2 and len(one.frames) == SCAN) or one.turns == best.turns
        case "thin":
            return (one.rounds == 2 and len(one.frames) in (2, 3)) or len(one.turns[0].observation.frames) < 4
        case "flood":
            return one.visual_tokens > 2 * best.visual_tokens or source == "how_often"
        case "blurred":
            return (
                max(frame.width for frame in one.frames) < 56 and one.frames[-1].time == best.frames[-1].time
            )
        case "garbled":
            return DIALECT.parse(one.turns[0].text).problem and one.turns[-1].text.endswith(
                best.answer + "</answer>"
            )
        case _:
            last = one.turns[-2].observation.frames
            wrong = last[:1] if source == "right_after" else last
            return outside(wrong, evidence[:1] if source == "right_after" else evidence)


@pytest.mark.parametrize("mistake", SEARCH_MISTAKES)
def test_each_mistake_shows_in_the_frames_and_costs_what_it_should(mistake, good):
    teacher = sloppy(mistake)
    best = {one.task.id: one for one in good}
    found = where_possible(mistake, attempts(teacher, SCRIPTS, TASKS), teacher)
    missing = {
        "blurred": set(SEARCHES) - {"plate_while", "signpost"},
        "hasty": {"first_of_two"},
        "thin": {"signpost"},
    }
    assert set(found) == set(SEARCHES) - missing.get(mistake, set())
    for family, ones in found.items():
        for one in ones:
            assert looks_like(mistake, one, best[one.task.id]), [turn.text for turn in one.turns]
        right = sum(score(one.task, one.answer).correct for one in ones) / len(ones)
        if mistake in ("flood", "garbled"):
            assert right == 1
        elif mistake == "hasty" and family != "plate_while":
            assert 0.3 < right < 0.95, (family, right)  # a scan steps over things; one road is right
        else:
            assert right < (0.75 if family == "first_of_two" else 0.5), (family, right)


@pytest.mark.parametrize("mistake", SEARCH_MISTAKES)
def test_the_marks_say_what_was_wrong_unless_luck_hides_it(mistake, good):
    teacher = sloppy(mistake)
    found = where_possible(mistake, attempts(teacher, SCRIPTS, TASKS), teacher)
    usual = [one for one in good for _ in range(3)]
    made = list(chain(*found.values()))
    marks = mark([*usual, *made], FeedbackRules())[len(usual) :]
    causes = Counter(one.cause for one in marks if one.trajectory.task.source == "plate_while")
    lucky = [
        one
        for one in marks
        if one.cause == "good" and not score(one.trajectory.task, one.trajectory.answer).correct
    ]
    assert not lucky
    expected = {
        "guess": {"wrong", "blind"},
        "flood": {"dense", "wasteful"},
        "garbled": {"malformed"},
        "thin": {"wrong", "sparse", "off evidence"},
    }
    if mistake in expected:
        assert set(causes) <= expected[mistake]
    else:
        assert causes["wrong"] > 0.6 * causes.total()


def test_what_is_not_sloppy_is_marked_good(good):
    causes = Counter(one.cause for one in mark(good, FeedbackRules()))
    assert causes["good"] > 0.95 * len(good) and set(causes) <= {"good", "wasteful"}


def test_without_a_rate_it_is_the_searcher(good):
    assert [one.turns for one in attempts(sloppy(rate=0.0), SCRIPTS, TASKS)] == [one.turns for one in good]


def test_attempts_are_seeded_and_differ_and_about_the_wanted_share_has_each_mistake():
    teacher, again, other = sloppy(rate=0.6), sloppy(rate=0.6), sloppy(rate=0.6, seed=2)
    asked = [
        Context(messages=(), ids=(), pixels=lambda _: None, task_id=task.id, place=place)
        for task in TASKS
        for place in range(3)
    ]
    made = [teacher.mistake(context) for context in asked]
    assert made == [again.mistake(context) for context in asked]
    assert made != [other.mistake(context) for context in asked]
    kinds = Counter(made)
    assert kinds.pop(None) / len(made) == pytest.approx(0.4, abs=0.05)
    assert set(kinds) == set(SEARCH_MISTAKES) and min(kinds.values()) > 0.03 * len(made)
    few = TASKS[:20]
    first = [one.turns for one in attempts(teacher, SCRIPTS, few, 3)]
    assert first == [one.turns for one in attempts(again, SCRIPTS, few, 3)]
    assert len({str(turns) for turns in first}) > len(few)


def test_questions_that_need_no_search_are_the_sloppy_teachers():
    tasks = [task for script in SCRIPTS[:5] for task in ask(script, 1, ["mark_at"], per_family=4)]
    teacher = SloppySearcher(SCRIPTS, tasks, DIALECT, 1, rate=1.0, mistakes=["guess"])
    assert {one.rounds for one in attempts(teacher, SCRIPTS, tasks)} == {1}
    with pytest.raises(ValueError, match=r"a rate of 1\.5"):
        sloppy(rate=1.5)
