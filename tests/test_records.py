"""Records check themselves when born, and derive what must never be stored twice."""

import pytest

from eva_lightning.records import Answer, Clip, FrameRef, Observation, Score, Span, Task, Turn
from tests.making import frame, task, trajectory


def test_a_frame_of_84_by_56_pixels_costs_six_visual_tokens():
    assert frame(height=56, width=84).visual_tokens == 6


def test_a_frame_that_is_not_made_of_28_pixel_squares_is_refused_with_its_size():
    with pytest.raises(ValueError, match="100x56"):
        FrameRef(clip="v", time=0.0, height=56, width=100)


def test_log_probs_and_ids_of_different_number_die_in_the_turn():
    with pytest.raises(ValueError, match="2 token ids but 1 log-probs"):
        Turn(text="x", token_ids=[1, 2], logprobs=[0.0])


def test_the_loss_mask_is_on_sampled_ids_and_nowhere_else():
    one = trajectory(frames=2)
    # prompt of 4, turn of 3, observation of 4, turn of 3
    assert one.token_ids == [1, 2, 3, 4, 11, 12, 13, 7, 9, 7, 9, 14, 15, 16]
    assert [i for i, on in enumerate(one.loss_mask) if on] == [4, 5, 6, 11, 12, 13]


def test_the_ledger_adds_up_to_the_expanded_length():
    one = trajectory(frames=2)
    ledger = one.ledger
    assert (ledger.prompt, ledger.written, ledger.tool, ledger.visual) == (4, 6, 2, 12)
    assert ledger.total == len(one.token_ids) - 2 + 12  # each image token becomes six


def test_the_reward_is_the_weighted_sum_of_the_scores():
    one = trajectory(scores={"accuracy": Score(value=1.0), "format": Score(value=1.0, weight=0.05)})
    assert one.reward == pytest.approx(1.05)


def test_a_conversation_reads_opening_turn_frames_answer():
    assert [message.role for message in trajectory().messages] == ["user", "assistant", "tool", "assistant"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("choice", "b"),
        ("choice", "AB"),
        ("multi", ()),
        ("order", "AB"),
        ("interval", (5.0, 5.0)),
        ("interval", (5.0,)),
        ("interval", ((1.0, 2.0), (4.0, 4.0))),
        ("rounded", "3"),
        ("transcript", ""),
        ("number", "3"),
        ("number", float("nan")),
        ("number", True),
        ("text", "  "),
    ],
)
def test_a_value_that_does_not_fit_its_kind_is_refused(kind, value):
    with pytest.raises(ValueError, match="is no value for an answer of kind"):
        Answer(kind=kind, value=value)


def test_a_gold_letter_without_an_option_is_refused():
    with pytest.raises(ValueError, match="answer 'D' but options A, B, C"):
        task(value="D")


def test_two_clips_with_one_id_are_refused():
    with pytest.raises(ValueError, match="different ids"):
        Task(id="t", clips=(Clip(id="v"), Clip(id="v")), question="?")


def test_a_clip_that_ends_before_it_begins_is_refused():
    with pytest.raises(ValueError, match="begin 9.0 and end 4.0"):
        Clip(id="v", begin=9.0, end=4.0)


def test_evidence_is_met_by_frames_of_its_clip_and_where_there_are_none_by_what_was_heard():
    two = task(clips=(Clip(id="v"), Clip(id="w")), extra={"evidence": [["v", 0, 5], ["w", 10, 20]]})
    heard = Observation(parts=("a beep",), spans=(Span(clip="w", start=20.0, end=22.0),))
    looked = Observation(parts=(frame(time=12.0),), spans=(Span(clip="v", start=4.0, end=20.0),))
    turns = [Turn(text="listen", observation=heard), Turn(text="look", observation=looked)]
    one = trajectory(task=two, turns=turns)
    assert list(map(str, one.evidence_met)) == ["10 to 20 s"]  # the look had no frame before second 5
    assert [(span.clip, span.start) for span in one.perceived] == [("w", 20.0), ("v", 12.0)]


def test_an_interval_may_be_several_and_any_other_answer_may_have_grounds():
    assert Answer(kind="interval", value=(1, 2.5)).intervals == ((1.0, 2.5),)
    assert Answer(kind="interval", value=((1.0, 2.5), (4.0, 5.0))).intervals == ((1.0, 2.5), (4.0, 5.0))
    assert Answer(kind="choice", value="B", grounds=((1.0, 2.5),)).intervals == ((1.0, 2.5),)
    assert Answer(kind="choice", value="B").intervals == ()
    for kind, value, grounds in (("choice", "B", ((2.0, 1.0),)), ("interval", (1.0, 2.0), ((1.0, 2.0),))):
        with pytest.raises(ValueError, match="grounds"):
            Answer(kind=kind, value=value, grounds=grounds)
