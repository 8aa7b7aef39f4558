"""Runs side by side: means, intervals over tasks, gains on the tasks that both answered."""

from dataclasses import replace

import pytest

from eva_lightning.faults import UsageError
from eva_lightning.files.store import write
from eva_lightning.reports.comparison import (
    Run,
    chance,
    difference,
    estimate,
    family_cells,
    read_run,
    stage_cells,
)
from tests.making import task, trajectory


def attempts(answers, source="", **fields):
    """An attempt at t0, t1, ... for each answer; B is right."""
    return [
        trajectory(task=task(id=f"t{i}", source=source), answer=answer, **fields)
        for i, answer in enumerate(answers)
    ]


def run(answers, name="run"):
    return Run(name=name, evaluations=((0, tuple(attempts(answers))),))


def test_the_interval_of_a_coin_is_wide_and_shrinks_with_its_tosses():
    few, many = (estimate(attempts("BC" * n), "accuracy") for n in (5, 500))
    assert few.mean == many.mean == 0.5
    assert 0.15 <= few.low <= 0.3 and 0.7 <= few.high <= 0.85
    assert many.high - many.low == pytest.approx(4 * 0.5 / 1000**0.5, rel=0.15)  # 2 x 1.96 standard errors


def test_more_attempts_at_the_same_tasks_are_no_more_evidence():
    once = attempts("BC" * 10)
    often = [replace(one, replica=i) for one in once for i in range(10)]
    assert estimate(often, "accuracy") == estimate(once, "accuracy")


def test_means_are_of_attempts_and_faults_are_left_out():
    made = [*attempts("BB"), trajectory(frames=4, task=task(id="t2")), trajectory(stop="fault")]
    one = Run(name="r", evaluations=((0, tuple(made)),))
    assert estimate(one.trajectories, "frames").mean == pytest.approx(8 / 3)
    assert estimate(one.trajectories, "visual tokens").mean == pytest.approx(16)
    assert one.faults == 1


def test_a_gain_is_measured_on_the_tasks_of_both():
    gained = difference(run("BBBBC"), run("BBCC"), "accuracy")
    assert gained.mean == 0.5  # of t0 to t3 two more are right
    assert gained.low >= 0.0 and gained.high == 1.0
    same = difference(run("BC"), run("BC"), "accuracy")
    assert (same.mean, same.low, same.high) == (0.0, 0.0, 0.0)
    other = Run(name="o", evaluations=((0, (trajectory(task=task(id="x")),)),))
    assert difference(run("B"), other, "accuracy") is None


def test_tables_read_as_sentences():
    header, sft, grpo = stage_cells([run("CC", "sft"), run("BB", "grpo")])
    assert header == ["", *"tasks,accuracy,rounds,frames,visual tokens,gain,p,faults".split(",")]
    assert sft[:3] == ["sft", "2", "0.0% (0-0)"] and sft[6:8] == ["-", "-"]
    assert grpo[6] == "+100.0 (+100 to +100)"
    families = [Run(name="a", evaluations=((0, tuple(attempts("BC", "when") + attempts("B", "count"))),))]
    assert [row[0] for row in family_cells(families)] == ["accuracy", "count", "when"]
    assert family_cells([families[0], run("B", "b")])[0] == ["accuracy", "a", "b", "p"]


def test_overlaps_stand_in_the_table_where_an_interval_is_asked_for():
    when = [
        trajectory(task=task("interval", (10.0, 20.0), id=f"w{i}"), answer=said)
        for i, said in enumerate(("10 to 20", "10 to 14"))  # IoU 1 and 0.4
    ]
    header, both, choice = stage_cells([Run(name="w", evaluations=((0, (*when, *attempts("B"))),)), run("B")])
    assert header[2:7] == ["accuracy", "overlap", "overlap>=0.3", "overlap>=0.5", "overlap>=0.7"]
    assert [cell.split()[0] for cell in both[2:7]] == ["66.7%", "70.0%", "100.0%", "50.0%", "50.0%"]
    assert choice[3:7] == ["-"] * 4


def test_p_is_how_often_coins_make_such_a_gap():
    """One question apart: a coin can not tell. Four of four: 2 of 16 throws. Ten of ten: 2 of 1,024."""
    assert chance(run("BC"), run("CC")) == 1.0
    assert chance(run("BBBB"), run("CCCC")) == pytest.approx(2 / 16, abs=0.02)
    assert chance(run("B" * 10), run("C" * 10)) == pytest.approx(2 / 1024, abs=0.002)
    assert chance(run("BCB"), run("BCB")) == 1.0
    elsewhere = Run(name="o", evaluations=((0, (trajectory(task=task(id="x")),)),))
    assert chance(run("B"), elsewhere) is None


def test_a_folder_of_benchmarks_is_a_run_with_a_family_for_each(tmp_path):
    for name, answers in (("LVBench", "BC"), ("MLVU", "BB")):
        made = [
            replace(one, task=replace(one.task, id=f"{name}/{i}", source=name))
            for i, one in enumerate(attempts(answers))
        ]
        write(tmp_path / "runs" / "benchmarks" / name / "trajectories.jsonl", made)
    one = read_run(tmp_path / "runs")
    assert [row[:2] for row in family_cells([one])[1:]] == [
        ["LVBench", "50.0% (0-100)"],
        ["MLVU", "100.0% (100-100)"],
    ]


def test_the_latest_evaluation_counts_and_an_attempt_in_two_files_counts_once(tmp_path):
    folder = tmp_path / "grpo" / "evaluations"
    write(folder / "validate-000009.jsonl", attempts("CC"))
    write(folder / "validate-000010.jsonl", attempts("BC"))
    write(folder / "test-000010.rank1.jsonl", [*attempts("BC"), trajectory(task=task(id="bench"))])
    one = read_run(tmp_path / "grpo")
    assert one.name == "grpo"
    assert [(step, len(made)) for step, made in one.evaluations] == [(9, 2), (10, 3)]
    assert read_run(tmp_path / "grpo", at=9).evaluations == one.evaluations[:1]
    assert estimate(one.trajectories, "accuracy").mean == pytest.approx(2 / 3)


def test_what_can_not_be_compared_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"neither a JSONL file nor a folder with evaluations"):
        read_run(tmp_path)
    write(tmp_path / "a.jsonl", [trajectory(task=replace(task(), answer=None))])
    with pytest.raises(UsageError, match="task 't1' has no gold answer"):
        read_run(tmp_path / "a.jsonl")
    write(tmp_path / "a.jsonl", [trajectory(stop="fault")])
    with pytest.raises(UsageError, match="no trajectory without a fault"):
        read_run(tmp_path / "a.jsonl")


def test_the_folder_of_a_stage_is_a_run_with_the_logs_of_all_its_versions(tmp_path):
    for version, iteration, answers in ((0, 10, "CC"), (2, 20, "CC"), (10, 20, "BB")):
        folder = tmp_path / "grpo" / "lightning_logs" / f"version_{version}" / "evaluations"
        write(folder / f"validate-{iteration:06d}.jsonl", attempts(answers))
    one = read_run(tmp_path / "grpo")
    assert (one.name, [step for step, _ in one.evaluations]) == ("grpo", [10, 20])
    assert estimate(one.trajectories, "accuracy").mean == 1.0  # version 10 is newer than version 2
