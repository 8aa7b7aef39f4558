"""Rows of a benchmark to tasks. A row that can not be asked is put aside with its cause, never guessed at.

The wording of a question is the row's own, options and instructions included, because that is what published
numbers were measured with; the options are read out of it so that answers can be scored by letter or words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eva_lightning.data.intake.bad_row import BadRow, counted
from eva_lightning.data.intake.video_folder import VideoFolder
from eva_lightning.data.intake.wording import literal, span, split_options
from eva_lightning.faults import UsageError
from eva_lightning.records import Answer, Clip, Task
from eva_lightning.reports.benchmarks.benchmark import Benchmark


@dataclass(frozen=True, kw_only=True)
class BrokenRow:
    """A row that can not be asked."""

    line: int
    """Line of the file, from 1."""
    cause: str
    """One of a few, so that they can be counted."""
    detail: str
    """What exactly was found."""


def read_benchmark(benchmark: Benchmark) -> tuple[list[Task], list[BrokenRow]]:
    """The tasks of a benchmark in the order of its file, and the rows that are none."""
    file = Path(benchmark.file).expanduser()
    if not file.is_file():
        raise UsageError(f"{benchmark.name}: there is no file {file}; set data.benchmarks[].file")
    videos = VideoFolder(benchmark.videos)
    tasks: dict[str, Task] = {}
    broken: list[BrokenRow] = []
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                task = _task(benchmark, line, videos)
                if task.id in tasks:
                    raise BadRow("duplicate index", f"{task.id} came before")
                tasks[task.id] = task
            except BadRow as problem:
                broken.append(BrokenRow(line=number, cause=problem.cause, detail=problem.detail))
    return list(tasks.values()), broken


def causes(broken: Sequence[BrokenRow]) -> str:
    """How many rows were put aside, by cause.

    >>> causes([BrokenRow(line=1, cause="no video", detail="a.mp4")] * 2)
    '2 no video'
    """
    return counted(row.cause for row in broken)


def _task(benchmark: Benchmark, line: str, videos: VideoFolder) -> Task:
    try:
        row = json.loads(line)
    except ValueError as problem:
        raise BadRow("no JSON", str(problem)) from None
    if not isinstance(row, dict):
        raise BadRow("no JSON", "the line holds no object")
    index = row.get("index")
    if index is None:
        raise BadRow("no index", "the row has no `index`")
    wording = _wording(row).replace("\\n", "\n")  # some files have the two characters
    question, options = split_options(wording, benchmark.options)
    answer = _answer(row, options)
    extra: dict[str, Any] = {"benchmark": benchmark.name, "index": index}
    if benchmark.category is not None and row.get(benchmark.category) is not None:
        extra["category"] = _category(row[benchmark.category])
    if benchmark.evidence is not None and row.get(benchmark.evidence):
        extra["evidence"] = [list(span(str(row[benchmark.evidence])))]
    try:
        return Task(
            id=f"{benchmark.name}/{index}",
            source=benchmark.name,
            clips=_clips(row, videos),
            question=question,
            options=options,
            wording=wording,
            answer=answer,
            extra=extra,
        )
    except ValueError as problem:
        raise BadRow("no task", str(problem)) from None


def _wording(row: Mapping[str, Any]) -> str:
    prompt = row.get("prompt")
    if isinstance(prompt, list):
        prompt = next((one.get("content") for one in prompt if one.get("role") == "user"), None)
    if not isinstance(prompt, str) or not prompt.strip():
        raise BadRow("no question", "the row has no user message under `prompt`")
    return prompt.strip()


def _answer(row: Mapping[str, Any], options: tuple[str, ...]) -> Answer:
    told = row.get("reward_model")
    truth = told.get("ground_truth") if isinstance(told, dict) else None
    if not isinstance(truth, str) or not truth.strip():
        raise BadRow("no ground truth", "the row has no text under `reward_model.ground_truth`")
    truth = truth.strip()
    if not options:
        return Answer(kind="text", value=truth)
    if len(truth) != 1 or not 0 <= ord(truth.upper()) - ord("A") < len(options):
        raise BadRow("no such option", f"ground truth {truth!r}, but there are {len(options)} options")
    return Answer(kind="choice", value=truth.upper())


def _clips(row: Mapping[str, Any], videos: VideoFolder) -> tuple[Clip, ...]:
    named = row.get("videos")
    if not isinstance(named, list) or not named or not all(isinstance(name, str) and name for name in named):
        raise BadRow("no video", "the row has no list of paths under `videos`")
    return videos.clips(named)


def _category(value: Any) -> str:
    """Some files hold the text of a Python list.

    >>> _category("['entity recognition', 'reasoning']"), _category("SR")
    ('entity recognition, reasoning', 'SR')
    """
    value = literal(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
