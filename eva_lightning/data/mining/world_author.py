"""New tasks of the embedded world, without a model: new clips, rendered, and questions of the failed kinds.

A kind is the family, whether it has options, and the traits that have to be read. Answers and evidence are
known, so these tasks need no teacher's opinion.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.rollout import derive_seed
from eva_lightning.agent.worlds.base import World
from eva_lightning.data.mining.author import Rejected, TaskAuthor, Written
from eva_lightning.data.mining.causes import Cluster, Failure, clustered, shares
from eva_lightning.data.synthesis.families import SUBJECTS
from eva_lightning.data.synthesis.questions import ask
from eva_lightning.data.synthesis.render import render
from eva_lightning.data.synthesis.script import MARGIN, Script, ScriptSettings, write_script
from eva_lightning.data.synthesis.searches import ALL_FAMILIES
from eva_lightning.data.synthesis.world import SCRIPTS
from eva_lightning.engines.single_turn import unheard
from eva_lightning.faults import UsageError
from eva_lightning.files.store import located, read
from eva_lightning.records import Task

PATIENCE = 8
"""How many clips more than tasks may be drawn, where a clip has nothing to ask of a kind."""


class WorldAuthor(TaskAuthor):
    """Renders clips that nobody has seen and asks what the policy could not answer."""

    def __init__(
        self,
        world: str | None = None,
        settings: ScriptSettings | None = None,
        folder: str | None = None,
        per_clip: int = 4,
    ) -> None:
        """
        Args:
            world: Folder of the embedded world that is trained on: new clips are of its lengths and sizes.
                None finds it by the clips of the failed tasks.
            settings: What kind of clips to draw, instead.
            folder: Where to write them, in clips/; None is beside the mined tasks.
            per_clip: Questions about one clip.
        """
        if world is not None and settings is not None:
            raise UsageError("WorldAuthor: name a world or settings of clips, not both")
        if per_clip < 1:
            raise UsageError(f"WorldAuthor: per_clip is {per_clip}; want 1 or more")
        self.settings = settings
        if world is not None:
            self.settings = settings_like(read(Path(world) / SCRIPTS, Script))
        self.given_folder = folder
        self.folder: Path | None = None if folder is None else Path(folder)
        self.per_clip = per_clip

    def settle(self, folder: Path, world: World, dialect: Dialect) -> None:
        self.folder = folder if self.given_folder is None else Path(self.given_folder)

    def write(
        self, failures: Sequence[Failure], count: int, seed: int, progress: Callable[[int], None] = unheard
    ) -> Written:
        clusters = [one for one in clustered(failures) if one.source in ALL_FAMILIES]
        if not clusters:
            known = ", ".join(ALL_FAMILIES)
            reason = f"no failure is of a family of the embedded world ({known})"
            return Written(rejected=(Rejected(cause="nothing to ask", reason=reason),))
        settings = self.settings or _settings_around(clusters)
        dice = random.Random(f"mined/{seed}")
        wanted = shares(clusters, count)
        dice.shuffle(wanted)  # or else a clip would have questions of one kind only
        tasks: list[Task] = []
        clips = 0
        while wanted and clips < count + PATIENCE and not self.stopped:
            # Seeds of 60 bits: no clip of `build_world`, whose seeds are small.
            script = write_script(derive_seed("mined", seed, clips) >> 3, settings)
            clips += 1
            found, wanted = self._asked(script, wanted, dice)
            if found:
                tasks += self._rendered(script, found)
                progress(len(found))
        reason = f"{clips} clips have no more questions of the kind"
        left = [Rejected(cause="nothing to ask", reason=f"{reason} {one.source}") for one in wanted]
        return Written(tasks=tuple(tasks), rejected=() if self.stopped else tuple(left))

    def _asked(
        self, script: Script, wanted: Sequence[Cluster], dice: random.Random
    ) -> tuple[list[Task], list[Cluster]]:
        """Up to `per_clip` different questions about a clip, and what is still wanted after that."""
        found: list[Task] = []
        left: list[Cluster] = []
        for place, cluster in enumerate(wanted):
            if len(found) == self.per_clip:
                left += wanted[place:]
                break
            task = None if cluster in left else _ask(script, cluster, dice, {one.question for one in found})
            if task is None:
                left.append(cluster)
            else:
                found.append(task)
        return found, left

    def _rendered(self, script: Script, tasks: Sequence[Task]) -> list[Task]:
        """The tasks, numbered inside their clip, whose file is there now."""
        if self.folder is None:
            raise UsageError("WorldAuthor: say in which folder to write clips")
        folder = self.folder.resolve()
        path = folder / "clips" / f"{script.id}.mp4"
        if not path.exists():
            render(script, path)
        named = [replace(one, id=f"{script.id}-{one.source}-{i}") for i, one in enumerate(tasks)]
        return [located(one, folder) for one in named]


def _ask(script: Script, cluster: Cluster, dice: random.Random, asked: Collection[str]) -> Task | None:
    """A question, not asked about the clip yet, of the kind of one of the failures; None if there is none."""
    model = dice.choice(cluster.failures).task
    traits = tuple(model.extra.get("read", ()))
    drawn = ask(
        script,
        dice.randrange(2**32),
        [cluster.source],
        per_family=len(asked) + 1,
        open_share=0.0 if model.options else 1.0,
        subjects=[traits] if traits in SUBJECTS else SUBJECTS,
    )
    new = next((one for one in drawn if one.question not in asked), None)
    return new and replace(new, extra={**new.extra, "mined": cluster.cause})


def _settings_around(clusters: Sequence[Cluster]) -> ScriptSettings | None:
    """Those of the world whose clips the failed tasks show; None if the clips lie alone."""
    for task in (failure.task for cluster in clusters for failure in cluster.failures):
        scripts = Path(task.clips[0].path).parent.parent / SCRIPTS
        if scripts.is_file():
            return settings_like(read(scripts, Script))
    return None


def settings_like(scripts: Sequence[Script]) -> ScriptSettings:
    """Settings under which such scripts are drawn, as far as they tell."""
    if not scripts:
        raise UsageError("WorldAuthor: the world has no clips to be like")
    durations = [script.duration for script in scripts]
    events = [event for script in scripts for event in script.events]
    lengths = [event.end - event.start for event in events]
    shortest = max(min(min(lengths), min(durations) // 2), 2 * MARGIN)
    first = scripts[0]
    return ScriptSettings(
        duration=(min(durations), max(durations)),
        event=(shortest, max(max(lengths), 2 * shortest)),
        fps=first.fps,
        height=first.height,
        width=first.width,
        gop=first.gop,
        cues=sum(event.hear is not None for event in events) / len(events),
    )
