"""The front of a bench whose runs take long: the last one is kept beside it as JSON and printed.

`--rerun` makes a new one, a seed at a time, and what was done is kept.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Runs = list[dict[str, Any]]
"""What was found, a dict for each seed."""


def cpu_minutes() -> float:
    """What the commands that ran so far took of one core; the clock would count our neighbours, too."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (spent.ru_utime + spent.ru_stime) / 60


def front(
    program: str,
    about: str | None,
    minutes: int,
    run: Callable[[int, Path], dict[str, Any]],
    show: Callable[[Runs], None],
    combined: Callable[[Runs], dict[str, Any]],
) -> None:
    """Parse the words of a bench and do what they say.

    Args:
        program: Its file; the record lies beside it.
        about: Its docstring.
        minutes: What a run on one seed takes, about.
        run: Runs one seed in a folder of its own.
        show: Prints all runs.
        combined: The means and ratios that `--json` ends with.
    """
    parser, record = _parser(program, about)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="dice")
    words = parser.parse_args()
    if words.rerun:
        runs: Runs = []
        for seed in words.seeds:
            runs.append(run(seed, words.folder / str(seed)))
            _write(record, runs)
    runs = _read(record, minutes * len(words.seeds))
    show(runs)
    if words.json:
        print(json.dumps(combined(runs)))


def single(
    program: str,
    about: str | None,
    minutes: int,
    counts: Mapping[str, tuple[int, str]],
    run: Callable[..., dict[str, Any]],
    show: Callable[[dict[str, Any]], None],
) -> None:
    """The same for a bench that is one run, whose size is told by counts; what it does not find anew stays.

    Args:
        program: Its file; the record lies beside it.
        about: Its docstring.
        minutes: What a run takes, about.
        counts: Words of the command line: how many by default, and of what.
        run: Is given the folder and each count by its name.
        show: Prints what was found.
    """
    parser, record = _parser(program, about)
    for name, (usual, what) in counts.items():
        parser.add_argument(f"--{name}", type=int, default=usual, help=what)
    words = parser.parse_args()
    if words.rerun:
        last = json.loads(record.read_text()) if record.exists() else {}
        found = run(words.folder.absolute(), **{name: getattr(words, name) for name in counts})
        _write(record, last | found)
    found = _read(record, minutes)
    show(found)
    if words.json:
        print(json.dumps(found))


def _parser(program: str, about: str | None) -> tuple[argparse.ArgumentParser, Path]:
    """The words that all have, and where the record lies."""
    name = Path(program).stem
    parser = argparse.ArgumentParser(description=(about or name).splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line: a JSON object")
    parser.add_argument("--rerun", action="store_true", help="run anew instead of reading the last record")
    parser.add_argument("--folder", type=Path, default=Path("runs") / name, help="where it runs")
    return parser, Path(program).with_suffix(".json")


def _write(record: Path, found: Any) -> None:
    record.write_text(json.dumps(found, indent=1) + "\n")


def _read(record: Path, minutes: int) -> Any:
    if not record.exists():
        sys.exit(f"nothing recorded in {record}: run with --rerun (about {minutes} minutes)")
    return json.loads(record.read_text())
