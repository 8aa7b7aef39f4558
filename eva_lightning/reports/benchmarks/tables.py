"""The tables of a benchmark: its results beside the published rows, and what it does not count.

Arithmetic and text only. Every accuracy names its denominator: the questions that were answered without a
fault of ours. Rows that could not be asked stand below it, by cause.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from eva_lightning.data.intake.bad_row import counted
from eva_lightning.data.intake.intake import BrokenRow
from eva_lightning.reports.benchmarks.benchmark import Benchmark
from eva_lightning.reports.benchmarks.result import Result
from eva_lightning.reports.estimate import over_tasks
from eva_lightning.reports.grounding import OVERLAPS, means
from eva_lightning.reports.summary import table

DURATIONS = (
    (0.0, "under 2 minutes"),
    (120.0, "2 to 15 minutes"),
    (900.0, "15 to 60 minutes"),
    (3600.0, "longer"),
)
"""Lengths of video that are told apart, by their lower end in seconds."""


def report(benchmark: Benchmark, results: Iterable[Result], broken: Sequence[BrokenRow]) -> str:
    """Everything that is to be said of one benchmark."""
    everything = list(results)
    sound = [one for one in everything if one.stop != "fault"]
    parts = [f"{benchmark.name}: {_denominator(everything, sound, broken)}"]
    if not sound:
        return "\n".join([*parts, "no question was answered without a fault; there is nothing to tell"])
    parts.append(
        table(
            ("", "accuracy", "95 %", "rounds", "tokens", "frames", "visual tokens"), _rows(benchmark, sound)
        )
    )
    if benchmark.published:
        parts.append(f"comparable with: {benchmark.published_settings}")
        parts += [f"{name}: {theirs.source}" for name, theirs in benchmark.published.items() if theirs.source]
    parts.append("ended by: " + ", ".join(f"{stop} {count}" for stop, count in _stops(everything)))
    differ = sum(one.correct != one.exact for one in sound)
    exact = sum(one.exact for one in sound) / len(sound)
    parts.append(
        f"scored as EVA's evaluator does (the whole answer is the letter): {exact:.2%}; {differ} differ"
    )
    parts += _timed(benchmark, sound)
    parts += _evidence(sound)
    for title, key in (("kind", _kind), ("video", _length)):
        groups = _grouped(sound, key)
        if len(groups) > 1:
            rows = [(name, str(len(ones)), f"{_share(ones):.1%}") for name, ones in groups.items()]
            parts.append(table((title, "questions", "accuracy"), rows))
    return "\n\n".join(parts)


def measures(results: Iterable[Result]) -> dict[str, float]:
    """The numbers that are logged, as means over what no fault ended."""
    everything = list(results)
    sound = [one for one in everything if one.stop != "fault"]
    told = {"questions": float(len(sound)), "faults": float(len(everything) - len(sound))}
    if not sound:
        return told
    return told | {
        "accuracy": _share(sound),
        **means(one.timed for one in sound),
        "accuracy_exact": _mean(sound, lambda one: float(one.exact)),
        "rounds": _mean(sound, lambda one: one.num_rounds),
        "total_tokens": _mean(sound, lambda one: one.total_tokens),
        "frames": _mean(sound, lambda one: one.frames),
        "visual_tokens": _mean(sound, lambda one: one.visual_tokens),
    }


def _denominator(everything: Sequence[Result], sound: Sequence[Result], broken: Sequence[BrokenRow]) -> str:
    told = f"{len(sound)} questions answered"
    if len(everything) > len(sound):
        told += (
            f", {len(everything) - len(sound)} more ended by a fault (not counted; --retry_errors asks again)"
        )
    if broken:
        told += f"; {len(broken)} rows could not be asked: {counted(row.cause for row in broken)}"
    return told


def _rows(benchmark: Benchmark, sound: Sequence[Result]) -> list[list[str]]:
    tasks = _grouped(sound, lambda one: one.id)
    right = over_tasks({task: [float(one.correct) for one in ones] for task, ones in tasks.items()})
    mine = measures(sound)
    rows = [
        [
            "this policy",
            f"{mine['accuracy']:.2%}",
            f"{right.low:.1%} to {right.high:.1%}",
            f"{mine['rounds']:.2f}",
            f"{mine['total_tokens']:.0f}",
            f"{mine['frames']:.1f}",
            f"{mine['visual_tokens']:.0f}",
        ]
    ]
    for name, theirs in benchmark.published.items():
        rounds = "-" if theirs.rounds is None else f"{theirs.rounds:.2f}"
        tokens = "-" if theirs.total_tokens is None else f"{theirs.total_tokens:.0f}"
        rows.append([f"{name} (published)", _percent(theirs.accuracy), "-", rounds, tokens, "-", "-"])
    return rows


def _timed(benchmark: Benchmark, sound: Sequence[Result]) -> list[str]:
    """How well answers that name times meet the gold ones, beside what others reported."""
    asked = [one for one in sound if one.timed]
    if not asked:
        return []
    mine = means(one.timed for one in asked)
    told = ", ".join(f"{name} {mine[name]:.1%}" for name in OVERLAPS)
    others = {name: theirs.timed for name, theirs in benchmark.published.items() if theirs.timed}
    rows = [
        [name, f"{mine[name]:.2%}", *(_percent(one.get(name)) for one in others.values())] for name in mine
    ]
    heads = ("times", "this policy", *(f"{name} (published)" for name in others))
    return [f"{len(asked)} interval answers by their IoU: {told}", table(heads, rows)]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}%"


def _evidence(sound: Sequence[Result]) -> list[str]:
    """How often the agent looked where the answer is, and what it paid."""
    known = [one for one in sound if one.seen is not None]
    if not known:
        return []
    there = [one for one in known if one.seen]
    told = (
        f"a frame inside the evidence: {len(there)} of {len(known)} questions ({len(there) / len(known):.1%})"
    )
    for name, ones in (("seen", there), ("not seen", [one for one in known if not one.seen])):
        if ones:
            cost = _mean(ones, lambda one: one.visual_tokens)
            told += f"; {name}: accuracy {_share(ones):.1%}, {cost:.0f} visual tokens"
    return [told]


def _stops(everything: Sequence[Result]) -> list[tuple[str, int]]:
    return Counter(one.stop_reason for one in everything).most_common()


def _grouped(sound: Sequence[Result], key: Callable[[Result], str]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for one in sound:
        groups.setdefault(key(one), []).append(one)
    return dict(sorted(groups.items()))


def _kind(one: Result) -> str:
    return one.category or "(none)"


def _length(one: Result) -> str:
    return [name for low, name in DURATIONS if one.duration >= low][-1]


def _share(ones: Sequence[Result]) -> float:
    return sum(one.correct for one in ones) / len(ones)


def _mean(ones: Sequence[Result], value: Callable[[Result], float]) -> float:
    return sum(value(one) for one in ones) / len(ones)
