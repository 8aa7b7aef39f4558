"""What is said of a benchmark's results, with numbers one can check by head."""

from dataclasses import replace

import pytest

from eva_lightning.data.intake.intake import BrokenRow
from eva_lightning.reports.benchmarks.benchmark import Benchmark, Published
from eva_lightning.reports.benchmarks.result import result_of
from eva_lightning.reports.benchmarks.tables import measures, report
from eva_lightning.reports.comparison import estimate
from tests.making import task, trajectory

LVBENCH = Benchmark(
    name="LVBench",
    file="",
    videos="",
    published={"EVA": Published(accuracy=43.32, rounds=2.62, total_tokens=20412)},
)


def result(number=0, answer="B", stop="answered", duration=60.0, **extra):
    asked = task(id=f"LVBench/{number}", source="LVBench", extra={"index": number, **extra})
    return result_of(trajectory(task=asked, answer=answer, stop=stop, frames=2), duration)


def test_a_row_has_what_the_official_script_reads():
    row = result(7)
    assert (row.index, row.gt, row.answer, row.stop_reason, row.num_rounds) == (
        7,
        "B",
        "B",
        "answer_found",
        2,
    )
    # 4 of the prompt, 6 written, 2 of the tool, and two frames of 56 x 84: 2 x 3 tokens each
    assert row.total_tokens == 4 + 6 + 2 + 12 and row.visual_tokens == 12 and row.times == (0.0, 1.0)


def test_right_by_words_is_right_here_and_wrong_for_the_official_script():
    rows = [
        result(0, "B"),
        result(1, "b"),
        result(2, "B. blue"),
        result(3, "C"),
        result(4, None, "no_action"),
    ]
    assert [row.correct for row in rows] == [True, True, True, False, False]
    assert [row.exact for row in rows] == [True, True, False, False, False]
    assert measures(rows)["accuracy"] == pytest.approx(0.6)
    assert measures(rows)["accuracy_exact"] == pytest.approx(0.4)


def test_a_fault_is_in_no_mean_and_is_told():
    rows = [result(0), result(1, None, "fault"), result(2, "A")]
    assert measures(rows) | {"rounds": 0} == measures(rows[::2]) | {"faults": 1.0, "rounds": 0}
    told = report(LVBENCH, rows, [BrokenRow(place="rows.jsonl:3", cause="missing video", detail="a.mp4")] * 2)
    assert "2 questions answered, 1 more ended by a fault" in told
    assert "2 rows could not be asked: 2 missing video" in told and "50.00%" in told


def test_the_published_row_stands_beside_ours():
    told = report(LVBENCH, [result(0)], [])
    assert "EVA (published)" in told and "43.32%" in told and "2.62" in told and "20412" in told
    assert "12,000 visual tokens a call, temperature 0" in told


def test_evidence_is_told_with_its_cost():
    rows = [result(0, evidence=[[0.5, 2.0]]), result(1, "A", evidence=[[50.0, 60.0]])]
    assert [row.seen for row in rows] == [True, False]
    told = report(LVBENCH, rows, [])
    assert "a frame inside the evidence: 1 of 2 questions (50.0%)" in told
    assert "seen: accuracy 100.0%, 12 visual tokens; not seen: accuracy 0.0%" in told


def test_kinds_and_lengths_are_told_apart():
    rows = [result(0, category="x"), result(1, "A", duration=4000.0, category="y")]
    told = report(LVBENCH, rows, [])
    assert "under 2 minutes" in told and "longer" in told and "x " in told and "y " in told


def test_nothing_but_faults_is_no_accuracy():
    assert "there is nothing to tell" in report(LVBENCH, [result(0, None, "fault")], [])


def test_the_interval_is_that_of_eva_compare_however_often_a_question_was_asked():
    made = [
        trajectory(task=task(id=f"LVBench/{i}", source="LVBench"), answer="BC"[i % 2], replica=replica)
        for i in range(20)
        for replica in range(8)
    ]
    over_tasks = estimate(made, "accuracy")
    assert over_tasks.high - over_tasks.low > 0.3  # of 160 coins it would be 0.155
    told = report(LVBENCH, [result_of(one) for one in reversed(made)], [])
    assert f"{over_tasks.low:.1%} to {over_tasks.high:.1%}" in told


def test_an_interval_answer_has_its_overlap_as_its_value():
    asked = task("interval", (10.0, 20.0), id="Charades/0", source="Charades")
    rows = [result_of(trajectory(task=asked, answer=said)) for said in ("10 to 20", "10 to 14", None)]
    assert [(row.value, row.correct) for row in rows] == [(1.0, True), (0.4, False), (0.0, False)]
    assert measures(rows)["overlap"] == pytest.approx(1.4 / 3)
    told = report(LVBENCH, rows, [])
    assert "3 interval answers by their IoU: overlap 46.7%, overlap>=0.3 66.7%, overlap>=0.5 33.3%" in told
    assert result(0).value == 1.0 and "IoU" not in report(LVBENCH, [result(0)], [])
    assert result_of(trajectory(task=asked, answer="10 to 20", stop="fault")).value == 0.0


def test_published_measures_of_times_stand_beside_ours():
    asked = task(grounds=((10.0, 20.0),), id="GQA/0", source="GQA")
    rows = [result_of(trajectory(task=asked, answer=said)) for said in ("10 to 20, B", "B")]
    assert [(row.value, row.correct) for row in rows] == [(1.0, True), (0.5, True)]
    assert measures(rows)["accuracy"] == 1.0 and measures(rows)["accuracy_grounded"] == 0.5
    theirs = Published(accuracy=78.7, timed={"overlap": 43.0}, source="arXiv 2508.04416 v2")
    told = report(replace(LVBENCH, published={"VITAL": theirs, "other": Published(timed={})}), rows, [])
    lines = [line.split() for line in told.splitlines()]
    assert ["overlap", "50.00%", "43.00%"] in lines and ["accuracy_grounded", "50.00%", "-"] in lines
    assert "78.70%" in told and "VITAL: arXiv 2508.04416 v2" in told
