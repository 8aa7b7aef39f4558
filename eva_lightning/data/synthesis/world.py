"""The embedded world on disk: a folder with clips, their scripts and questions about them.

    folder/clips/<script id>.mp4   folder/scripts.jsonl   folder/tasks.jsonl   folder/held_out.jsonl
    folder/world.settings.json

Paths inside the rows are relative to the folder, so that it can be moved; `load_tasks` makes them usable. A
clip's name holds the fingerprint of its script: a file that is there is not rendered again (delete `clips/`
after a change of the renderer). Trajectories of teachers are not made here: a rollout over the returned
tasks makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eva_lightning.data.synthesis.families import SIGHT, SUBJECTS
from eva_lightning.data.synthesis.questions import ask
from eva_lightning.data.synthesis.render import render
from eva_lightning.data.synthesis.script import Script, ScriptSettings, write_script
from eva_lightning.faults import UsageError
from eva_lightning.files.encoding import encode
from eva_lightning.files.settings_file import settle
from eva_lightning.files.store import located, read, write
from eva_lightning.records import Task

SCRIPTS, TASKS, HELD_OUT = "scripts.jsonl", "tasks.jsonl", "held_out.jsonl"
SETTINGS = "world.settings.json"


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

    @property
    def trained_on(self) -> tuple[Script, ...]:
        """The scripts of clips that no held-out question shows."""
        kept = {clip.id for task in self.held_out for clip in task.clips}
        return tuple(script for script in self.scripts if script.id not in kept)


def build_world(
    folder: str | Path,
    videos: int,
    settings: ScriptSettings | None = None,
    *,
    families: Sequence[str] | None = None,
    per_family: int = 1,
    open_share: float = 0.5,
    subjects: Sequence[Sequence[str]] = SUBJECTS,
    seed: int = 0,
    held_out: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> WorldFiles:
    """Write a world of `videos` clips, the last `held_out` of them kept from training, and load it.

    Calling it again after an interruption renders only what is missing; `progress` hears (clips done, clips).
    UsageError where a world of other settings lies: its held-out questions could move to training.
    """
    if not 0 <= held_out <= videos or videos < 1:
        raise ValueError(f"{videos} videos with {held_out} held out: want 0 <= held out <= videos, 1 or more")
    folder, settings = Path(folder), settings or ScriptSettings()
    scripts = [write_script(clip_seed(seed, number), settings) for number in range(videos)]
    questions = [
        ask(script, seed, families, per_family=per_family, open_share=open_share, subjects=subjects)
        for script in scripts
    ]
    border = videos - held_out
    parts = {
        TASKS: [task for tasks in questions[:border] for task in tasks],
        HELD_OUT: [task for tasks in questions[border:] for task in tasks],
    }
    said: dict[str, Any] = {"videos": videos, "held_out": held_out, "seed": seed, "per_family": per_family}
    said |= {"open_share": open_share, "families": list(SIGHT if families is None else families)}
    if tuple(map(tuple, subjects)) != SUBJECTS:
        said["subjects"] = [list(traits) for traits in subjects]
    _refuse_another(
        folder, {**said, **encode({f"settings.{k}": v for k, v in asdict(settings).items()})}, parts
    )
    for done, script in enumerate(scripts, start=1):
        path = folder / "clips" / f"{script.id}.mp4"
        if not path.exists():
            render(script, path)
        if progress is not None:
            progress(done, videos)
    write(folder / SCRIPTS, scripts)
    for name, tasks in parts.items():
        write(folder / name, tasks)
    return load_world(folder)


def _refuse_another(folder: Path, settings: Mapping[str, Any], parts: Mapping[str, Sequence[Task]]) -> None:
    """UsageError if the folder holds a world of other settings; one that was not finished may be given up."""
    file, finished = folder / SETTINGS, (folder / HELD_OUT).exists()
    if not finished:
        file.unlink(missing_ok=True)
    elif not file.exists() and any(
        {one.id for one in read(folder / name, Task)} != {one.id for one in tasks}
        for name, tasks in parts.items()
    ):
        raise UsageError(f"{folder} holds a world made with other settings: give another --out")
    settle(file, settings, f"{folder} holds a world made", "give another --out")


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
