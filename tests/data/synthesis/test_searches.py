"""Questions of a search: answers are read off a book of seconds, and a coarse scan misses its share."""

import re
from collections import Counter
from itertools import groupby

import pytest

from eva_lightning.data.synthesis.questions import ask
from eva_lightning.data.synthesis.script import BACKGROUNDS, MARKS, ScriptSettings, write_script
from eva_lightning.data.synthesis.searches import SCAN, SEARCHES
from eva_lightning.scoring import canonical, renderings, score
from eva_lightning.video.sampling import spread

SETTINGS = ScriptSettings(duration=(60, 600), event=(6, 60))
SCRIPTS = [write_script(seed, SETTINGS) for seed in range(200)]


def asked(families, **settings):
    return [(task, one) for one in SCRIPTS for task in ask(one, 3, families, per_family=4, **settings)]


def runs(script):
    """Stretches of seconds of one background: (colour, first second, second after, pattern)."""
    seconds = [(script.at(s).see.background, script.at(s).see.mark, s) for s in range(script.duration)]
    for (colour, mark), pages in groupby(seconds, key=lambda page: page[:2]):
        times = [page[2] for page in pages]
        yield colour, times[0], times[-1] + 1, mark


def book(task, script):
    """The answer, and where it is seen, worked out from the words of the question."""
    shown = list(runs(script))
    if task.source == "signpost":
        at, *roads = map(int, re.findall(r"\d+", task.question))
        colours = re.findall(r"(\w+) means", task.question)
        post = script.at(at)
        goal = script.at(roads[colours.index(post.see.background)])
        return goal.see.mark, [[float(one.start), float(one.end)] for one in (post, goal)]
    named = re.findall("|".join(BACKGROUNDS), task.question)
    places = [place for place, run in enumerate(shown) if run[0] in named]
    spans = [list(map(float, shown[place][1:3])) for place in places]
    if task.source == "plate_while":
        (place,) = places
        return shown[place][3], spans
    if task.source == "right_after":
        (place,) = places
        return shown[place + 1][0], [*spans, list(map(float, shown[place + 1][1:3]))]
    if task.source == "how_often":
        return str(len(places)), spans
    assert len(places) == len(named) == 2
    return next(words for words in task.options if shown[places[0]][0] in words), spans


@pytest.mark.parametrize("open_share", [0.0, 1.0])
def test_every_answer_is_the_only_right_one_and_its_evidence_is_where_it_is_seen(open_share):
    tasks = asked(list(SEARCHES), open_share=open_share)
    assert len(tasks) > 1000 and {task.source for task, _ in tasks} == set(SEARCHES)
    for task, script in tasks:
        gold, evidence = book(task, script)
        assert task.extra["evidence"] == evidence
        assert score(task, renderings(task)[0]).value == 1
        assert bool(task.options) == (open_share == 0 or task.source == "first_of_two")
        if task.options:
            assert len(set(task.options)) == len(task.options) == (2 if task.source == "first_of_two" else 4)
            assert [score(task, letter).value for letter in task.letters].count(1) == 1
            assert task.options[task.letters.index(task.answer.value)] == gold
        else:
            assert canonical(task.answer) == gold


@pytest.mark.parametrize("family", list(SEARCHES))
def test_neither_a_letter_nor_an_answer_nor_a_place_in_the_question_is_worth_a_guess(family):
    letters = Counter(task.answer.value for task, _ in asked([family], open_share=0.0))
    expected = letters.total() / (2 if family == "first_of_two" else 4)
    assert expected > 40
    assert all(abs(number - expected) < 4 * expected**0.5 for number in letters.values()), letters
    if family == "first_of_two":
        pairs = [(task.question, book(task, script)[0]) for task, script in asked([family])]
        first = sum(gold.split()[1] == re.findall("|".join(BACKGROUNDS), words)[0] for words, gold in pairs)
        assert 0.42 < first / len(pairs) < 0.58
        return
    golds = Counter(canonical(task.answer) for task, _ in asked([family], open_share=1.0))
    if family == "how_often":
        assert max(golds.values()) < 0.5 * golds.total() and set(golds) >= {"1", "2", "3", "4"}
    else:
        values = MARKS if family in ("plate_while", "signpost") else BACKGROUNDS
        assert set(golds) == set(values)
        assert max(golds.values()) < 1.4 * golds.total() / len(values)


@pytest.mark.parametrize("frames", [6, SCAN, 24])
def test_a_scan_of_so_many_frames_steps_over_events_by_their_length(frames):
    """One that lasts a share of the scan's step is met with just that chance."""
    chance, missed, there_are = 0.0, 0, 0
    for script in SCRIPTS:
        step = script.told / (frames - 1)
        times = spread(0.0, script.told, frames)
        for event in script.events[1:-1]:  # a scan's ends always show the other two
            if event.end - event.start < step:
                there_are += 1
                chance += 1 - (event.end - event.start) / step
                missed += not any(event.start <= time < event.end for time in times)
    assert there_are > 200
    assert missed / there_are == pytest.approx(chance / there_are, abs=0.05)


def test_what_a_question_turns_on_may_fall_between_two_frames_of_a_first_scan():
    for task, script in asked(["right_after", "first_of_two", "how_often"]):
        lengths = [end - start for start, end in task.extra["evidence"]]
        step = script.told / (SCAN - 1)
        assert (lengths[-1] if task.source == "right_after" else min(lengths)) < step


def test_a_clip_that_a_scan_shows_whole_is_asked_for_its_plates_alone_and_by_signposts():
    settings = ScriptSettings(duration=(60, 60), event=(6, 20))  # 12 frames, one each 5.4 s
    found = {task.source for seed in range(20) for task in ask(write_script(seed, settings), 1, SEARCHES)}
    assert found == {"plate_while", "signpost"}


def test_of_a_signposts_two_roads_one_is_right_and_neither_its_place_nor_its_time_tells_which():
    """About half of the time the first one named, and the earlier one."""
    first = earlier = 0
    tasks = asked(["signpost"])
    for task, script in tasks:
        right = task.extra["means"][script.at(task.extra["signpost"]).see.background]
        (wrong,) = set(task.extra["means"].values()) - {right}
        assert script.at(wrong).see.mark != script.at(right).see.mark == canonical_gold(task)
        first += task.question.index(f"means {right}") < task.question.index(f"means {wrong}")
        earlier += right < wrong
    assert len(tasks) > 200
    assert 0.42 < first / len(tasks) < 0.58 and 0.42 < earlier / len(tasks) < 0.58


def canonical_gold(task):
    return task.options[task.letters.index(task.answer.value)] if task.options else canonical(task.answer)
