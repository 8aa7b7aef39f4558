"""A trajectory as two plain tables: what was asked, answered and scored; what was written, called and seen.

Cells are text that any file format and any page can hold: cut where they get too long, nothing in them that
can not be stored or printed. How they are spelled for a page is its own business (`trajectory_markdown`).
"""

from __future__ import annotations

from dataclasses import dataclass

from eva_lightning.records import FrameRef, Observation, ToolCall, Trajectory, Turn
from eva_lightning.scoring import canonical

LONGEST = 4000
"""Characters of one cell; the JSONL file holds the rest."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text under named columns."""

    name: str
    """What it tells: `facts` or `turns`."""
    columns: tuple[str, ...]
    """Heads of the columns."""
    rows: tuple[tuple[str, ...], ...]
    """A cell for each column."""


def tables(trajectory: Trajectory, notes: tuple[tuple[str, str], ...] = ()) -> tuple[Table, Table]:
    """The facts, with notes of the caller's below them, then a row for each turn."""
    facts = [*_facts(trajectory), *notes]
    turns = [_turn(number, turn) for number, turn in enumerate(trajectory.turns, start=1)]
    return (
        Table(name="facts", columns=("fact", "value"), rows=tuple((a, plain(b)) for a, b in facts)),
        Table(name="turns", columns=("turn", "wrote", "called", "saw"), rows=tuple(turns)),
    )


def plain(text: str) -> str:
    r"""Text for one cell; lines stay lines.

    >>> plain("a\x00b\nc\ud800")
    'a b\nc?'
    """
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}... ({len(text) - LONGEST} characters more)"
    text = text.encode("utf-8", "replace").decode()  # a lone surrogate can not be stored
    return "\n".join(
        line if line.isprintable() else "".join(c if c.isprintable() else " " for c in line)
        for line in text.splitlines()
    )


def _facts(trajectory: Trajectory) -> list[tuple[str, str]]:
    task = trajectory.task
    source = f" ({task.source})" if task.source else ""
    gold = "(not known)" if task.answer is None else canonical(task.answer)
    rows = [
        ("question", task.text),
        ("answer", "(none)" if trajectory.answer is None else trajectory.answer),
        ("gold", gold),
        ("stop", str(trajectory.stop)),
    ]
    rows += [("fault", fault) for fault in trajectory.faults]
    for name, score in trajectory.scores.items():
        weight = "" if score.weight == 1.0 else f" x {score.weight:g}"
        rows.append((plain(name), f"{score.value:g}{weight}" + (f": {score.reason}" if score.reason else "")))
    if len(trajectory.scores) > 1:
        rows.append(("reward", f"{trajectory.reward:g}"))
    if trajectory.advantage is not None:
        rows.append(("advantage", f"{trajectory.advantage:+.3f}"))
    if trajectory.desirable is not None:
        rows.append(("desirable", "yes" if trajectory.desirable else "no"))
    opening = tuple(frame for message in trajectory.prompt for frame in message.frames)
    if opening:
        rows.append(("shown at first", frames_line(opening)))
    ledger = trajectory.ledger
    spent = (
        f"written {ledger.written}, prompt {ledger.prompt}, tool text {ledger.tool}, visual {ledger.visual}"
    )
    versions = ", ".join(map(str, trajectory.weight_versions))
    whose = f"{task.id}{source}, attempt {trajectory.replica}, weights {versions}"
    return [*rows, ("tokens", spent), ("task", f"{whose}, seed {trajectory.seed}")]


def _turn(number: int, turn: Turn) -> tuple[str, ...]:
    wrote = turn.text.strip() or "(nothing)"
    if turn.cut:
        wrote += " ... (cut by the token limit)"
    cells = [str(number), wrote, "\n".join(map(_call, turn.calls)), _saw(turn.observation)]
    return tuple(map(plain, cells))


def _call(call: ToolCall) -> str:
    arguments = ", ".join(f"{name}={value!r}" for name, value in call.arguments.items())
    return f"{call.name}({arguments})"


def _saw(observation: Observation | None) -> str:
    """Frames by time and size; the words where there are no frames, or where something went wrong."""
    if observation is None:
        return ""
    lines = [frames_line(observation.frames)] if observation.frames else []
    if observation.frames_cut:
        lines.append(f"({observation.frames_cut} frames left out: token budget)")
    if observation.error:
        lines.append(f"Error: {observation.error}")
    return "\n".join(lines) or "".join(part for part in observation.parts if isinstance(part, str)).strip()


def frames_line(frames: tuple[FrameRef, ...]) -> str:
    """How many frames, how large, when; clips are named if there are several."""
    clips = list(dict.fromkeys(frame.clip for frame in frames))
    lines = []
    for clip in clips:
        mine = [frame for frame in frames if frame.clip == clip]
        sizes = ", ".join(dict.fromkeys(f"{frame.width}x{frame.height}" for frame in mine))
        times = ", ".join(f"{frame.time:.2f}" for frame in mine)
        whose = f"{clip}: " if len(clips) > 1 else ""
        lines.append(f"{whose}{len(mine)} frame{'s' * (len(mine) > 1)} of {sizes} at {times} s")
    return "\n".join(lines)
