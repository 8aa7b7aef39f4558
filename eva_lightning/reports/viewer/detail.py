"""One trajectory as the viewer shows it when it is opened: plain JSON values, every text as it was written.

Nothing here is HTML and nothing is escaped: `page.py` sees to it that no text can act. Numbers that a browser
would round (seeds have 63 bits) are sent as text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eva_lightning.faults import UsageError
from eva_lightning.records import FrameRef, Interval, Part, Span, Task, Trajectory, Turn
from eva_lightning.reports.viewer.rows import Pair, gold, grade, verdict
from eva_lightning.reports.viewer.thumbnails import Album, Pasted
from eva_lightning.scoring import times_said

Spell = Callable[[Sequence[int]], list[str]]
"""The text of each token id, where a tokenizer is at hand."""

LEAST_LIKELY = 99.0
"""A token can not surprise more than that, in nats; an engine may say infinity."""


def detail(one: Pair, album: Album, spell: Spell | None = None) -> dict[str, Any]:
    """The task, and the attempt of each run."""
    return {
        "task": _task(one.here.task, album),
        "sides": [_side(trajectory, album, spell) for trajectory in one.sides],
    }


def _task(task: Task, album: Album) -> dict[str, Any]:
    clips = []
    for clip in task.clips:
        shelf = album.shelf(clip)
        clips.append(
            {"id": clip.id, "file": Path(clip.path).name, "shelf": shelf.number, "length": shelf.duration}
        )
    return {
        "id": task.id,
        "source": task.source,
        "question": task.question,
        "options": [list(option) for option in zip(task.letters, task.options, strict=True)],
        "gold": gold(task),
        "right": task.answer.value if task.answer and task.answer.kind == "choice" else None,
        "kind": task.answer.kind if task.answer else None,
        "evidence": evidence(task, {clip.id: place for place, clip in enumerate(task.clips)}),
        "wanted": _ranges(task.answer.intervals if task.answer else ()),
        "clips": clips,
    }


def evidence(task: Task, places: dict[str, int]) -> list[dict[str, Any]]:
    """Where the answer can be seen, if the data set says so."""
    try:
        return _windows(task.evidence, places)
    except (TypeError, ValueError):
        raise UsageError(
            f"task {task.id!r}: extra.evidence is {task.extra['evidence']!r}; want [[start, end], ...] in "
            "seconds"
        ) from None


def _side(trajectory: Trajectory, album: Album, spell: Spell | None) -> dict[str, Any]:
    judged = verdict(trajectory)
    pasted = album.paste(trajectory)
    pictures = iter(pasted)
    places = {clip.id: place for place, clip in enumerate(trajectory.task.clips)}
    return {
        "answer": trajectory.answer,
        "grade": grade(judged),
        "why": judged.reason if judged else "",
        "named": _ranges(times_said(trajectory.task, trajectory.answer)),
        "elsewhere": trajectory.elsewhere,
        "stop": trajectory.stop or "running",
        "faults": trajectory.faults,
        "reward": trajectory.reward if trajectory.scores else None,
        "scores": [{"name": name, **asdict(score)} for name, score in trajectory.scores.items()],
        "advantage": trajectory.advantage,
        "desirable": trajectory.desirable,
        "ledger": asdict(trajectory.ledger),
        "counted": bool(trajectory.prompt_ids),
        "replica": trajectory.replica,
        "seed": str(trajectory.seed),
        "versions": list(trajectory.weight_versions),
        "shown": sum(not one.missing for one in pasted),
        "missing": sorted({one.missing for one in pasted if one.missing}),
        "opening": [
            {"role": message.role, "parts": _parts(message.parts, places, pictures)}
            for message in trajectory.prompt
        ],
        "turns": [_turn(turn, trajectory, places, pictures, spell) for turn in trajectory.turns],
    }


def _turn(
    turn: Turn,
    trajectory: Trajectory,
    places: dict[str, int],
    pictures: Iterator[Pasted],
    spell: Spell | None,
) -> dict[str, Any]:
    seen = turn.observation
    return {
        "text": segments(turn, trajectory.answer),
        "windows": _windows(seen.spans if seen else (), places),
        "world": _parts(seen.parts, places, pictures) if seen else None,
        "error": seen.error if seen else None,
        "visual": seen.visual_tokens if seen else 0,
        "frames_cut": seen.frames_cut if seen else 0,
        "calls": len(turn.calls),
        "worked": seen.worked if seen else None,
        "elsewhere": seen.elsewhere if seen else 0,
        "cut": turn.cut,
        "version": turn.weight_version,
        "surprise": [surprise(value) for value in turn.logprobs],
        "words": spell(turn.token_ids) if spell and turn.token_ids else None,
    }


def _parts(
    parts: Sequence[Part], places: dict[str, int], pictures: Iterator[Pasted]
) -> list[str | dict[str, Any]]:
    return [part if isinstance(part, str) else _frame(part, places, next(pictures)) for part in parts]


def _frame(frame: FrameRef, places: dict[str, int], pasted: Pasted) -> dict[str, Any]:
    about = {"clip": places.get(frame.clip), "time": frame.time, "size": [frame.width, frame.height]}
    return about | ({"missing": pasted.missing} if pasted.missing else {"picture": pasted.key})


def surprise(logprob: float) -> float:
    """How unlikely a token was, in nats: 0 is certain, 0.69 one in two, 4.6 one in a hundred.

    >>> surprise(-0.693147), surprise(0.0), surprise(-math.inf)
    (0.693, 0.0, 99.0)
    """
    return LEAST_LIKELY if math.isnan(logprob) else round(min(max(0.0, -logprob), LEAST_LIKELY), 3)


def segments(turn: Turn, answer: str | None) -> list[tuple[str, str]]:
    """The text of a turn cut into what is plain, a call, or the answer; joined it is the text again."""
    marked: list[tuple[str, int, int]] = []
    position = 0
    for call in turn.calls:
        start = turn.text.find(call.text, position) if call.text else -1
        if start >= 0:
            position = start + len(call.text)
            marked.append(("call", start, position))
    tagged = turn.text.rfind(f">{answer}<") if answer and not turn.calls else -1
    if tagged >= 0 and answer:
        marked.append(("answer", tagged + 1, tagged + 1 + len(answer)))
    pieces: list[tuple[str, str]] = []
    position = 0
    for kind, start, end in marked:
        pieces += [("plain", turn.text[position:start]), (kind, turn.text[start:end])]
        position = end
    pieces.append(("plain", turn.text[position:]))
    return [piece for piece in pieces if piece[1]]


def _ranges(ranges: Sequence[Interval]) -> list[dict[str, Any]]:
    """Seconds of an answer on the time line of the first clip: an answer names no other."""
    return [{"clip": 0, "start": start, "end": end} for start, end in ranges]


def _windows(spans: Sequence[Span], places: dict[str, int]) -> list[dict[str, Any]]:
    """Ranges as places on the time lines of their clips."""
    return [
        {"clip": places[span.clip], "start": span.start, "end": span.end}
        for span in spans
        if span.clip in places
    ]
