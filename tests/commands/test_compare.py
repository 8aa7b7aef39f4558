"""eva compare: stages side by side as table, picture and TensorBoard curves."""

import csv

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from eva_lightning.commands import compare
from eva_lightning.faults import UsageError
from eva_lightning.files.store import write
from eva_lightning.reports.drawing import COLOURS
from tests.making import task, trajectory


def evaluated(folder, **evaluations):
    for name, answers in evaluations.items():
        made = [
            trajectory(task=task(id=f"t{i}", source="when"), answer=answer)
            for i, answer in enumerate(answers)
        ]
        write(folder / "evaluations" / f"{name.replace('_', '-')}.jsonl", made)
    return str(folder)


@pytest.fixture
def stages(tmp_path):
    sft = evaluated(tmp_path / "sft", validate_10="CCCB")
    grpo = evaluated(tmp_path / "grpo", validate_5="CCBB", validate_20="BBBB")
    return [sft, grpo]


def scalars(folder):
    events = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }, events


def test_stages_overlay_under_the_names_that_training_logs(stages, tmp_path, capsys):
    out = tmp_path / "out"
    for _ in range(2):  # a second comparison replaces the first
        compare.main([*stages, "--out", str(out)])
    said = capsys.readouterr().out
    assert "25.0%" in said and "100.0% (100-100)" in said and "+75.0" in said and "when" in said
    sft, _ = scalars(out / "sft")
    grpo, _ = scalars(out / "grpo")
    assert sft["eval/accuracy"] == [(10, 0.25)]
    assert grpo["eval/accuracy"] == [(5, 0.5), (20, 1.0)]
    assert grpo["eval/accuracy/when"] == [(5, 0.5), (20, 1.0)]
    assert set(sft) == set(grpo)
    _, layout = scalars(out / "layout")
    assert "custom_scalars__config__" in layout.Tags()["tensors"]


def test_the_picture_has_a_bar_of_each_stage(stages, tmp_path):
    compare.main([*stages, "--out", str(tmp_path / "out")])
    with Image.open(tmp_path / "out" / "comparison.png") as picture:
        assert picture.size == (1200, 718)
        seen = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    for colour in COLOURS[:2]:
        assert tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5)) in seen
    assert tuple(int(COLOURS[2][i : i + 2], 16) for i in (1, 3, 5)) not in seen


def test_tables_are_written_for_papers_and_for_spreadsheets(stages, tmp_path):
    compare.main([*stages, "--out", str(tmp_path / "out")])
    said = (tmp_path / "out" / "comparison.md").read_text()
    assert said.startswith("|  | tasks | accuracy |") and "| grpo | 4 | 100.0% (100-100) |" in said
    with (tmp_path / "out" / "families.csv").open() as file:
        assert [row[0] for row in csv.reader(file)] == ["accuracy", "when"]


def test_runs_that_were_asked_for_times_are_compared_by_all_measures_of_them(tmp_path, capsys):
    asked = [task("interval", (10.0, 20.0), id=f"t{i}", source="when") for i in range(8)]
    for name, said in (("sft", "10 to 12"), ("grpo", "10 to 18")):
        write(tmp_path / f"{name}.jsonl", [trajectory(task=one, answer=said) for one in asked])
    compare.main(
        [*(str(tmp_path / f"{name}.jsonl") for name in ("sft", "grpo")), "--out", str(tmp_path / "out")]
    )
    with (tmp_path / "out" / "grounding.csv").open() as file:
        head, *rows = list(csv.reader(file))
    assert head == ["times", "sft", "grpo", "p"]
    told = {row[0]: row[1:] for row in rows}
    assert told["overlap"][:2] == ["20.0% (20-20)", "80.0% (80-80)"] and told["overlap"][2] < "0.02"
    assert told["precision"] == ["100.0% (100-100)", "100.0% (100-100)", "1.000"]
    assert told["overlap_auc"][:2] == ["19.5% (20-20)", "79.5% (80-80)"] and "accuracy_grounded" not in told
    with (tmp_path / "out" / "overlaps.csv").open() as file:
        assert [row[0] for row in csv.reader(file)] == ["overlap", "when"]
    assert "recall_auc" in capsys.readouterr().out


def test_the_frontier_has_a_point_of_each_run(stages, tmp_path):
    compare.main([*stages, "--out", str(tmp_path / "out")])
    with Image.open(tmp_path / "out" / "frontier.png") as picture:
        seen = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    for colour in COLOURS[:2]:
        assert tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5)) in seen


def test_files_are_runs_too_and_other_tasks_are_pointed_out(tmp_path, capsys):
    write(tmp_path / "a.jsonl", [trajectory()])
    write(tmp_path / "b" / "a.jsonl", [trajectory(task=task(id="t2"))])
    compare.main([str(tmp_path / "a.jsonl"), str(tmp_path / "b" / "a.jsonl")])
    said = capsys.readouterr().out
    assert "a (1)" in said and "a (2)" in said
    assert "Not all runs answered the same tasks" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b"]


def test_no_run_and_a_wrong_one_are_refused(tmp_path):
    with pytest.raises(UsageError, match="name the runs to compare"):
        compare.main(["--out", str(tmp_path)])
    with pytest.raises(UsageError, match="name an evaluated run"):
        compare.main([str(tmp_path)])
