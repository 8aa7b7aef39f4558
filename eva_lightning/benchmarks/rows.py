"""Rows of a benchmark to tasks. A row that can not be asked is put aside with its cause, never guessed at.

The wording of a question is the row's own, options and instructions included, because that is what published
numbers were measured with; the options are read out of it so that answers can be scored by letter or words.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from eva_lightning.benchmarks.benchmark import Benchmark
from eva_lightning.faults import UsageError
from eva_lightning.records import Answer, Clip, Task
from eva_lightning.timecode import parse_seconds

OPTION = {
    "A. ": re.compile(r"^([A-Z])\. ?(.*)$", re.MULTILINE),
    "A: ": re.compile(r"^([A-Z]): ?(.*)$", re.MULTILINE),
    "(A) ": re.compile(r"^\(([A-Z])\) ?(.*)$", re.MULTILINE),
}


@dataclass(frozen=True, kw_only=True)
class BrokenRow:
    """A row that can not be asked."""

    line: int
    """Line of the file, from 1."""
    cause: str
    """One of a few, so that they can be counted."""
    detail: str
    """What exactly was found."""


class _Broken(Exception):
    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause, self.detail = cause, detail


def read_benchmark(benchmark: Benchmark) -> tuple[list[Task], list[BrokenRow]]:
    """The tasks of a benchmark in the order of its file, and the rows that are none."""
    file = Path(benchmark.file).expanduser()
    if not file.is_file():
        raise UsageError(f"{benchmark.name}: there is no file {file}; set data.benchmarks[].file")
    videos = _Videos(Path(benchmark.videos).expanduser())
    tasks: dict[str, Task] = {}
    broken: list[BrokenRow] = []
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                task = _task(benchmark, line, videos)
                if task.id in tasks:
                    raise _Broken("duplicate index", f"{task.id} came before")
                tasks[task.id] = task
            except _Broken as problem:
                broken.append(BrokenRow(line=number, cause=problem.cause, detail=problem.detail))
    return list(tasks.values()), broken


def causes(broken: Sequence[BrokenRow]) -> str:
    """How many rows were put aside, by cause.

    >>> causes([BrokenRow(line=1, cause="no video", detail="a.mp4")] * 2)
    '2 no video'
    """
    counted = Counter(row.cause for row in broken)
    return ", ".join(f"{count} {cause}" for cause, count in counted.most_common())


def _task(benchmark: Benchmark, line: str, videos: _Videos) -> Task:
    try:
        row = json.loads(line)
    except ValueError as problem:
        raise _Broken("no JSON", str(problem)) from None
    if not isinstance(row, dict):
        raise _Broken("no JSON", "the line holds no object")
    index = row.get("index")
    if index is None:
        raise _Broken("no index", "the row has no `index`")
    wording = _wording(row).replace("\\n", "\n")  # some files have the two characters
    question, options = split_options(wording, benchmark.options)
    answer = _answer(row, options)
    extra: dict[str, Any] = {"benchmark": benchmark.name, "index": index}
    if benchmark.category is not None and row.get(benchmark.category) is not None:
        extra["category"] = _category(row[benchmark.category])
    if benchmark.evidence is not None and row.get(benchmark.evidence):
        extra["evidence"] = [list(_interval(str(row[benchmark.evidence])))]
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
        raise _Broken("no task", str(problem)) from None


def split_options(wording: str, style: str) -> tuple[str, tuple[str, ...]]:
    """The question and its options. What follows the last option on lines of its own belongs to neither.

    >>> split_options("What?\\n(A) a cat\\n(B) a dog\\nOnly give the best option.", "(A) ")
    ('What?', ('a cat', 'a dog'))
    """
    if style == "none":
        return wording.strip(), ()
    found: list[re.Match[str]] = []
    for option in OPTION[style].finditer(wording):  # a line of the question may look like one: begin at A
        if option[1] == chr(ord("A") + len(found)):
            found.append(option)
        elif option[1] == "A":
            found = [option]
    if len(found) < 2:
        raise _Broken("no options", f"no lines that begin with {style!r} in {wording[:60]!r}")
    return wording[: found[0].start()].strip(), tuple(option[2].strip() for option in found)


def _wording(row: Mapping[str, Any]) -> str:
    prompt = row.get("prompt")
    if isinstance(prompt, list):
        prompt = next((one.get("content") for one in prompt if one.get("role") == "user"), None)
    if not isinstance(prompt, str) or not prompt.strip():
        raise _Broken("no question", "the row has no user message under `prompt`")
    return prompt.strip()


def _answer(row: Mapping[str, Any], options: tuple[str, ...]) -> Answer:
    told = row.get("reward_model")
    truth = told.get("ground_truth") if isinstance(told, dict) else None
    if not isinstance(truth, str) or not truth.strip():
        raise _Broken("no ground truth", "the row has no text under `reward_model.ground_truth`")
    truth = truth.strip()
    if not options:
        return Answer(kind="text", value=truth)
    if len(truth) != 1 or not 0 <= ord(truth.upper()) - ord("A") < len(options):
        raise _Broken("no such option", f"ground truth {truth!r}, but there are {len(options)} options")
    return Answer(kind="choice", value=truth.upper())


def _clips(row: Mapping[str, Any], videos: _Videos) -> tuple[Clip, ...]:
    named = row.get("videos")
    if not isinstance(named, list) or not named or not all(isinstance(name, str) and name for name in named):
        raise _Broken("no video", "the row has no list of paths under `videos`")
    if len(named) == 1:
        return (Clip(id="video", path=videos.find(named[0])),)
    return tuple(Clip(id=f"video {i}", path=videos.find(name)) for i, name in enumerate(named, start=1))


def _category(value: Any) -> str:
    """Some files hold the text of a Python list.

    >>> _category("['entity recognition', 'reasoning']"), _category("SR")
    ('entity recognition, reasoning', 'SR')
    """
    if isinstance(value, str) and value.startswith("["):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return str(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _interval(text: str) -> tuple[float, float]:
    begin, _, end = text.partition("-")
    try:
        return parse_seconds(begin), parse_seconds(end or begin)
    except ValueError as problem:
        raise _Broken("no interval", f"evidence {text!r}: {problem}") from None


class _Videos:
    """Finds a video by the path that a row names; the folders of whoever wrote the rows are not ours."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, str | None] = {}

    def find(self, name: str) -> str:
        if name not in self._known:
            self._known[name] = self._look(name)
        path = self._known[name]
        if path is None:
            raise _Broken("missing video", f"no file {name} in {self.root}")
        return path

    def _look(self, name: str) -> str | None:
        if name.startswith("/") and Path(name).is_file():
            return name
        parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
        tails = (self.root.joinpath(*parts[begin:]) for begin in range(len(parts)))
        return next((str(path) for path in tails if path.is_file()), None)
