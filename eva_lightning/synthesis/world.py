"""The embedded world on disk: a folder with clips, their scripts and questions about them.

    folder/clips/<script id>.mp4   folder/scripts.jsonl   folder/tasks.jsonl   folder/held_out.jsonl

Paths inside the rows are relative to the folder, so that it can be moved; `load_tasks` makes them usable. A
clip's name holds the fingerprint of its script: a file that is there is not rendered again (delete `clips/`
after a change of the renderer). Trajectories of teachers are not made here: a rollout over the returned
tasks makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eva_lightning.records import Task
from eva_lightning.store import located, read, write
from eva_lightning.synthesis.questions import ask
from eva_lightning.synthesis.render import render
from eva_lightning.synthesis.script import Script, ScriptSettings, write_script

SCRIPTS, TASKS, HELD_OUT = "scripts.jsonl", "tasks.jsonl", "held_out.jsonl"


@dataclass(frozen=True, kw_only=True)
class WorldFiles:
    """An embedded world, ready to be used: the paths of its tasks work from here."""

    folder: Path
    """Where it lies."""
    scripts: tuple[Script, ...]
    """The script of every clip."""
    tasks: tuple[Task, ...]
    """Questions to train on."""
    held_out: tuple[Task, ...] = ()
    """Questions about clips that no training task shows."""


def build_world(
    folder: str | Path,
    videos: int,
    settings: ScriptSettings | None = None,
    *,
    families: Sequence[str] | None = None,
    per_family: int = 1,
    open_share: float = 0.5,
    seed: int = 0,
    held_out: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> WorldFiles:
    """Write a world of `videos` clips, the last `held_out` of them kept from training, and load it.

    Calling it again after an interruption renders only what is missing; `progress` hears (clips done, clips).
    """
    if not 0 <= held_out <= videos or videos < 1:
        raise ValueError(f"{videos} videos with {held_out} held out: want 0 <= held out <= videos, 1 or more")
    folder = Path(folder)
    scripts = [write_script(clip_seed(seed, number), settings) for number in range(videos)]
    for done, script in enumerate(scripts, start=1):
        path = folder / "clips" / f"{script.id}.mp4"
        if not path.exists():
            render(script, path)
        if progress is not None:
            progress(done, videos)
    questions = [
        ask(script, seed, families, per_family=per_family, open_share=open_share) for script in scripts
    ]
    border = videos - held_out
    write(folder / SCRIPTS, scripts)
    write(folder / TASKS, [task for tasks in questions[:border] for task in tasks])
    write(folder / HELD_OUT, [task for tasks in questions[border:] for task in tasks])
    return load_world(folder)


def clip_seed(seed: int, number: int) -> int:
    """The seed of a world's clip: worlds of different seeds share none, up to a million clips."""
    return seed * 1_000_000 + number


def load_world(folder: str | Path) -> WorldFiles:
    """A world that `build_world` wrote."""
    return WorldFiles(
        folder=Path(folder),
        scripts=tuple(read(Path(folder) / SCRIPTS, Script)),
        tasks=tuple(load_tasks(folder)),
        held_out=tuple(load_tasks(folder, HELD_OUT)),
    )


def load_tasks(folder: str | Path, name: str = TASKS) -> list[Task]:
    """The tasks of a world, with paths that work from the current directory."""
    return [located(task, folder) for task in read(Path(folder) / name, Task)]
