"""The front of a bench whose runs take long: the last one is kept beside it as JSON and printed.

`--rerun` makes a new one, a seed at a time, and what was done is kept.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Runs = list[dict[str, Any]]
"""What was found, a dict for each seed."""


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
    name = Path(program).stem
    parser = argparse.ArgumentParser(description=(about or name).splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line: a JSON object")
    parser.add_argument("--rerun", action="store_true", help="run anew instead of reading the last record")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="dice")
    parser.add_argument("--folder", type=Path, default=Path("runs") / name, help="where it runs")
    words = parser.parse_args()
    record = Path(program).with_suffix(".json")
    if words.rerun:
        runs: Runs = []
        for seed in words.seeds:
            runs.append(run(seed, words.folder / str(seed)))
            record.write_text(json.dumps(runs, indent=1) + "\n")
    if not record.exists():
        sys.exit(
            f"nothing recorded in {record}: run with --rerun (about {minutes * len(words.seeds)} minutes)"
        )
    runs = json.loads(record.read_text())
    show(runs)
    if words.json:
        print(json.dumps(combined(runs)))
