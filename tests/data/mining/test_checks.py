"""What must not be trained on: given away, asked before, lopsided, out of the clip."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eva_lightning.data.mining.checks import balanced, checked, plain
from eva_lightning.faults import VideoError
from eva_lightning.records import Answer, Clip
from tests.making import task

WORDS = st.lists(st.sampled_from("red blue seven cat house Öl 12 at".split()), min_size=1, max_size=4)


def lasting(clip):
    if clip.path == "broken.mp4":
        raise VideoError("broken.mp4: is no video")
    return 60.0


def cause(one, pool=()):
    """Why a task is rejected; None if it is not."""
    found = checked([one], pool, lasting)
    assert len(found.tasks) + len(found.rejected) == 1
    return found.rejected[0].cause if found.rejected else None


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (task(), None),
        (task(question="What colour is the blue car?"), "leaked"),
        (task(question="What comes first, red or blue?", options=("red", "blue")), None),
        (task(question="What comes first, red or blue?"), "leaked"),  # green is not named
        (task(question="Is it bluebells?"), None),
        (task(kind="text", value="a red circle", question="Where is A RED, circle?"), "leaked"),
        (task(kind="text", value="a red circle", question="Where is a red cross?"), None),
        (task(kind="number", value=3.0, question="How often, if not 3 times?"), "leaked"),
        (task(kind="number", value=3.0, question="How often before second 31?"), None),
        (task(kind="interval", value=(3.0, 9.5), question="When? From 3 to 9.5 s?"), "leaked"),
        (task(kind="interval", value=(3.0, 9.5), question="When, after second 3?"), None),
        (task(options=("red", "Red.", "blue"), value="C"), "bad options"),
        (task(options=("red", ""), value="A"), "bad options"),
        (task(options=("red",), value="A"), "bad options"),
        (task(options=("a", "b", "w " * 9), value="C"), "bad options"),
        (task(options=("a", "b", "w " * 9), value="A"), None),
        (replace(task(kind="text", value="x"), options=("x", "y")), "bad options"),
        (replace(task(), answer=None), "not a task"),
        (task(extra={"evidence": [[0, 60]]}), None),
        (task(extra={"evidence": [[0, 61]]}), "off clip"),
        (task(extra={"evidence": [[-1, 5]]}), "off clip"),
        (task(extra={"evidence": [[5, 5]]}), "off clip"),
        (task(extra={"evidence": [["a", 5]]}), "not a task"),
        (task(extra={"evidence": 7}), "not a task"),
        (task(clips=(Clip(id="v", path="broken.mp4"),)), "broken clip"),
    ],
)
def test_a_task_is_kept_or_rejected_for_a_cause(one, why):
    assert cause(one) == why


def test_the_same_question_about_the_same_clip_is_a_duplicate_however_it_is_put():
    pool = [task()]
    for one in (
        task(id="x", question=" what COLOUR"),
        task(id="x", options=("pink", "grey"), value="A"),
        task(id="x", kind="text", value="blue"),
        task(id="x", clips=(Clip(id="other", path="./v.mp4"),)),
    ):
        assert cause(one, pool) == "duplicate"
    assert cause(task(id="x", clips=(Clip(id="v", path="w.mp4"),)), pool) is None
    assert cause(task(id="x", clips=(Clip(id="v", path="v.mp4", begin=10.0),)), pool) is None
    assert cause(task(id="t1", question="Which shape?"), pool) == "duplicate"  # its id is taken


@given(words=WORDS, before=WORDS, after=WORDS)
def test_an_answer_between_other_words_is_found_whatever_they_are(words, before, after):
    said = " ".join(words).upper()
    question = f"{' '.join(before)}, {said}? {' '.join(after)}"
    assert cause(task(kind="text", value=" ".join(words), question=question)) == "leaked"


@given(st.lists(st.sampled_from(["What now?", "what NOW", "Who?", "Where?", "where"]), max_size=12))
def test_of_tasks_that_repeat_each_other_each_question_stays_once(questions):
    found = checked([task(id=str(i), question=one) for i, one in enumerate(questions)], [], lasting)
    kept = [plain(one.question) for one in found.tasks]
    assert len(kept) == len(set(kept)) == len({plain(one) for one in questions})
    assert len(found.tasks) + len(found.rejected) == len(questions)
    assert {one.cause for one in found.rejected} <= {"duplicate"}


@given(gold=st.lists(st.sampled_from("ABCD"), min_size=1, max_size=21), seed=st.integers(0, 5))
def test_no_letter_is_right_more_often_than_another_and_the_right_text_stays_right(gold, seed):
    tasks = [
        task(id=str(i), options=tuple(f"{i}{x}" for x in "wxyz"), value=one) for i, one in enumerate(gold)
    ]
    made = balanced(tasks, seed)
    letters = Counter(one.answer.value for one in made)
    assert max(letters.values()) - min(letters[letter] for letter in "ABCD") <= 1
    for old, new in zip(tasks, made, strict=True):
        assert sorted(old.options) == sorted(new.options) and old.id == new.id
        assert right(old) == right(new)
    assert made == balanced(tasks, seed)


def right(one):
    return one.options[one.letters.index(one.answer.value)]


def test_what_has_no_letters_to_shuffle_stays_as_it_is():
    fixed = [
        task(kind="text", value="blue"),
        task(kind="order", value=("B", "A")),
        task(wording="What colour? A. red B. blue C. green"),
        replace(task(), options=(), answer=Answer(kind="choice", value="B")),
    ]
    assert balanced(fixed, 3) == fixed
