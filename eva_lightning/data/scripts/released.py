"""Scripts that others released become ours: AgentCVR's task files, and the rows that it trains on.

Which field says what is data: a shape for each kind. Times are made to count from each clip's begin (pieces
of one film keep the film's there), and two views become two clips. What can not be asked is refused by cause.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from eva_lightning.agent.worlds.script import ClipScript, ScriptEvent
from eva_lightning.data.intake.bad_row import BadRow
from eva_lightning.data.intake.questions import tasks_of
from eva_lightning.data.intake.row_shape import RowShape
from eva_lightning.data.intake.tables import rows_of
from eva_lightning.data.intake.video_folder import Cut, VideoFolder
from eva_lightning.data.intake.wording import literal
from eva_lightning.data.scripts.story import Refused
from eva_lightning.faults import UsageError
from eva_lightning.files.foreign_json import json_problem
from eva_lightning.records import Clip, Task

CLIPS = "clips of ours"
"""Column under which the names of a row's clips are put."""


@dataclass(frozen=True, kw_only=True)
class Released:
    """How the rows of one kind are made."""

    task: str
    """What they call it."""
    events: str
    """Field of a clip that lists its events; empty where the clips are two views in one list."""
    shape: RowShape
    """Which field says what in a task file."""


def _shape(**said: Any) -> RowShape:
    return RowShape(video=CLIPS, **said)


_CHOICE: dict[str, Any] = {"options": "options", "answer": "correct_answer", "answer_index": "A"}
_VIEWS = _shape(
    question="question.text", options="question.options", answer="question.correct_answer", answer_index="A"
)
RELEASED = {
    "PSS": Released(task="sort", events="detailed_timeline", shape=_shape(answer_kind="order")),
    "FSA": Released(
        task="grounding",
        events="timeline",
        shape=_shape(answer_kind="interval", ask="{} (Video A is video 1, Video B is video 2.)"),
    ),
    "PEA": Released(task="assembly", events="clips", shape=_shape(**_CHOICE)),
    "CC": Released(task="cooking", events="timeline", shape=_shape(**_CHOICE)),
    "NC": Released(task="movie", events="timeline", shape=_shape(**_CHOICE)),
    "BU": Released(task="behavior", events="timeline", shape=_shape(options="options", answer_kind="multi")),
    "PI": Released(
        task="plot",
        events="timeline",
        shape=_shape(**_CHOICE, ask="{} (video 1 is the beginning, video 2 the ending.)"),
    ),
    "MOC": Released(task="uav_count", events="", shape=_VIEWS),
    "MSR": Released(task="uav_position", events="", shape=_VIEWS),
}
"""By kind. Open questions were not released."""

_KINDS = {one.task: kind for kind, one in RELEASED.items()} | {"uav_positon": "MSR"}


class _Scripts(VideoFolder):
    """Clips that are in no folder."""

    def __init__(self) -> None:
        super().__init__(".")

    def clips(self, names: Sequence[str], cuts: Sequence[Cut]) -> tuple[Clip, ...]:
        return tuple(
            Clip(id=f"video {place}", path=f"clips/{name}.mp4") for place, name in enumerate(names, start=1)
        )


def released_rows(source: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows of a file, or of a folder of files with a task each; with the place of each."""
    if not Path(source).is_dir():
        yield from ((row.place, row.values) for row in rows_of(source))
        return
    files = sorted(Path(source).glob("*.json"))
    if not files:
        raise UsageError(f"{source}: holds no .json file of a task")
    for file in files:
        try:
            row = json.loads(file.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError) as problem:
            raise UsageError(f"{file}: not JSON ({json_problem(problem)})") from None
        if not isinstance(row, dict):
            raise UsageError(f"{file}: want a task, not {type(row).__name__}")
        yield str(file), row


def released_task(
    row: Mapping[str, Any], kind: str | None, number: int
) -> tuple[Task, tuple[ClipScript, ...]]:
    """A row as a task and the scripts of its clips, or Refused. Rows of training say their kind."""
    kind = kind or _KINDS.get(str(row.get("data_source", "")).removeprefix("crossvid_"))
    if kind not in RELEASED:
        raise Refused("no such kind", f"data_source {row.get('data_source')!r:.60}: say which kind it is")
    form, shape, held = RELEASED[kind], RELEASED[kind].shape, row.get("videos")
    own = row.get("id", number)
    if isinstance(info := row.get("extra_info"), Mapping):  # a row of training
        held, own = info.get("videos"), f"train-{number}"
        shape = replace(shape, question="prompt", options=None, answer="reward_model.ground_truth")
    scripts = _scripts(literal(held), form, f"{kind}-released-{own}")
    whole = {**row, "id": own, CLIPS: [one.clip for one in scripts]}
    try:
        (task,) = tasks_of(whole, shape, _Scripts(), kind, number)
    except BadRow as problem:
        raise Refused("not a story", problem.detail) from None
    evidence = [["video 2", *one] for one in task.answer.intervals] if task.answer else []
    extra = {**task.extra, "category": kind, **({"evidence": evidence} if evidence else {})}
    return replace(task, extra=extra), scripts


def _scripts(held: Any, form: Released, name: str) -> tuple[ClipScript, ...]:
    """The clips in the order of their names, each from its own begin."""
    try:
        clips = (
            _of_views(held) if not form.events else [_events(held[key], form.events) for key in _named(held)]
        )
        return tuple(_script(f"{name}-{place}", *clip) for place, clip in enumerate(clips, start=1))
    except (KeyError, TypeError, AttributeError, IndexError) as problem:
        raise Refused("not a story", f"videos are not as those of {form.task} ({problem!r:.80})") from None


def _named(held: Mapping[str, Any]) -> list[str]:
    """The clips by their numbers, where they have numbers, else as they stand."""
    return sorted(held, key=int) if all(key.isdecimal() for key in held) else list(held)


def _events(clip: Any, column: str) -> tuple[list[tuple[float, float, str, str]], float | None]:
    """Events as start, end, what is seen and heard; and the length, where the clip says it."""
    made = [
        (float(one["start"]), float(one["end"]), str(one.get("visual", "")), str(one.get("caption") or ""))
        for one in clip[column]
    ]
    length = clip.get("duration")
    return made, float(length) if isinstance(length, (int, float)) else None


def _of_views(held: Any) -> list[tuple[list[tuple[float, float, str, str]], float | None]]:
    """Two views that are stamped together: what is seen holds until the next stamp."""
    times = [float(one["timestamp"]) for one in held]
    step = min((after - before for before, after in pairwise(times)), default=2.0)
    ends = [*times[1:], times[-1] + step]
    return [
        ([(start, end, str(one[view]), "") for one, start, end in zip(held, times, ends, strict=True)], None)
        for view in ("view_a", "view_b")
    ]


def _script(name: str, events: list[tuple[float, float, str, str]], length: float | None) -> ClipScript:
    if not events:
        raise Refused("not a story", f"{name} has no events")
    begin = events[0][0]
    last = max(end for _, end, _, _ in events) - begin
    try:
        made = tuple(
            ScriptEvent(start=start - begin, end=end - begin, see=see, hear=hear)
            for start, end, see, hear in events
        )
        return ClipScript(clip=name, duration=max(last, length or 0.0), events=made)
    except ValueError as problem:
        raise Refused("times", str(problem)) from None
