"""A crumb for a wrong answer after a look that worked, and for nothing else."""

import pytest

from eva_lightning.records import Observation, ToolCall, Turn
from eva_lightning.rewards.format import FormatReward
from tests.making import frame, trajectory

CALL = ToolCall(name="frame_select", arguments={}, text="{}")
WORKED = Turn(text="look", calls=(CALL,), observation=Observation(parts=(frame(),)))
FAILED = Turn(text="look", calls=(CALL,), observation=Observation(parts=("Error",), error="no such tool"))
MALFORMED = Turn(text="<tool_call>{", observation=Observation(parts=("Error",), error="not JSON"))
HALF = Turn(text="look", calls=(CALL, CALL), observation=Observation(parts=(frame(),), error="one failed"))
WORDS = Turn(text="look", calls=(CALL,), observation=Observation(parts=("a red circle at 3 s",)))
UNRUN = Turn(text="look", calls=(CALL,))  # the last turn: its calls were never executed


@pytest.mark.parametrize(
    "turn, value",
    [(WORKED, 1.0), (HALF, 1.0), (WORDS, 1.0), (FAILED, 0.0), (MALFORMED, 0.0), (UNRUN, 0.0)],
    ids=["worked", "half", "words", "failed", "malformed", "unrun"],
)
def test_a_wrong_answer_earns_it_by_a_call_that_worked(turn, value):
    score = FormatReward().score(trajectory(turns=[turn, Turn(text="A")], answer="A"))
    assert score.value == value and score.weight == 0.05


def test_a_right_answer_needs_no_crumb():
    assert FormatReward().score(trajectory(turns=[WORKED], answer="B")).value == 0.0


def test_no_answer_is_not_a_wrong_answer():
    assert FormatReward().score(trajectory(turns=[WORKED], answer=None, stop="turn_limit")).value == 0.0


def test_a_guess_without_a_look_earns_nothing():
    assert FormatReward().score(trajectory(turns=[Turn(text="A")], answer="A")).value == 0.0
