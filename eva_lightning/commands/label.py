"""`eva label`: marks trajectories good or bad by rule, for KTO. The rules are in `synthesis/feedback.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from eva_lightning.commands.arguments import run_command
from eva_lightning.faults import UsageError
from eva_lightning.objectives.kto import recommended_band
from eva_lightning.records import Trajectory
from eva_lightning.report.summary import table
from eva_lightning.store import located, portable, read, write
from eva_lightning.synthesis.feedback import FeedbackRules, Judgement, judge

DEFAULTS = FeedbackRules()


def main(words: Sequence[str]) -> None:
    run_command(label, words, "eva label")


def label(trajectories: str | list[str], out: str, rules: FeedbackRules = DEFAULTS) -> None:
    """Mark every trajectory good or bad, say why, and print the balance.

    Good is right, on evidence and not wasteful; the reason stands in scores.feedback of each row.

    Args:
        trajectories: JSONL file of trajectories, or several as [a.jsonl,b.jsonl]: right attempts at a
            family of questions are compared over all of them.
        out: JSONL file to write.
        rules: Where the borders are.
    """
    files = [trajectories] if isinstance(trajectories, str) else trajectories
    made = [one for file in files for one in _read(Path(file))]
    judgements = judge(made, rules)
    marked = [one.trajectory for one in judgements if one.trajectory.desirable is not None]
    if not marked:
        raise UsageError(
            f"{', '.join(files)}: none of {len(made)} trajectories can be marked; they need a gold answer "
            "and an end other than a fault"
        )
    root = Path(out).parent
    write(out, [replace(one, task=portable(one.task, root)) for one in marked])
    print(_causes(judgements))
    print(f"\n{len(marked)} of {len(made)} trajectories marked in {out}")
    print(_balance(marked))


def _read(file: Path) -> list[Trajectory]:
    return [replace(one, task=located(one.task, file.parent)) for one in read(file, Trajectory)]


def _causes(judgements: Sequence[Judgement]) -> str:
    """How often each cause came up, commonest first, and one trajectory to look at."""
    counts = Counter(one.cause for one in judgements)
    rows, examples = [], ["for example"]
    for cause, count in counts.most_common():
        one = next(one.trajectory for one in judgements if one.cause == cause)
        mark = {True: "good", False: "bad", None: "left out"}[one.desirable]
        reason = one.scores["feedback"].reason.removeprefix(f"{cause}: ")
        rows.append([cause, mark, str(count), f"{count / len(judgements):.1%}"])
        examples.append(f"{one.task.id}: {reason if len(reason) <= 60 else reason[:57] + '...'}")
    lines = table(("cause", "mark", "count", "share"), rows).splitlines()
    return "\n".join(f"{line}  {example}" for line, example in zip(lines, examples, strict=True))


def _balance(marked: Sequence[Trajectory]) -> str:
    good = sum(one.desirable is True for one in marked)
    bad = len(marked) - good
    line = f"{good} good, {bad} bad ({good / len(marked):.1%} good)"
    if not good or not bad:
        return f"{line}; KTO needs both"
    low, high = recommended_band(good, bad)
    return f"{line}; for KTO set desirable_weight between {low:.2f} and {high:.2f} (undesirable_weight 1)"
