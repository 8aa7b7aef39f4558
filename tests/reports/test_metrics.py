"""What is logged, from trajectories one can count by hand."""

import pytest

from eva_lightning.records import Observation, Span, ToolCall, Turn
from eva_lightning.reports.metrics import trajectory_metrics
from eva_lightning.reports.summary import summarize, summary_table
from tests.making import task, trajectory


def test_means_leave_faults_out_and_count_them():
    right, wrong = trajectory(frames=2), trajectory(frames=4, answer="A")
    fault = trajectory(frames=0, stop="fault", answer=None)
    metrics = trajectory_metrics([right, wrong, fault])
    assert (metrics["accuracy"], metrics["frames"], metrics["visual_tokens"]) == (0.5, 3.0, 18.0)
    assert (metrics["rounds"], metrics["faults"], metrics["written_tokens"]) == (2.0, 1.0, 6.0)


def test_a_trajectory_with_a_failed_call_or_without_an_answer_is_not_well_formed():
    failed = trajectory()
    failed.turns[0].observation = Observation(parts=("x",), error="nframes is missing", frames_cut=3)
    metrics = trajectory_metrics([trajectory(), failed, trajectory(stop="turn_limit", answer=None)])
    assert metrics["well_formed"] == 1 / 3
    assert (metrics["answered"], metrics["looked"], metrics["frames_cut"]) == (2 / 3, 2 / 3, 1.0)


def test_families_have_their_own_accuracy():
    made = [trajectory(task=task(source="colour")), trajectory(task=task(source="order"), answer="C")]
    metrics = trajectory_metrics(made, by_source=True)
    assert (metrics["accuracy/colour"], metrics["accuracy/order"]) == (1.0, 0.0)


def test_nothing_is_zero():
    found = trajectory_metrics([])
    assert found.pop("calls_worked") == 1.0 and set(found.values()) == {0.0}  # none failed


def test_in_a_world_of_words_whoever_was_told_something_looked():
    told = Observation(parts=("a cup",), spans=(Span(clip="v", start=1.0, end=2.0),))
    one = trajectory(turns=[Turn(text="look", observation=told), Turn(text="done")])
    assert trajectory_metrics([one, trajectory(turns=[Turn(text="done")])])["looked"] == 0.5


def observed(calls, **seen):
    """A turn with so many calls, and what came of them."""
    asked = tuple(ToolCall(name="look", arguments={}, text="look") for _ in range(calls))
    return Turn(text="look", calls=asked, observation=Observation(parts=("seen",), **seen))


def test_the_share_of_calls_that_worked_counts_calls_not_turns():
    halves = trajectory(turns=[observed(2, worked=1, error="no such time"), observed(1, worked=1)])
    torn = trajectory(turns=[observed(0, worked=0, error="not JSON"), Turn(text="done")])
    assert trajectory_metrics([halves])["calls_worked"] == 2 / 3
    assert trajectory_metrics([halves, torn])["calls_worked"] == 2 / 4
    assert trajectory_metrics([trajectory(turns=[Turn(text="done")])])["calls_worked"] == 1.0


def test_rows_that_nobody_counted_worked_where_nothing_was_wrong():
    old = trajectory(turns=[observed(2), observed(1, error="no such time")])
    assert trajectory_metrics([old])["calls_worked"] == 2 / 3


def test_what_sub_agents_read_is_told():
    told = trajectory(turns=[observed(1, worked=1, elsewhere=300)])
    assert trajectory_metrics([told, trajectory(turns=[])])["elsewhere"] == 150.0
    assert trajectory_metrics([trajectory()])["elsewhere"] == 0.0


def interval(said, source=""):
    """An attempt at a task whose answer is 10 to 20 seconds."""
    return trajectory(task=task("interval", (10.0, 20.0), source=source), answer=said)


def test_interval_answers_are_told_by_their_overlap():
    made = [interval("10 to 20", "when"), interval("10 to 16"), interval("10 to 13"), interval("30 to 40")]
    metrics = trajectory_metrics([*made, trajectory()], by_source=True)  # IoU 1, 0.6, 0.3 and 0
    assert metrics["overlap"] == pytest.approx(1.9 / 4) and metrics["accuracy"] == 3 / 5
    shares = [metrics[f"overlap>={least}"] for least in (0.3, 0.5, 0.7)]
    assert shares == [0.75, 0.5, 0.25]
    assert metrics["overlap/when"] == 1.0
    assert not any("overlap" in name for name in trajectory_metrics([trajectory()], by_source=True))


def test_a_table_has_a_column_of_overlap_only_where_an_interval_is_asked_for():
    when, choice = summarize([interval("10 to 16")]), summarize([trajectory()])
    header, first, second = summary_table([("when", when), ("choice", choice)]).splitlines()
    assert "accuracy  overlap  overlap>=0.3  overlap>=0.5  overlap>=0.7  rounds" in header
    assert first.split()[:7] == ["when", "1", "100.0%", "60.0%", "100.0%", "100.0%", "0.0%"]
    assert second.split()[:7] == ["choice", "1", "100.0%", "-", "-", "-", "-"]
    assert "overlap" not in summary_table([("choice", choice)])
