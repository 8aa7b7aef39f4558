"""Rows of ours that somebody changed: the words win, and nothing stale comes back with them."""

import json

import pytest

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.data.exchange import sharegpt, trl
from eva_lightning.data.exchange.lossless import conversation_of, trajectory_of
from eva_lightning.files.encoding import FieldError
from eva_lightning.records import Message, Observation, Score, Turn
from tests.making import frame, task, trajectory

DIALECT = EvaDialect()
LOOK = DIALECT.call("frame_select", start_time=0, end_time=2, nframes=2)
TO_ROW = {"sharegpt": sharegpt.to_row, "trl": trl.to_row, "trl-kto": trl.to_kto_row}
FROM_ROW = {"sharegpt": sharegpt.from_row, "trl": trl.from_row, "trl-kto": trl.from_row}


def made():
    """A look at two frames that was told of an error, then the answer B; scored, and marked good."""
    seen = Observation(parts=("see ", frame(0.0), frame(1.0)), error="resize is missing", frames_cut=1)
    look = Turn(
        text=f"I look.\n{LOOK}",
        token_ids=[5, 6],
        logprobs=[-1.0, -2.0],
        weight_version=4,
        calls=DIALECT.parse(LOOK).calls,
        observation=seen,
        observation_ids=[7, 9, 9],
    )
    answer = Turn(text="Blue.\n<answer>B</answer>", token_ids=[8], logprobs=[-0.5])
    return trajectory(
        task=task(),
        prompt=(Message(role="system", parts=("Watch.",)), Message(role="user", parts=("What colour?",))),
        turns=[look, answer],
        scores={"accuracy": Score(value=1.0)},
        advantage=0.5,
        desirable=True,
        replica=2,
        seed=11,
    )


def changed(form, before, after):
    """The trajectory of a row in whose words `before` was replaced."""
    row = TO_ROW[form](conversation_of(made(), DIALECT))
    extra = row.pop("eva")
    text = json.dumps(row)
    assert before in text
    return trajectory_of(FROM_ROW[form](json.loads(text.replace(before, after)) | {"eva": extra}), DIALECT)


@pytest.mark.parametrize("form", TO_ROW)
def test_changed_words_come_back_without_ids_log_probs_and_scores(form):
    one, edited = changed(form, "<answer>B</answer>", "<answer>C</answer>")
    assert edited
    assert (one.answer, one.stop) == ("C", "answered")
    assert one.token_ids == [] and [turn.logprobs for turn in one.turns] == [[], []]
    assert (one.scores, one.advantage) == ({}, None)
    assert (one.task, one.seed, one.replica, one.desirable) == (task(), 11, 2, True)
    assert one.frames == made().frames
    seen = one.turns[0].observation
    assert (seen.error, seen.frames_cut) == ("resize is missing", 1)


@pytest.mark.parametrize("form", TO_ROW)
def test_a_changed_call_is_read_anew(form):
    one, _ = changed(form, '\\"end_time\\": 2', '\\"end_time\\": 1')
    assert one.turns[0].calls[0].arguments["end_time"] == 1
    assert one.turns[0].calls[0].text in one.turns[0].text


@pytest.mark.parametrize("form", TO_ROW)
@pytest.mark.parametrize("words", ["Watch.", "What colour?", "see "])
def test_words_of_others_count_as_much_as_the_model_s(form, words):
    one, edited = changed(form, words, "Other.")
    assert edited and one.prompt_ids == []


@pytest.mark.parametrize("form", TO_ROW)
def test_a_changed_mark_changes_the_mark_and_no_word(form):
    field = "kto_tag" if form == "sharegpt" else "label"
    row = TO_ROW[form](conversation_of(made(), DIALECT)) | {field: False}
    one, edited = trajectory_of(FROM_ROW[form](row), DIALECT)
    assert not edited and one.desirable is False
    assert one.token_ids == made().token_ids


def test_a_turn_taken_out_takes_its_frames_along():
    row = sharegpt.to_row(
        conversation_of(made(), DIALECT, ["p/k/0.000000-84x56.png", "p/k/1.000000-84x56.png"])
    )
    row["conversations"] = [row["conversations"][0], row["conversations"][-1]]
    row["images"] = []
    one, edited = trajectory_of(sharegpt.from_row(row), DIALECT)
    assert edited and (one.rounds, one.frames, one.answer) == (1, (), "B")


@pytest.mark.parametrize("form", TO_ROW)
def test_frames_without_files_must_stay_as_many(form):
    before = "<image>" if form == "sharegpt" else ', {"type": "image", "text": null}]'
    with pytest.raises(FieldError, match="messages: speak of . images, but there are 2 frames"):
        changed(form, before, "" if form == "sharegpt" else "]")


def test_of_two_frames_one_can_be_taken_out_with_its_image():
    row = sharegpt.to_row(
        conversation_of(made(), DIALECT, ["p/k/0.000000-84x56.png", "p/k/1.000000-84x56.png"])
    )
    row["conversations"][2]["value"] = "see <image>"
    row["images"] = ["moved/k/1.000000-84x56.png"]
    one, edited = trajectory_of(sharegpt.from_row(row), DIALECT)
    assert edited and [ref.time for ref in one.frames] == [1.0]


def test_another_image_is_no_frame_of_ours():
    row = sharegpt.to_row(
        conversation_of(made(), DIALECT, ["p/k/0.000000-84x56.png", "p/k/1.000000-84x56.png"])
    )
    row["images"][1] = "p/k/cat.png"
    with pytest.raises(
        FieldError, match=r"images\[1\]: p/k/cat.png is none of the frames in the column `eva`"
    ):
        trajectory_of(sharegpt.from_row(row), DIALECT)


def test_an_answer_taken_out_is_no_answer():
    one, _ = changed("trl", "<answer>B</answer>", "I do not know.")
    assert (one.answer, one.stop) == (None, "no_action")


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("{", "eva: not JSON"),
        ("[]", "eva: not of version 1"),
        ('{"version": 2}', "eva: not of version 1"),
        ("[" * 100_000, "eva: not JSON .nested too deeply"),
        ('{"version": 1, "opening": "x"}', "eva.opening: want a number of messages"),
        ('{"version": 1, "parts": {"0": 3}}', "eva.parts.0: want a list of texts and nulls"),
        ('{"version": 1, "turns": [3]}', r"eva.turns\[0\]: want an object"),
        ('{"version": 1, "frames": {}}', "eva.frames: want a list"),
        ('{"version": 1, "frames": [{"clip": "v"}]}', "time: missing"),
        ('{"version": 1, "pictures": {"v": ["k"]}}', "eva.pictures.v: want the name of a folder"),
        ('{"version": 1, "opening": true}', "eva.opening: want a number of messages"),
        ('{"version": 1, "opening": -1}', "eva.opening: want a number of messages"),
        ('{"version": 1}', "messages: speak of 2 images, but there are 0 frames"),
    ],
)
def test_a_column_that_is_not_ours_is_told(extra, said):
    row = sharegpt.to_row(conversation_of(made(), DIALECT)) | {"eva": extra}
    with pytest.raises(FieldError, match=said):
        trajectory_of(sharegpt.from_row(row), DIALECT)
