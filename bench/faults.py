"""Faults: plans of faults and kills, and what did not hold: `python bench/faults.py [--json] [--rerun]`.

Fifty seeded plans over fit (three stages), collect and test, in which the engine, the decoder, a judge, a
teacher or the disk fails, hangs or is late; and fifty runs of fit and test killed at a random moment and
taken up. What must hold is said in `tests/system/faults`. A sound plan has no problem; an exact kill ends
with the same parameters, optimizer and files, bit for bit, as the run that was left alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.system.faults import kills  # noqa: E402
from tests.system.faults.plans import COMMANDS, Plans  # noqa: E402
from tests.system.faults.runs import lay_ground  # noqa: E402
from tests.system.faults.zygote import Zygote  # noqa: E402

RECORD = Path(__file__).with_suffix(".json")


def run(plans: int, killed: int, folder: Path) -> dict[str, Any]:
    """So many of both, over all commands in turn."""
    shutil.rmtree(folder, ignore_errors=True)
    began, made, found = time.perf_counter(), [], []
    ground = lay_ground(folder / "ground")
    with Zygote() as zygote:
        everything = Plans(ground, zygote, folder / "runs")
        for number in range(plans):
            made.append(everything.run(COMMANDS[number % len(COMMANDS)], number // len(COMMANDS)))
            _tell("plan", made[-1])
        for number in range(killed):
            command = kills.COMMANDS[number % len(kills.COMMANDS)]
            found.append(kills.kill(everything, command, number // len(kills.COMMANDS)))
            _tell("kill", found[-1])
    faults = sum((one.injected for one in made), Counter())
    return {
        "plans": len(made),
        "plans_sound": sum(not one.problems for one in made),
        "faults": dict(sorted(faults.items())),
        "kills": sum(one.injected["kill"] for one in found),
        "kills_exact": sum(one.injected["kill"] and not one.problems for one in found),
        "lived": sum(not one.injected["kill"] for one in found),
        "problems": [f"{one.command} {one.seed}: {told}" for one in made + found for told in one.problems],
        "minutes": round((time.perf_counter() - began) / 60, 1),
    }


def _tell(kind: str, verdict: Any) -> None:
    what = ", ".join(f"{count} x {name}" for name, count in sorted(verdict.injected.items()))
    print(f"{kind} {verdict.command} {verdict.seed}: {what or 'nothing struck'}", flush=True)
    for problem in verdict.problems:
        print(f"    {problem[:600]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line: a JSON object")
    parser.add_argument("--rerun", action="store_true", help="run anew instead of reading the last record")
    parser.add_argument("--plans", type=int, default=50, help="seeded plans of faults")
    parser.add_argument("--kills", type=int, default=52, help="runs that are killed")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/faults"), help="where it runs; it is emptied"
    )
    words = parser.parse_args()
    if words.rerun:
        found = run(words.plans, words.kills, words.folder.absolute())
        RECORD.write_text(json.dumps(found, indent=1) + "\n")
    if not RECORD.exists():
        sys.exit(f"nothing recorded in {RECORD}: run with --rerun (about 30 minutes)")
    found = json.loads(RECORD.read_text())
    print(
        f"{found['plans_sound']} of {found['plans']} plans sound; "
        f"{found['kills_exact']} of {found['kills']} kills exact"
    )
    for problem in found["problems"]:
        print(problem)
    if words.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
