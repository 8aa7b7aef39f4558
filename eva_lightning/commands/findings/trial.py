"""A trial: the ways of a finding on one seed, trained as far as they are not there, and what they came to.

    folder/                     the course, as `eva demo` leaves it
    folder/ways/<name>/<stage>  what was trained otherwise; way.settings.json, held_out.jsonl, sums.json
    .../minutes.json            what each part took

A way of the same name and settings is shared by all findings; one that means something else is refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from eva_lightning.commands.courses import COURSES
from eva_lightning.commands.courses.kits import course_of
from eva_lightning.commands.courses.school import School
from eva_lightning.commands.demo_log import DemoLog
from eva_lightning.commands.findings.finding import Finding, Way
from eva_lightning.data.synthesis.questions import ask
from eva_lightning.data.synthesis.script import Script
from eva_lightning.data.synthesis.world import load_world
from eva_lightning.data.synthesis.world_judge import FairReader
from eva_lightning.files.atomic import appearing
from eva_lightning.files.settings_file import settle
from eva_lightning.files.store import read, write
from eva_lightning.records import Task, Trajectory
from eva_lightning.reports.effects import Seed, Sums, summed

WORLD = "world"
"""The first part of a course: clips, lessons, and a policy with random weights."""

COURSE, WAY = 20.0, 6.0
"""How much of the bar a course is, and a way beside it."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a way came to on one seed."""

    course: float
    """Minutes of one core that the course took, as far as this way begins (or ends, if it only asks)."""
    minutes: float
    """What its own training took of one core; 0 for what the course made."""
    sums: Seed
    """Of each held-out question."""


def size(finding: Finding) -> float:
    """How much of the bar a seed is."""
    return COURSE + WAY * len(finding.ways)


def try_ways(finding: Finding, folder: Path, seed: int, share: float, log: DemoLog) -> dict[str, Trial]:
    """All ways of a finding, in its own order."""
    school = School(course=COURSES[finding.course], folder=folder, seed=seed, share=share)
    settings = {"course": finding.course, "seed": seed, "share": share}
    settle(folder / "course.settings.json", settings, f"{folder} was made", "name another --out")
    with log.part(f"course {seed}", COURSE) as line:
        _teach(school, _last(finding))
        took = _course_minutes(school, _last(finding))
        line.append(f"{finding.course}, as far as {_last(finding)}; {took:.0f} minutes of one core")
    found = {}
    for name, way in finding.ways.items():
        with log.part(name, WAY) as line:
            found[name] = _try(name, way, school)
            right = sum(one.right for one in found[name].sums.values())
            asked = sum(one.attempts for one in found[name].sums.values())
            line.append(
                f"accuracy {right / max(asked, 1):.3f}; {found[name].minutes:.1f} minutes of one core"
            )
    return found


def _last(finding: Finding) -> str:
    """How far the course is needed."""
    stages = list(COURSES[finding.course].steps)
    return max((way.after for way in finding.ways.values()), key=stages.index)


def _teach(school: School, last: str) -> None:
    """The course, as far as this stage."""
    if not (school.folder / "tiny").exists():
        took(school.folder, WORLD, school.prepare)
    stages = list(school.course.steps)
    for stage in stages[: stages.index(last) + 1]:
        if not school.policy(stage).exists():
            took(school.folder, stage, partial(_stage, school, stage))


def _stage(school: School, stage: str) -> None:
    if stage == "kto":
        school.mark()
    school.train(stage)


def took(folder: Path, part: str, work: Callable[[], object]) -> None:
    """Do a part and put down what it took of one core, of which the clock would count our neighbours', too.

    What an interruption took is added.
    """
    began = time.process_time()
    try:
        work()
    finally:
        held = minutes_of(folder)
        held[part] = round(held.get(part, 0.0) + (time.process_time() - began) / 60, 2)
        with appearing(folder / "minutes.json") as file:
            file.write_text(json.dumps(held) + "\n")


def minutes_of(folder: Path) -> dict[str, float]:
    """What the parts of a course or of a way took."""
    place = folder / "minutes.json"
    return dict(json.loads(place.read_text())) if place.exists() else {}


def _course_minutes(school: School, last: str) -> float:
    """What the course took, as far as this stage."""
    held, stages = minutes_of(school.folder), list(school.course.steps)
    return sum(held.get(part, 0.0) for part in [WORLD, *stages[: stages.index(last) + 1]])


def _try(name: str, way: Way, school: School) -> Trial:
    """Train a way and ask it the held-out questions, unless that was done."""
    if not way.stages and way.kit is None:
        return _of_the_course(way.after, school)
    folder = school.folder / "ways" / name
    what = f"the way {name} in {folder} was tried"
    settle(
        folder / "way.settings.json", asdict(way), what, "give this one another name, or name another --out"
    )
    if not (folder / "sums.json").exists():
        took(folder, "all", lambda: _train(way, school, folder))
        _put_down(folder, school, way.after, minutes_of(folder)["all"])
    return _read(folder)


def _of_the_course(stage: str, school: School) -> Trial:
    """What a stage of the course came to."""
    folder = school.folder / "ways" / f"course_{stage}"
    if not (folder / "sums.json").exists():
        school.ask(school.policy(stage), str(folder / "held_out.jsonl"))
        _put_down(folder, school, stage, 0.0)
    return _read(folder)


def _train(way: Way, school: School, folder: Path) -> None:
    start = school.policy(way.after)
    course, name = school, way.kit
    if name is not None:
        course = replace(school, course=course_of(name))
        if not (school.world / f"{name}_sloppy.jsonl").exists():
            course.lessons()
    for stage in way.stages:
        out, last = folder / stage, stage == way.stages[-1]
        if not (out / "export" / "final").exists():
            pool = None
            if way.open_share is not None and course.course.reads[stage].startswith("tasks="):
                pool = _asked_again(school, way.open_share)
            course.fit(
                stage,
                start,
                out,
                data=pool,
                steps=way.steps if last else None,
                words=way.words if last else (),
            )
        start = out / "export" / "final"
    course.ask(start, str(folder / "held_out.jsonl"))


def _asked_again(school: School, open_share: float) -> Path:
    """The training questions, so many of them without options."""
    place = school.world / f"open_{open_share:g}.jsonl"
    if not place.exists():
        files = load_world(school.world)
        kinds = sorted({task.source for task in files.tasks})

        def asked(script: Script) -> list[Task]:
            return ask(script, school.seed, kinds, per_family=8, open_share=open_share)

        write(place, [one for script in files.trained_on for one in asked(script)])
    return place


def _put_down(folder: Path, school: School, after: str, minutes: float) -> None:
    """What the held-out questions came to."""
    reader = FairReader(load_world(school.world).scripts)
    sums = summed(read(folder / "held_out.jsonl", Trajectory), reader.proves)
    trial = Trial(course=_course_minutes(school, after), minutes=minutes, sums=sums)
    with appearing(folder / "sums.json") as part:
        part.write_text(json.dumps(row_of(trial)) + "\n")


def _read(folder: Path) -> Trial:
    return trial_of(json.loads((folder / "sums.json").read_text()))


def row_of(trial: Trial) -> dict[str, Any]:
    """A trial, as plain JSON."""
    sums = rows_of(trial.sums)
    return {"course": round(trial.course, 1), "minutes": round(trial.minutes, 1), "sums": sums}


def trial_of(found: dict[str, Any]) -> Trial:
    """A trial, from its file or from a record."""
    return Trial(course=found["course"], minutes=found["minutes"], sums=seed_of(found["sums"]))


Rows = Mapping[str, Sequence[float]]
"""Of each question, the fields of its `Sums`."""


def rows_of(seed: Seed) -> Rows:
    """What one policy did, as plain JSON."""
    return {task: [round(value, 4) for value in astuple(one)] for task, one in seed.items()}


def seed_of(rows: Rows) -> Seed:
    """The same, from its JSON."""
    names = list(Sums.__dataclass_fields__)
    return {task: Sums(**dict(zip(names, row, strict=True))) for task, row in rows.items()}


def minutes(ways: Mapping[str, Trial]) -> float:
    """What all ways of a seed took of one core, and the course that they share, once."""
    return max(one.course for one in ways.values()) + sum(one.minutes for one in ways.values())
