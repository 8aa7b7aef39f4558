"""What is logged, from trajectories one can count by hand."""

from eva_lightning.records import Observation, Span, Turn
from eva_lightning.reports.metrics import trajectory_metrics
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
    assert set(trajectory_metrics([]).values()) == {0.0}


def test_in_a_world_of_words_whoever_was_told_something_looked():
    told = Observation(parts=("a cup",), spans=(Span(clip="v", start=1.0, end=2.0),))
    one = trajectory(turns=[Turn(text="look", observation=told), Turn(text="done")])
    assert trajectory_metrics([one, trajectory(turns=[Turn(text="done")])])["looked"] == 0.5
