"""The searcher finds out when to look in the looks that it claims; scripts stand in for rendered clips."""

import re

import pytest

from eva_lightning.agent.config import default_dialect
from eva_lightning.data.synthesis.parts import part_of
from eva_lightning.data.synthesis.questions import ask
from eva_lightning.data.synthesis.reading import Sight
from eva_lightning.data.synthesis.script import Scene, ScriptSettings, write_script
from eva_lightning.data.synthesis.search_reading import listed
from eva_lightning.data.synthesis.searcher import Searcher
from eva_lightning.data.synthesis.searches import SEARCHES
from eva_lightning.scoring import score
from eva_lightning.video.sampling import spread
from tests.data.synthesis.told import attempts

DIALECT = default_dialect(seconds=True)


def searched(duration, event, clips, side=112, fps=5):
    """What the searcher does with a world of such clips, and their scripts by id."""
    settings = ScriptSettings(duration=duration, event=event, height=side, width=side, fps=fps)
    scripts = [write_script(seed, settings) for seed in range(clips)]
    tasks = [task for script in scripts for task in ask(script, 1, list(SEARCHES), per_family=4)]
    teacher = Searcher(scripts, tasks, DIALECT)
    return attempts(teacher, scripts, tasks), {script.id: script for script in scripts}, teacher.shortest


@pytest.fixture(scope="module")
def two_scans_suffice():
    """A first scan's steps are longer than the shortest event, and half of them is shorter."""
    return searched((320, 500), (25, 100), 60)


@pytest.mark.parametrize(
    ("duration", "event", "side", "fps"),
    [
        ((60, 120), (6, 20), 112, 5),
        ((60, 600), (15, 60), 224, 1),
        ((400, 600), (16, 90), 112, 30),
        ((100, 300), (8, 30), 252, 25),
    ],
)
def test_every_question_is_answered_rightly_proven_and_on_all_of_its_evidence(duration, event, side, fps):
    made, _, _ = searched(duration, event, 40, side, fps)
    assert {one.task.source for one in made} == set(SEARCHES) and len(made) > 200
    for one in made:
        assert score(one.task, one.answer).value == 1, (one.task, [turn.text for turn in one.turns])
        assert "that proves it" in one.turns[-1].text
        assert one.evidence_met == one.task.evidence
        assert one.rounds <= 6


def test_who_is_told_how_short_an_event_can_be_does_not_ask_the_scripts():
    """A part of a clip begins and ends inside of events, which then look short."""
    scripts = [part_of(write_script(seed, LONG), 5, 175) for seed in range(60)]
    assert min(script.shortest for script in scripts) < 6
    tasks = [task for script in scripts for task in ask(script, 1, ["right_after"], per_family=4)]
    made = attempts(Searcher(scripts, tasks, DIALECT, shortest=12), scripts, tasks)
    two_looks = [one for one in made if one.rounds == 3]
    # The last second of a part is all that there is of a scene now and then, and no frame shows it.
    assert len(made) > 20 and len(two_looks) > 0.95 * len(made)
    assert all(score(one.task, one.answer).value == 1 for one in two_looks)


LONG = ScriptSettings(duration=(180, 240), event=(12, 24), height=112, width=112)


def test_holes_here_and_there_in_a_first_scan_take_one_more_look():
    """Frames of a scan of 56 s stand 5.0 or 5.2 s apart, and the shortest event lasts 5 s."""
    settings = ScriptSettings(duration=(56, 58), event=(5, 10), height=112, width=112)
    scripts = [write_script(seed, settings) for seed in range(60)]
    tasks = [task for script in scripts for task in ask(script, 1, ["how_often"], per_family=4)]
    made = attempts(Searcher(scripts, tasks, DIALECT), scripts, tasks)
    assert len(made) > 8 and {one.rounds for one in made} == {3}
    assert all(score(one.task, one.answer).value == 1 for one in made)


def first_scan(script):
    return [int(time * script.fps + 1e-6) / script.fps for time in spread(0, script.duration - 1, 12)]


def claimed(task, script, shortest):
    """The looks it should take, worked out from the seconds that a first scan shows."""
    times = first_scan(script)
    met = [[time for time in times if one.start <= time < one.end] for one in task.evidence]
    if task.source == "plate_while":
        return 2 if met[0] else 3
    if task.source == "right_after":
        after = min([time for time in times if met[0] and time > met[0][-1]], default=0)
        return 1 if met[0] and after - met[0][-1] <= shortest else 2
    if task.source == "signpost":
        return 2
    return 1 if task.source == "first_of_two" and all(met) else 2


def test_it_takes_the_looks_that_it_claims(two_scans_suffice):
    made, scripts, shortest = two_scans_suffice
    seen = set()
    for one in made:
        looks = claimed(one.task, scripts[one.task.clips[0].id], shortest)
        assert one.rounds - 1 == looks, (one.task, [turn.text for turn in one.turns])
        seen.add((one.task.source, looks))
    assert seen >= {("plate_while", 2), ("plate_while", 3), ("right_after", 2), ("first_of_two", 2)}


def test_it_spends_as_few_frames_as_there_can_be(two_scans_suffice):
    for one in two_scans_suffice[0]:
        small = [frame for frame in one.frames if frame.width == 28]
        large = [frame for frame in one.frames if frame.width == 112]
        assert len(small) + len(large) == len(one.frames)
        assert len(large) == (one.task.source in ("plate_while", "signpost"))
        if one.task.source == "signpost":
            assert len(small) == 1 and one.rounds == 3
        if one.rounds == 3 and one.task.source == "plate_while":
            assert len(small) == 12 and one.visual_tokens == 12 + 16
        if one.task.source == "first_of_two":
            assert len(small) in (12, 23)  # 11 between the 12


def test_what_it_says_is_what_the_labelled_frames_show(two_scans_suffice):
    made, scripts, _ = two_scans_suffice
    for one in made:
        script = scripts[one.task.clips[0].id]
        if one.task.source == "signpost":
            assert re.match(pointed(one.task, script), one.turns[1].text)
            continue
        for turn, following in zip(one.turns, one.turns[1:], strict=False):
            frames = turn.observation.frames
            words = following.text.removeprefix("Summary: ").partition(";")[0]
            said = re.sub(r"[=>]\d+", "", words).split()
            read = dict(zip(map(int, said[::2]), said[1::2], strict=True))
            shown = {int(frame.time + 0.05): script.at(frame.time).see.background for frame in frames}
            assert read.items() >= shown.items()
            assert len(read) == len(shown) or one.task.source == "how_often"
        if one.task.source == "how_often":
            assert str(len(one.task.evidence)) == str(int(float(gold(one.task))))


def pointed(task, script):
    """What the second turn says after a look at the signpost."""
    colour = script.at(task.extra["signpost"]).see.background
    second = task.extra["means"][colour]
    return f"Summary: {colour} means {second}. Plan: one large frame there.\n.*: {second}, "


def gold(task):
    return task.options[task.letters.index(task.answer.value)] if task.options else task.answer.value


def test_a_listing_names_every_second_once_with_what_it_shows():
    script = write_script(1, ScriptSettings(duration=(60, 60)))
    first, second = script.events[:2]
    times = [0.0, 2.0, second.start + 0.2, second.start + 0.4, second.start + 3.0]
    before, after = first.see.background, second.see.background
    seen = [Sight(time=time, scene=script.at(time).see) for time in times]
    assert listed(seen) == f"0 {before} 2 {before} {second.start} {after} {second.start + 3} {after}"


def test_a_listing_marks_where_an_asked_background_begins_and_where_it_is_over():
    blue, red, cyan = (Scene(background=one, shape="disc", ink="white", mark="rows") for one in COLOURS)
    seen = [Sight(time=float(20 * i), scene=scene) for i, scene in enumerate([blue, red, red, cyan, red])]
    assert listed(seen, ["red"]) == "0 blue 20 red=20 40 red 60 cyan>60 80 red=80"
    assert listed(seen, ["blue", "red"]) == "0 blue=0 20 red=20 40 red 60 cyan>60 80 red=80"


COLOURS = ("blue", "red", "cyan")
