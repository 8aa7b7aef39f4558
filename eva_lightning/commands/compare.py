"""`eva compare RUN...`: what each stage brought, as a table, a picture, and curves in TensorBoard.

The curves of all runs lie over each other.

Reads evaluations that were made before; runs no model.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from eva_lightning.commands.arguments import run_command
from eva_lightning.faults import UsageError
from eva_lightning.reports.benchmarks.lmms_eval_files import write_lmms_eval
from eva_lightning.reports.chart import Bar, Panel, save_chart
from eva_lightning.reports.comparison import (
    Run,
    as_markdown,
    estimate,
    family_cells,
    grounding_cells,
    is_share,
    measures,
    read_run,
    stage_cells,
)
from eva_lightning.reports.frontier import Point, save_frontier
from eva_lightning.reports.metrics import trajectory_metrics
from eva_lightning.reports.summary import table


def main(words: Sequence[str]) -> None:
    """The runs come first, by place: a list of unknown length is what jsonargparse does not do by place."""
    named = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    if not named and not {"-h", "--help", "--runs"} & set(words):
        raise UsageError("name the runs to compare: eva compare runs/sft runs/kto --out DIR")
    runs = ["--runs", json.dumps(list(words[:named]))] if named else []
    run_command(compare, [*runs, *words[named:]], "eva compare")


def compare(runs: list[str], out: str | None = None, lmms_eval: str | None = None) -> None:
    """Compare evaluated runs, best in order of stages: eva compare runs/sft runs/kto runs/grpo --out DIR.

    Prints accuracy, overlaps (of interval answers), rounds, frames and visual tokens with 95 % intervals
    (over tasks), what each run gained in accuracy over the first one on the tasks of both, how likely that is
    by chance (p), and the accuracy of every family of questions or benchmark. Where times are asked for, all
    measures of them, too (mean IoU, precision, recall, areas, grounded accuracy), and the overlap of every
    family, with p values.

    Args:
        runs: Folders of stages (evaluations/*.jsonl) or of `eva test` (benchmarks/*/), or JSONL files of
            trajectories; given by place.
        out: Folder for the tables (comparison.md, comparison.csv, families.csv; grounding.csv and
            overlaps.csv where times are asked for), the pictures
            (comparison.png, and frontier.png: accuracy against visual tokens) and for TensorBoard:
            tensorboard --logdir DIR lays the runs over each other.
        lmms_eval: Folder for the same answers in the files that lmms-eval writes, for its tables and its
            --baseline: a folder for each run with DATE_results.json and DATE_samples_TASK.jsonl.
    """
    compared = _named_apart([read_run(run) for run in runs])
    tables = {"comparison": stage_cells(compared), "families": family_cells(compared)}
    timed = {"grounding": grounding_cells(compared), "overlaps": family_cells(compared, "overlap")}
    tables |= {name: cells for name, cells in timed.items() if len(cells) > 1}
    print("\n\n".join(table(cells[0], cells[1:]) for cells in tables.values()))
    asked = [{one.task.id for one in run.trajectories} for run in compared]
    if any(tasks != asked[0] for tasks in asked):
        print("\nNot all runs answered the same tasks: only the gain compares like with like.")
    if out is not None:
        folder = Path(out)
        _draw(compared, folder / "comparison.png")
        _draw_frontier(compared, folder / "frontier.png")
        (folder / "comparison.md").write_text("\n".join(map(as_markdown, tables.values())))
        for name, cells in tables.items():
            with (folder / f"{name}.csv").open("w", newline="") as file:
                csv.writer(file).writerows(cells)
        _write_board(compared, folder)
        print(f"\nTables (Markdown, CSV) and pictures: {out}   Curves: tensorboard --logdir {out}")
    if lmms_eval is not None:
        now = datetime.now()
        print("\nAs lmms-eval writes it:")
        for run in compared:
            print("\n".join(map(str, write_lmms_eval(Path(lmms_eval), run.name, run.trajectories, now))))


def _draw_frontier(runs: Sequence[Run], path: Path) -> None:
    points = []
    for series, run in enumerate(runs):
        for family in run.families:
            ones = [one for one in run.trajectories if one.task.source == family]
            right, tokens = estimate(ones, "accuracy"), estimate(ones, "visual tokens")
            assert right is not None and tokens is not None
            points.append(
                Point(
                    series=series,
                    label=family or "all",
                    tokens=tokens.mean,
                    accuracy=right.mean,
                    low=right.low,
                    high=right.high,
                )
            )
    save_frontier(path, [run.name for run in runs], points)


def _named_apart(runs: Sequence[Run]) -> list[Run]:
    """Two runs of one name get a number each."""
    names = [run.name for run in runs]
    return [
        replace(run, name=f"{run.name} ({names[: i + 1].count(run.name)})")
        if names.count(run.name) > 1
        else run
        for i, run in enumerate(runs)
    ]


def _draw(runs: Sequence[Run], path: Path) -> None:
    above = [
        Panel(
            title=measure,
            groups=[(run.name, _bar(run, number, measure)) for number, run in enumerate(runs)],
            spell="{:.0%}".format if is_share(measure) else _plain,
            top=1.0 if is_share(measure) else None,
        )
        for measure in measures(runs)
        if ">" not in measure  # they are parts of the overlap, beside it
    ]
    families = sorted({family for run in runs for family in run.families})
    below = Panel(
        title="accuracy by family",
        groups=[
            (
                family or "all",
                [bar for i, run in enumerate(runs) for bar in _bar(run, i, "accuracy", family)],
            )
            for family in families
        ],
        spell="{:.0%}".format,
        top=1.0,
    )
    save_chart(path, [run.name for run in runs], [above, [below]])


def _bar(run: Run, series: int, measure: str, family: str | None = None) -> list[Bar]:
    """The bar of a run; none where it has nothing of that measure or family."""
    ones = [one for one in run.trajectories if family is None or one.task.source == family]
    value = estimate(ones, measure)
    if value is None:
        return []
    return [Bar(series=series, value=value.mean, low=value.low, high=value.high)]


def _plain(value: float) -> str:
    return f"{value:.0f}" if value >= 20 or value == int(value) else f"{value:.1f}"


def _write_board(runs: Sequence[Run], folder: Path) -> None:
    """A TensorBoard run for each of ours, under the names training logs, and a layout that pairs them."""
    from torch.utils.tensorboard import SummaryWriter

    for file in _old_events(runs, folder):
        file.unlink()
    tags: set[str] = set()
    for run in runs:
        writer = SummaryWriter(str(folder / run.name))
        for step, trajectories in run.evaluations:
            for name, value in trajectory_metrics(trajectories, by_source=True).items():
                tags.add(f"eval/{name}")
                writer.add_scalar(f"eval/{name}", value, step)
        writer.close()
    layout = SummaryWriter(str(folder / "layout"))
    names = ("accuracy", "overlap", "rounds", "frames", "visual_tokens")
    whole = {name: ["Multiline", [f"^eval/{name}$"]] for name in names if f"eval/{name}" in tags}
    families = sorted(tag.removeprefix("eval/") for tag in tags if tag.startswith("eval/accuracy/"))
    layout.add_custom_scalars(
        {"stages": whole, "families": {name: ["Multiline", [f"^eval/{name}$"]] for name in families}}
    )
    layout.close()


def _old_events(runs: Sequence[Run], folder: Path) -> Iterator[Path]:
    """What an earlier comparison left: TensorBoard would show it as a second line."""
    for name in ("layout", *(run.name for run in runs)):
        yield from (folder / name).glob("events.out.tfevents.*")
