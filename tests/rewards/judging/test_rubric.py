"""A verdict is read strictly: one JSON object of a verdict and a reason, or nothing."""

import os

import pytest

from eva_lightning.data.selection.sufficiency import SUFFICIENCY, case_of
from eva_lightning.records import Clip
from eva_lightning.rewards.judging.rubric import Case, Reading, Rubric
from eva_lightning.rewards.judging.rulings import key_of
from tests.making import frame, task, trajectory

YES_NO = Rubric(name="colour", version=3, question="Is it red?", values={"yes": 1.0, "no": 0.0})


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        ('{"reason": "It is red.", "verdict": "yes"}', "yes"),
        ('  {"verdict": " No ", "reason": ""}\n', "no"),
        ('```json\n{"verdict": "no", "reason": "x"}\n```', "no"),
        ("yes", None),
        ("", None),
        ('It is red. {"verdict": "yes", "reason": "x"}', None),
        ('{"verdict": "yes"}', None),
        ('{"verdict": "yes", "reason": "x", "mood": "good"}', None),
        ('{"verdict": "maybe", "reason": "x"}', None),
        ('{"verdict": true, "reason": "x"}', None),
        ('{"verdict": "yes", "reason": ["x"]}', None),
        ('[{"verdict": "yes", "reason": "x"}]', None),
        ('{"verdict": "yes", "reason": "' + "x" * 2001 + '"}', None),
        ("[" * 100_000, None),
    ],
)
def test_only_the_form_that_was_asked_for_is_a_verdict(reply, word):
    read = YES_NO.read(reply)
    assert (None if read is None else read.word) == word


def test_a_reason_is_one_line():
    assert YES_NO.read('{"verdict": "yes", "reason": " red,\\n  I  think "}') == Reading(
        word="yes", reason="red, I think"
    )


def test_the_prompt_ends_with_the_form():
    (first, last) = YES_NO.prompt(Case(parts=("A ball.",)))
    assert first == "A ball." and last.startswith("\n\nIs it red?\n")
    assert last.endswith('{"reason": "one short sentence", "verdict": "yes" or "no"}')
    assert YES_NO.title == "colour/3"


def test_the_judge_of_sufficiency_is_shown_each_frame_once_the_options_and_the_answer_but_no_gold():
    one = trajectory(frames=2, answer="C", task=task(value="B"))
    again = trajectory(turns=[one.turns[0], *one.turns], answer="C", task=task(value="B"))
    case = case_of(again)
    assert case == case_of(one)
    assert [part for part in case.parts if not isinstance(part, str)] == [frame(0.0), frame(1.0)]
    text = "|".join(part for part in case.parts if isinstance(part, str))
    assert text == (
        "Frame 0 at 0.0 seconds: |\nFrame 1 at 1.0 seconds: |"
        "\n\nQuestion: What colour?\nA. red\nB. blue\nC. green\n\nAnswer that was given: C"
    )


def key(rubric=SUFFICIENCY, model="m", **fields):
    return key_of(case_of(trajectory(**fields)), rubric, model)


def test_a_verdict_is_remembered_by_everything_it_depends_on_and_by_nothing_else(tmp_path, monkeypatch):
    here = task(clips=(Clip(id="v", path=str(tmp_path / "v.mp4")),))
    monkeypatch.chdir(tmp_path)
    assert key(task=task()) == key(task=here) == key(task=task(id="t2"), replica=3)
    cut = task(clips=(Clip(id="v", path="v.mp4", begin=1.0),))
    other = Rubric(**{**vars(SUFFICIENCY), "version": 2})
    different = [
        key(model="n"),
        key(rubric=other),
        key(answer="C"),
        key(frames=3),
        key(task=cut),
        key(task=task(question="What shade?")),
        key(task=task(clips=(Clip(id="v", path="w.mp4"),))),
    ]
    assert len({key(), *different}) == 1 + len(different)


def test_a_clip_that_was_replaced_is_judged_anew(tmp_path):
    clip = tmp_path / "v.mp4"
    shown = task(clips=(Clip(id="v", path=str(clip)),))
    keys = [key(task=shown)]
    for content in (b"one", b"three", b"other"):
        clip.write_bytes(content)
        os.utime(clip, ns=(0, len(keys)))
        keys += [key(task=shown)]
    assert len(set(keys)) == 4 and key(task=shown) == keys[-1]


def test_frames_are_told_apart_by_clip_where_there_are_several():
    both = task(clips=(Clip(id="v", path="v.mp4"), Clip(id="w", path="w.mp4")))
    assert case_of(trajectory(task=both)).parts[0] == "Frame 0 of v at 0.0 seconds: "
