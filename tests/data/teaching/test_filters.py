"""What is worth imitating: each cause once, and the limits at their borders."""

from dataclasses import replace

import pytest

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.data.teaching.audits import Auditor, AuditRules
from eva_lightning.data.teaching.filters import KeepRules, why_not
from eva_lightning.records import Turn
from tests.making import StillWorld, task, trajectory


def cause(one, auditor=None, **rules):
    found = why_not(one, KeepRules(**rules), auditor)
    return found and found[0]


def failed():
    one = trajectory()
    one.turns[0].observation = replace(one.turns[0].observation, error="nframes is missing")
    return one


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (trajectory(), None),
        (trajectory(stop="fault", faults=["the server is gone"]), "fault"),
        (trajectory(task=replace(task(), answer=None)), "no gold answer"),
        (trajectory(stop="turn_limit", answer=None), "stopped"),
        (failed(), "malformed"),
        (trajectory(answer="C"), "wrong"),
        (trajectory(frames=0, turns=[Turn(text="<answer>B</answer>")]), "blind"),
    ],
)
def test_an_attempt_and_why_it_is_not_kept(one, found):
    assert cause(one) == found


def test_a_budget_is_kept_at_its_border():
    one = trajectory(frames=2)  # of 56 x 84: six visual tokens each
    assert cause(one, rounds=2, frames=2, visual_tokens=12) is None
    assert why_not(one, KeepRules(visual_tokens=11)) == ("over budget", "12 visual tokens, 11 allowed")
    assert cause(one, rounds=1) == cause(one, frames=1) == "over budget"
    with pytest.raises(ValueError, match="frames is 0"):
        KeepRules(frames=0)


def test_a_call_that_breaks_a_rule_counts_only_with_an_auditor():
    dialect = EvaDialect()
    one = trajectory()
    one.turns[0].calls = dialect.parse(
        dialect.call("frame_select", start_time=0, end_time=4, nframes=9)
    ).calls
    assert cause(one) is None
    assert cause(one, Auditor(AuditRules(), dialect, StillWorld().describe)) == "audited"


def test_words_that_give_the_briefing_away_count_only_for_the_briefed():
    one = trajectory(hint="workflow")
    assert cause(one) is None
    one.turns[0].text = "As I was briefed, I look at the whole video first."
    assert why_not(one, KeepRules()) == ("leaked", "a message says 'briefed'")
    one.hint = ""
    assert cause(one) is None
    one.turns[0].text = "The auditor is right."
    assert cause(one, Auditor(AuditRules(), EvaDialect(), StillWorld().describe)) == "leaked"
