"""`eva synthesize`: the embedded world on disk with its teachers' trajectories, or scripts for a text world.

Needs no model and no GPU; scripts may be written by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from eva_lightning.agent.config import AgentConfig, default_dialect
from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.rollout import jobs_for, rollout
from eva_lightning.commands.arguments import run_command
from eva_lightning.data.synthesis.families import SIGHT
from eva_lightning.data.synthesis.script import Script, ScriptSettings
from eva_lightning.data.synthesis.searcher import Searcher
from eva_lightning.data.synthesis.searches import ALL_FAMILIES
from eva_lightning.data.synthesis.sloppy_searcher import SloppySearcher
from eva_lightning.data.synthesis.told_world import ToldWorld
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.engines.base import Context
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.faults import UsageError
from eva_lightning.files.lock import sole_writer
from eva_lightning.files.store import portable, write
from eva_lightning.records import Task, Trajectory
from eva_lightning.reports.summary import summarize, summary_table

DEFAULTS = ScriptSettings()


def main(words: Sequence[str]) -> None:
    if words[:1] in (["-h"], ["--help"]):
        print("eva synthesize world | scripts: each has a --help of its own\n")
        words = ["world", "--help"]
    if words[:1] == ["scripts"]:
        from eva_lightning.commands.synthesize_scripts import scripts

        run_command(scripts, words[1:], "eva synthesize scripts")
        return
    if words[:1] != ["world"]:
        raise UsageError(
            "say what to synthesize: eva synthesize world --out DIR --videos N, "
            "or eva synthesize scripts --out DIR --count N"
        )
    run_command(world, words[1:], "eva synthesize world")


def world(
    out: str,
    videos: int = 20,
    held_out: int = 0,
    per_family: int = 1,
    families: list[str] | None = None,
    open_share: float = 0.5,
    attempts: int = 1,
    sloppy: float = 0.5,
    seed: int = 0,
    settings: ScriptSettings = DEFAULTS,
) -> None:
    """Make clips with sound, questions about them, and trajectories of an oracle and of a sloppy teacher.

    Writes clips/, scripts.jsonl, tasks.jsonl, held_out.jsonl, oracle.jsonl and sloppy.jsonl. An interrupted
    run is taken up where it stopped: clips that are there are not rendered again. A folder that holds a world
    of other settings is left alone.

    Args:
        out: Folder to write to.
        videos: Number of clips.
        held_out: How many of them are kept from training; their questions go to held_out.jsonl.
        per_family: Questions of each family for each clip.
        families: Which question families; by default all that can be answered by looking.
        open_share: Share of open questions; the others are multiple choice.
        attempts: Attempts of each teacher at each training question.
        sloppy: Share of the sloppy teacher's attempts that hold a mistake.
        seed: Dice; the same seed makes the same world.
        settings: Length, size and pace of the clips.
    """
    unknown = [family for family in families or () if family not in ALL_FAMILIES]
    if unknown:
        raise UsageError(f"there is no question family {unknown[0]!r}; there are {', '.join(ALL_FAMILIES)}")
    if not 0 <= held_out <= videos or videos < 1 or not 0 <= sloppy <= 1:
        raise UsageError(
            f"videos {videos}, held_out {held_out}, sloppy {sloppy}: want 1 or more videos, at most "
            "all of them held out, and a share between 0 and 1"
        )
    folder = Path(out)
    with sole_writer(folder.absolute(), "give another --out"):
        with tqdm(total=videos, desc="clips", unit="clip") as bar:
            files = build_world(
                folder,
                videos,
                settings,
                families=families or SIGHT,
                per_family=per_family,
                open_share=open_share,
                seed=seed,
                held_out=held_out,
                progress=lambda done, _: bar.update(done - bar.n),
            )
        dialect = default_dialect(seconds=True)
        everyone = files.tasks + files.held_out
        teachers: dict[str, Callable[[Context], str]] = {
            "oracle": Searcher(files.scripts, everyone, dialect),
            "sloppy": SloppySearcher(files.scripts, everyone, dialect, seed, rate=sloppy),
        }
        rows = []
        for name, teacher in teachers.items():
            made = teach(name, teacher, files.tasks, attempts, dialect, seed, told=files.scripts)
            write(folder / f"{name}.jsonl", [portable(one, folder) for one in made])
            rows.append((name, summarize(made)))
        counts = f"{len(files.scripts)} clips, {len(files.tasks)} tasks and {len(files.held_out)} held out"
        print(f"{counts} in {folder}")
        print(summary_table(rows))


def teach(
    name: str,
    teacher: Callable[[Context], str],
    tasks: Sequence[Task],
    attempts: int,
    who: Dialect | AgentConfig,
    seed: int,
    *,
    told: Iterable[Script] | None = None,
) -> list[Trajectory]:
    """Trajectories of one teacher; `who` is how it speaks, or all that it is made of.

    Where the scripts of the clips are `told`, no video is decoded: the frames are the same.
    """
    config = who if isinstance(who, AgentConfig) else AgentConfig(dialect=who)
    if told is not None:
        config = replace(config, world=ToldWorld(told))
    agent = config.agent(ScriptedEngine(teacher))
    jobs = jobs_for(tasks, replicas=attempts, seed=seed)
    with tqdm(total=len(jobs), desc=name, unit="trajectory") as bar:
        try:
            return asyncio.run(rollout(jobs, agent, on_finish=lambda _: bar.update()))
        finally:
            agent.world.close()
