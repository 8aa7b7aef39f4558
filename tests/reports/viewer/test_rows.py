"""The list: who is right, who is matched with whom, what a row says."""

from eva_lightning.records import Clip, Score
from eva_lightning.reports.viewer.rows import gold, grade, pair, row, verdict
from tests.making import task, trajectory


def test_a_fault_and_an_unknown_answer_are_ungraded():
    asked = trajectory()
    unknown = trajectory(task=type(asked.task)(id="t", clips=asked.task.clips, question="Why?"))
    made = [asked, trajectory(answer="C"), trajectory(answer=None), trajectory(stop="fault"), unknown]
    assert [grade(verdict(one)) for one in made] == ["right", "wrong", "wrong", "ungraded", "ungraded"]


def test_the_gold_answer_is_said_in_words():
    assert gold(task()) == "B. blue"
    assert gold(task(kind="interval", value=(12.0, 20.5))) == "12.0 to 20.5"
    assert gold(task(kind="order", value=("C", "A"))) == "C, A"


def test_attempts_are_matched_by_task_and_number():
    here = [trajectory(replica=0), trajectory(replica=1), trajectory(task=task(id="t2"))]
    there = [trajectory(replica=1, answer="C"), trajectory(task=task(id="t3")), trajectory(answer="A")]
    pairs, alone = pair(here, there)
    assert [one.here for one in pairs] == here
    assert [one.there and one.there.answer for one in pairs] == ["A", "C", None]
    assert alone == 1


def test_partners_are_shown_with_the_same_clips():
    moved = task(clips=(Clip(id="v", path="elsewhere/v.mp4"),), value="C")
    (one,), _ = pair([trajectory()], [trajectory(task=moved)])
    assert one.there.task.clips == one.here.task.clips
    assert one.there.task.answer.value == "C"


def test_attempts_that_share_a_number_are_matched_in_order():
    pairs, alone = pair([trajectory(), trajectory()], [trajectory(answer=said) for said in "ABC"])
    assert [one.there.answer for one in pairs] == ["A", "B"]
    assert alone == 1


def test_a_row_holds_what_is_filtered_and_sorted_by():
    scored = trajectory(
        frames=3, scores={"accuracy": Score(value=1.0), "cost": Score(value=-0.5, weight=0.2)}
    )
    (one,), _ = pair([scored], [trajectory(stop="turn_limit", answer=None)])
    said = row(one)
    assert (said["question"], said["gold"], said["replica"]) == ("What colour?", "B. blue", 0)
    assert said["sides"] == [
        {
            "answer": "B",
            "grade": "right",
            "fault": False,
            "stop": "answered",
            "reward": 0.9,
            "rounds": 2,
            "frames": 3,
            "tokens": 18,  # 3 frames of 56 x 84
        },
        {
            "answer": None,
            "grade": "wrong",
            "fault": False,
            "stop": "turn_limit",
            "reward": None,
            "rounds": 2,
            "frames": 2,
            "tokens": 12,
        },
    ]
