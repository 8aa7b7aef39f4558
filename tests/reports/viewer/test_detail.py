"""One trajectory as plain values: nothing lost, nothing invented."""

import pytest

from eva_lightning.faults import UsageError
from eva_lightning.records import Clip, Observation, Span, ToolCall, Turn
from eva_lightning.reports.viewer.detail import detail, evidence, segments
from eva_lightning.reports.viewer.rows import Pair
from eva_lightning.reports.viewer.thumbnails import Album, ThumbnailSettings
from tests.making import StillWorld, frame, task, trajectory

CALL = '{"tool": "frame_select"}'


def call(text=CALL, **arguments):
    return ToolCall(name="frame_select", arguments=arguments, text=text)


def shown(one, **settings):
    return detail(Pair(here=one), Album(StillWorld(), ThumbnailSettings()), **settings)


def test_every_turn_is_its_text_cut_into_pieces(taught):
    for one in taught.sloppy:
        for turn in one.turns:
            assert "".join(text for _, text in segments(turn, one.answer)) == turn.text
    kinds = {kind for one in taught.sloppy for turn in one.turns for kind, _ in segments(turn, one.answer)}
    assert kinds == {"plain", "call", "answer"}


def test_equal_calls_are_marked_one_by_one():
    turn = Turn(text=f"a{CALL}b{CALL}", calls=(call(), call(), call("not there")))
    assert segments(turn, None) == [("plain", "a"), ("call", CALL), ("plain", "b"), ("call", CALL)]
    assert segments(Turn(text="I: <answer>B</answer>"), "B") == [
        ("plain", "I: <answer>"),
        ("answer", "B"),
        ("plain", "</answer>"),
    ]
    assert segments(Turn(text="so B it is"), "B") == [("plain", "so B it is")]


def test_windows_are_what_the_tool_looked_at_on_the_time_line_of_its_clip():
    two = task(clips=(Clip(id="v", path="v.mp4"), Clip(id="w", path="w.mp4")))
    spans = (Span(clip="w", start=3.0, end=75.0), Span(clip="v", start=1.0, end=1.0))
    turn = Turn(text="", observation=Observation(parts=(frame(clip="w"),), spans=spans))
    (side,) = shown(trajectory(task=two, turns=[turn, Turn(text="done")]))["sides"]
    windows = [{"clip": 1, "start": 3.0, "end": 75.0}, {"clip": 0, "start": 1.0, "end": 1.0}]
    assert [one["windows"] for one in side["turns"]] == [windows, []]


def test_an_opened_trajectory_says_it_all():
    one = trajectory(seed=2**63 - 1, advantage=-0.5)
    said = shown(one)
    (side,) = said["sides"]
    assert said["task"]["clips"] == [{"id": "v", "file": "v.mp4", "shelf": 0, "length": 100.0}]
    assert side["seed"] == "9223372036854775807"  # a browser would round the number
    assert side["ledger"] == {"prompt": 4, "written": 6, "tool": 2, "visual": 12}
    look, answer = side["turns"]
    assert look["world"] == [
        "<tool_response>",
        {"clip": 0, "time": 0.0, "size": [84, 56], "picture": "0.0@84x56"},
        {"clip": 0, "time": 1.0, "size": [84, 56], "picture": "1.0@84x56"},
    ]
    assert look["surprise"] == [0.5, 0.25, 0.125] and look["words"] is None
    assert answer["world"] is None
    (side,) = shown(one, spell=lambda ids: [f"<{i}>" for i in ids])["sides"]
    assert side["turns"][0]["words"] == ["<11>", "<12>", "<13>"]


def test_an_engine_without_ids_has_no_log_probs_and_no_count():
    (side,) = shown(trajectory(prompt_ids=[], turns=[Turn(text="<answer>B</answer>")]))["sides"]
    assert side["counted"] is False
    assert side["turns"][0]["surprise"] == [] and side["turns"][0]["words"] is None


def test_evidence_that_is_no_list_of_ranges_is_refused():
    assert evidence(task(extra={"evidence": [[1, 2.5]]}), {"v": 0}) == [{"clip": 0, "start": 1.0, "end": 2.5}]
    with pytest.raises(UsageError, match=r"task 't1': extra.evidence is 'all'; want \[\[start, end\], ...\]"):
        evidence(task(extra={"evidence": "all"}), {})


def test_the_seconds_of_an_answer_stand_beside_those_that_were_wanted():
    one = trajectory(task=task("interval", ((1.0, 2.5), (40.0, 50.0))), answer="2 to 3 and 9 to 8")
    said = shown(one)
    assert said["task"]["wanted"] == [
        {"clip": 0, "start": 1.0, "end": 2.5},
        {"clip": 0, "start": 40.0, "end": 50.0},
    ]
    assert said["sides"][0]["named"] == [{"clip": 0, "start": 2.0, "end": 3.0}]  # 9 to 8 is no place
    for wanted, answer, named in (
        ((), "2 to 3, B", 0),
        (((1.0, 2.0),), "2 to 3, B", 1),
        (((1.0, 2.0),), "B", 0),
    ):
        said = shown(trajectory(task=task(grounds=wanted), answer=answer))
        assert (len(said["task"]["wanted"]), len(said["sides"][0]["named"])) == (len(wanted), named)
        assert said["task"]["gold"] == ("B. blue (1 to 2 s)" if wanted else "B. blue")


def test_what_calls_came_to_and_what_another_model_read_is_told():
    seen = Observation(parts=("a red car",), worked=1, elsewhere=120)
    (side,) = shown(trajectory(turns=[Turn(text="", calls=(call(), call()), observation=seen)]))["sides"]
    (turn,) = side["turns"]
    assert (turn["calls"], turn["worked"], turn["elsewhere"], side["elsewhere"]) == (2, 1, 120, 120)
