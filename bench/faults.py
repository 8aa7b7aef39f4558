"""Faults: plans of faults and kills, and what did not hold: `python bench/faults.py [--json] [--rerun]`.

Fifty seeded plans over fit (three stages), collect and test, in which the engine, the decoder, a judge, a
teacher or the disk fails, hangs or is late; and fifty runs of fit and test killed at a random moment and
taken up. What must hold is said in `tests/system/faults`. A sound plan has no problem; an exact kill ends
with the same parameters, optimizer and files, bit for bit, as the run that was left alone.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from recorded import single

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.system.faults.kills import COMMANDS as KILLED  # noqa: E402
from tests.system.faults.kills import kill  # noqa: E402
from tests.system.faults.plans import COMMANDS, Plans  # noqa: E402
from tests.system.faults.runs import lay_ground  # noqa: E402
from tests.system.faults.zygote import Zygote  # noqa: E402


def run(folder: Path, plans: int, kills: int) -> dict[str, Any]:
    """So many of both, over all commands in turn; of none nothing is told."""
    shutil.rmtree(folder, ignore_errors=True)
    ground, found = lay_ground(folder / "ground"), {}
    with Zygote() as zygote:
        everything = Plans(ground, zygote, folder / "runs")
        if plans:
            found |= _planned(everything, plans)
        if kills:
            found |= _killed(everything, kills)
    return found


def _planned(everything: Plans, count: int) -> dict[str, Any]:
    began, made = time.perf_counter(), []
    for number in range(count):
        made.append(everything.run(COMMANDS[number % len(COMMANDS)], number // len(COMMANDS)))
        _tell("plan", made[-1])
    faults = sum((one.injected for one in made), Counter())
    return {
        "plans": len(made),
        "plans_sound": sum(not one.problems for one in made),
        "faults": dict(sorted(faults.items())),
        "plan_problems": _problems(made),
        "plan_minutes": round((time.perf_counter() - began) / 60, 1),
    }


def _killed(everything: Plans, count: int) -> dict[str, Any]:
    """Who came to an end before the kill counts for nothing, but is held to the same."""
    began, made = time.perf_counter(), []
    for number in range(count):
        command = KILLED[number % len(KILLED)]
        made.append(kill(everything, command, number // len(KILLED)))
        _tell("kill", made[-1])
    return {
        "kills": sum(one.injected["kill"] for one in made),
        "kills_exact": sum(one.injected["kill"] and not one.problems for one in made),
        "kill_problems": _problems(made),
        "kill_minutes": round((time.perf_counter() - began) / 60, 1),
    }


def _problems(made: list[Any]) -> list[str]:
    return [f"{one.command} {one.seed}: {told[:600]}" for one in made for told in one.problems]


def _tell(kind: str, verdict: Any) -> None:
    what = ", ".join(f"{count} x {name}" for name, count in sorted(verdict.injected.items()))
    print(f"{kind} {verdict.command} {verdict.seed}: {what or 'nothing struck'}", flush=True)
    for problem in verdict.problems:
        print(f"    {problem[:600]}", flush=True)


def show(found: dict[str, Any]) -> None:
    """How many held, and what did not."""
    print(
        f"{found['plans_sound']} of {found['plans']} plans sound; "
        f"{found['kills_exact']} of {found['kills']} kills exact"
    )
    for problem in found["plan_problems"] + found["kill_problems"]:
        print(problem)


if __name__ == "__main__":
    counts = {
        "plans": (50, "plans of faults; 0 keeps the last"),
        "kills": (52, "runs that are killed; 0 keeps the last"),
    }
    single(__file__, __doc__, 30, counts, run, show)
