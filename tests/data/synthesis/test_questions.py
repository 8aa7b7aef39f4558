"""Questions: every answer is found again by brute force from the question's words alone."""

import re
from collections import Counter
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eva_lightning.data.synthesis.families import FAMILIES, SIGHT
from eva_lightning.data.synthesis.questions import ask
from eva_lightning.data.synthesis.script import ScriptSettings, write_script
from eva_lightning.files.encoding import decode, encode
from eva_lightning.records import Task
from eva_lightning.scoring import canonical, renderings, score


def runs(script, words):
    """Stretches of seconds in which all `words` occur in the scene, from a second-by-second picture book."""
    book = []
    for second in range(script.duration):
        scene = asdict(script.at(second).see)
        book.append(f"{scene['ink']} {scene['shape']} / {scene['background']} background")
    found, begin = [], None
    for second, page in enumerate([*book, ""]):
        hit = words in page
        if hit and begin is None:
            begin = second
        if not hit and begin is not None:
            found.append((begin, second))
            begin = None
    return found


def thing(words):
    return re.sub(r"^an? ", "", words)


def brute_force(task, script):
    """The answer in words, worked out from the question as a reader would."""
    question = task.question
    if at := re.search(r"at second (\d+)", question):
        event = script.at(int(at.group(1)))
        assert event.start + 1 < int(at.group(1)) < event.end - 1
        return {
            "colour_at": event.see.background,
            "shape_at": event.see.shape,
            "mark_at": event.see.mark,
            "describe": event.see.sentence,
            "sound": event.hear and event.hear.name,
        }[task.source]
    if second := re.search(r"At which second is an? (.*) heard", question):
        (heard,) = [e.hear.at for e in script.events if e.hear and e.hear.name == second.group(1)]
        return str(heard)
    if when := re.search(r"When is (.*) shown", question):
        ((begin, end),) = runs(script, thing(when.group(1)))
        return f"{begin}.0 to {end}.0"
    if count := re.search(r"How many times is (.*) shown", question):
        return str(len(runs(script, thing(count.group(1)))))
    one, other = re.fullmatch(r"Which is shown first, (.*) or (.*)\?", question).groups()
    assert len(runs(script, thing(one))) == len(runs(script, thing(other))) == 1
    return min(one, other, key=lambda words: runs(script, thing(words))[0])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from([0.0, 0.5, 1.0]), st.booleans())
def test_every_answer_of_every_family_is_found_again_by_brute_force(seed, open_share, long):
    wanted = ScriptSettings(duration=(120, 600), event=(4, 60)) if long else ScriptSettings()
    script = write_script(seed, wanted)
    tasks = ask(script, seed, list(FAMILIES), per_family=5, open_share=open_share)
    assert len({task.id for task in tasks}) == len(tasks)
    for task in tasks:
        gold = brute_force(task, script)
        if task.options:
            assert len(set(task.options)) == len(task.options) >= 2
            assert task.options[task.letters.index(task.answer.value)] == gold
        else:
            assert canonical(task.answer) == gold
        assert task.evidence and all(0 <= one.start < one.end <= script.duration for one in task.evidence)
        assert score(task, renderings(task)[0]).value == 1
        assert decode(Task, encode(task)) == task


def test_evidence_is_where_the_thing_is_shown():
    for seed in range(50):
        script = write_script(seed)
        for task in ask(script, seed, ["count", "when"], per_family=5, open_share=1.0):
            words = re.search(r"is (.*) shown", task.question).group(1)
            assert [(one.start, one.end) for one in task.evidence] == runs(script, thing(words))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_no_letter_is_worth_a_guess(family):
    letters = Counter()
    for seed in range(400):
        for task in ask(write_script(seed), seed, [family], per_family=2, open_share=0.0):
            if len(task.options) == (2 if family == "order" else 4):
                letters[task.answer.value] += 1
    expected = sum(letters.values()) / (2 if family == "order" else 4)
    assert expected > 60
    assert all(abs(n - expected) < 4 * expected**0.5 for n in letters.values()), letters


def test_the_first_named_is_first_half_of_the_time():
    first = []
    for seed in range(300):
        for task in ask(write_script(seed), seed, ["order"]):
            gold = task.options[task.letters.index(task.answer.value)]
            first.append(task.question.index(gold) < len("Which is shown first, a "))
    assert 0.4 < sum(first) / len(first) < 0.6


def test_open_share_decides_the_form_and_order_has_options_always():
    script = write_script(1)
    for task in ask(script, 0, SIGHT, per_family=3, open_share=1.0):
        assert bool(task.options) == (task.source == "order")
    assert all(task.options for task in ask(script, 0, SIGHT, per_family=3, open_share=0.0))


def test_families_can_be_chosen_and_sound_is_left_out_unless_named():
    script = write_script(1)
    assert {task.source for task in ask(script, 0)} == set(SIGHT)
    assert {task.source for task in ask(script, 0, ["sound"])} == {"sound"}
    with pytest.raises(ValueError, match="no family 'smell'"):
        ask(script, 0, ["smell"])


def test_subjects_can_be_kept_to_what_one_token_shows():
    for task in ask(write_script(1), 0, ["when", "count", "order"], 9, subjects=[("background",)]):
        assert task.extra["read"] == ["background"]
        assert "background" in task.question


def test_the_same_seed_asks_the_same():
    script = write_script(1)
    assert ask(script, 3, list(FAMILIES), 3) == ask(script, 3, list(FAMILIES), 3)
    assert ask(script, 3, list(FAMILIES), 3) != ask(script, 4, list(FAMILIES), 3)
