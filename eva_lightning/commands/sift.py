"""`eva sift`: from many tasks those worth training on, by the attempts that were made at them.

Which those are is said in `selection/sifting.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from eva_lightning.commands.arguments import refuse_to_overwrite, run_command, several
from eva_lightning.commands.task_file import read_tasks, task_file
from eva_lightning.data.selection.sifting import Sifted, SiftRules, SolveRate, histogram, sift, solve_rates
from eva_lightning.data.teaching.attempts import dropped_beside
from eva_lightning.data.teaching.filters import Dropped
from eva_lightning.faults import UsageError
from eva_lightning.files.lock import sole_writer
from eva_lightning.files.store import portable, stream, write
from eva_lightning.records import Task, Trajectory
from eva_lightning.reports.summary import table

RULES = SiftRules()
BAR = 30
"""Characters of the longest bar."""


def main(words: Sequence[str]) -> None:
    run_command(sift_tasks, words, "eva sift")


def sift_tasks(
    tasks: str,
    attempts: str | list[str],
    out: str,
    uniform: str | list[str] | None = None,
    rules: SiftRules = RULES,
) -> None:
    """Drop the tasks that all attempts solve, or none, and those that need no search; say why and how many.

    Make the attempts with `eva collect --attempts 8`, and those of --uniform with
    `eva collect --config eva/uniform.yaml`.
    Attempts that `--keep.only_good` dropped lie beside the others, and count; those that a fault ended do
    not.
    Kept tasks say how often they were solved, in extra.solved: [right, attempts].

    Args:
        tasks: JSONL file of tasks, or a folder of the embedded world (its tasks.jsonl).
        attempts: JSONL file of attempts at them, or several as [a.jsonl,b.jsonl].
        out: JSONL file of tasks to write.
        uniform: JSONL file of attempts with a few uniform frames and no tool, or several; None drops no task
            for that.
        rules: Where the borders are.
    """
    file = task_file(tasks)
    made, shown = several(attempts), [] if uniform is None else several(uniform)
    refuse_to_overwrite(out, str(file), *made, *shown)
    with sole_writer(out, "give another --out"):
        questions = read_tasks(file)
        rates = _solve_rates(questions, made)
        plain = _solve_rates(questions, shown) if shown else None
        sifted = sift(questions, rates, plain, rules)
        kept = [one.task for one in sifted if one.kept]
        print(f"{_causes(sifted)}\n\n{_bars(sifted)}\n")
        few = [one.task.id for one in sifted if one.cause == "too few attempts"]
        if few:
            what = "kept" if rules.keep_few else "dropped"
            print(f"{len(few)} tasks with fewer than {rules.least} sound attempts were {what}: {_some(few)}")
        unseen = [task.id for task in questions if plain is not None and task.id not in plain]
        if unseen:
            print(f"{len(unseen)} tasks have no attempt in --uniform, and stay in the race: {_some(unseen)}")
        if not kept:
            raise UsageError(
                f"{file}: none of {len(questions)} tasks is left; loosen --rules or make more attempts"
            )
        write(out, [portable(task, Path(out).parent) for task in kept])
        print(f"{len(kept)} of {len(questions)} tasks kept in {out}")


def _solve_rates(questions: Sequence[Task], files: Sequence[str]) -> dict[str, SolveRate]:
    """One pass; the trajectories are not kept."""
    strangers: Counter[str] = Counter()
    known = {task.id for task in questions}

    def attempts() -> Iterator[Trajectory]:
        for name in files:
            for one in _attempts(Path(name)):
                strangers[name] += one.task.id not in known
                yield one

    try:
        rates = solve_rates(questions, attempts())
    except ValueError as problem:
        raise UsageError(
            f"{', '.join(files)}: {problem}; give the attempts that were made at this file of tasks"
        ) from None
    for name, count in strangers.items():
        if count:
            print(f"{name}: {count} attempts at tasks that are not in the file are passed over")
    return rates


def _attempts(file: Path) -> Iterator[Trajectory]:
    """All that were made: a rate over the good ones alone would be no rate."""
    yield from stream(file, Trajectory)
    beside = dropped_beside(file)
    if beside.exists():
        yield from (row.trajectory for row in stream(beside, Dropped))


def _causes(sifted: Sequence[Sifted]) -> str:
    """How many tasks are kept and dropped for each cause, by source if there are several."""
    sources = sorted({one.task.source for one in sifted})
    columns = [*sources, None] if len(sources) > 1 else [None]
    counts: Counter[tuple[str, str | None]] = Counter(
        (one.cause or "kept", source) for one in sifted for source in (one.task.source, None)
    )
    causes = ["kept", *sorted({one.cause for one in sifted if one.cause})]
    rows = [[cause, *(str(counts[cause, source]) for source in columns)] for cause in causes]
    return table(("", *("tasks" if source is None else source or "(none)" for source in columns)), rows)


def _bars(sifted: Sequence[Sifted]) -> str:
    """The histogram of solve rates."""
    counts = histogram(sifted)
    most = max(1, *(count for _, count in counts))
    lines = table(("solved", "tasks"), [[name, str(count)] for name, count in counts]).splitlines()
    bars = ["", *("#" * round(BAR * count / most) for _, count in counts)]
    return "\n".join(f"{line}  {bar}".rstrip() for line, bar in zip(lines, bars, strict=True))


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
