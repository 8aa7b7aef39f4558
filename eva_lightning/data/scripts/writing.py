"""Writing: orders become tasks and scripts on disk, some at once, each kept as soon as it is done.

    folder/tasks.jsonl   folder/held_out.jsonl   folder/scripts.jsonl
    folder/written.jsonl   folder/scripts.settings.json

A row of written.jsonl is what became of one order, with everything that was refused on the way; the other
files are made of it. So an interrupted run goes on, and nobody is paid twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from eva_lightning.agent.rollout import derive_seed
from eva_lightning.agent.worlds.script import ClipScript, ScriptEvent
from eva_lightning.data.scripts.authors import ScriptAuthor
from eva_lightning.data.scripts.checks import check_question, check_story, signature
from eva_lightning.data.scripts.kinds import KINDS
from eva_lightning.data.scripts.spec import Assembled, Order, ScriptSpec
from eva_lightning.data.scripts.story import RefusalCause, Refused, Story, read_story
from eva_lightning.engines.single_turn import some_at_once, unheard
from eva_lightning.faults import EngineFault, UsageError
from eva_lightning.files.settings_file import settle
from eva_lightning.files.store import Appender, read, repair, write
from eva_lightning.records import Clip, Task

TASKS, HELD_OUT, SCRIPTS = "tasks.jsonl", "held_out.jsonl", "scripts.jsonl"
WRITTEN, SETTINGS = "written.jsonl", "scripts.settings.json"
GIVE_UP = 8
"""Orders in a row that nobody answers, after which nobody is asked any more."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Something that was written and will not be trained on."""

    cause: RefusalCause
    """Why, in a word or three."""
    reason: str
    """Why, in words a person can check."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of one order."""

    name: str
    """Id of its task."""
    kind: str
    """Kind of its question."""
    task: Task | None = None
    """The task; None if everything that was written for it was refused."""
    scripts: tuple[ClipScript, ...] = ()
    """The scripts of its clips."""
    refused: tuple[Refusal, ...] = ()
    """What was refused, in order."""
    signature: str = ""
    """The same for two that ask the same of the same words."""


class Desk:
    """Where orders are worked off, in a folder."""

    def __init__(self, folder: Path, author: ScriptAuthor, *, tries: int = 3, concurrency: int = 8) -> None:
        """
        Args:
            folder: Where it all lies.
            author: Writes.
            tries: Stories that are asked for until one is sound.
            concurrency: Orders under way at once.
        """
        self.folder, self.author = folder, author
        self.tries, self.concurrency = tries, concurrency
        self._silent, self._problem = 0, ""
        self._known: set[str] = set()

    def begin(self, settings: Mapping[str, Any], *, fresh: bool = False) -> None:
        """Take up what is there; UsageError if it was made with other settings."""
        if fresh:
            for name in (WRITTEN, SETTINGS, TASKS, HELD_OUT, SCRIPTS):
                (self.folder / name).unlink(missing_ok=True)
        if not (self.folder / WRITTEN).exists():
            (self.folder / SETTINGS).unlink(missing_ok=True)
            strange = [name for name in (TASKS, SCRIPTS) if (self.folder / name).exists()]
            if strange:
                raise UsageError(f"{self.folder} holds a {strange[0]} of something else: give another --out")
        what = f"{self.folder} holds scripts made"
        settle(self.folder / SETTINGS, settings, what, "give another --out, or begin again with --fresh")

    def done(self) -> dict[str, Written]:
        """What became of the orders that were worked off, by name."""
        path = self.folder / WRITTEN
        if not path.exists():
            return {}
        repair(path)
        return {one.name: one for one in read(path, Written)}

    async def work_off(
        self, orders: Sequence[Order], progress: Callable[[int], None] = unheard
    ) -> list[Written]:
        """What became of all orders, in their order. Those that nobody answered are left out."""
        done = self.done()
        self._known |= {one.signature for one in done.values() if one.task is not None}
        progress(sum(order.name in done for order in orders))
        with Appender(self.folder / WRITTEN) as file:

            async def fill(order: Order) -> None:
                one = await self._fill(order)
                if one is not None:
                    file.append(one)
                    done[order.name] = one
                progress(1)

            asking = [partial(fill, order) for order in orders if order.name not in done]
            engine = self.author.engine
            if engine is None:  # nobody waits: one after the other, so that the same seed writes the same
                for put in asking:
                    await put()
            else:
                await some_at_once(engine, asking, self.concurrency)
        if self._silent >= GIVE_UP:
            raise UsageError(
                f"the author did not answer {GIVE_UP} times in a row ({self._problem}); the same line goes on"
            )
        return [done[order.name] for order in orders if order.name in done]

    async def _fill(self, order: Order) -> Written | None:
        """Ask until a story is sound; None where nobody answers."""
        if self._silent >= GIVE_UP:
            return None
        spec, refused = KINDS[order.kind], list[Refusal]()
        for attempt in range(self.tries):
            try:
                text = await self.author.write(spec, order, derive_seed(order.seed, order.name, attempt))
                story, asked = sound(text, spec, order)
                mark = signature(story)
                if mark in self._known:
                    raise Refused("duplicate", "it was written before")
                self._silent = 0
                self._known.add(mark)
                task, scripts = with_clips(story, asked, order)
                return Written(
                    name=order.name,
                    kind=order.kind,
                    task=task,
                    scripts=scripts,
                    refused=tuple(refused),
                    signature=mark,
                )
            except Refused as problem:
                refused.append(Refusal(cause=problem.cause, reason=str(problem)))
            except EngineFault as problem:
                self._silent += 1
                self._problem = str(problem)
                return None
        return Written(name=order.name, kind=order.kind, refused=tuple(refused))


def sound(text: str, spec: ScriptSpec, order: Order) -> tuple[Story, Assembled]:
    """The story of a reply and its question; Refused if it fails a check."""
    story = read_story(text, spec.wants, spec.count(order.case), spec.options)
    check_story(story, spec, order)
    asked = spec.assemble(story, order)
    check_question(asked)
    return story, asked


def with_clips(story: Story, asked: Assembled, order: Order) -> tuple[Task, tuple[ClipScript, ...]]:
    """The task and the scripts of its clips.

    A script has a name of its own; its clip is named like the clips of any task, and has the path of a video
    that might be rendered of it.
    """
    shown = sorted(range(len(order.places)), key=lambda one: order.places[one])
    scripts = tuple(
        ClipScript(
            clip=f"{order.name}-{place}",
            duration=story.clips[one][-1].end,
            events=tuple(
                ScriptEvent(start=it.start, end=it.end, see=it.see, hear=it.hear) for it in story.clips[one]
            ),
        )
        for place, one in enumerate(shown, start=1)
    )
    evidence = sorted(asked.evidence)
    task = Task(
        id=order.name,
        source=order.kind,
        clips=tuple(
            Clip(id=f"video {place}", path=f"clips/{one.clip}.mp4")
            for place, one in enumerate(scripts, start=1)
        ),
        question=asked.question,
        options=asked.options,
        answer=asked.answer,
        extra={
            "evidence": [[f"video {clip + 1}", start, end] for clip, start, end in evidence],
            "category": order.kind,
            **asked.extra,
        },
    )
    return task, scripts


def write_files(folder: Path, written: Iterable[Written], held_out: int) -> tuple[list[Task], list[Task]]:
    """The tasks to train on and those held out; and the scripts of both in one file.

    Held out are the tasks of the first orders: they stay so when more are written.
    """
    everything = list(written)
    parts = [
        [one.task for one in some if one.task is not None]
        for some in (everything[held_out:], everything[:held_out])
    ]
    write(folder / SCRIPTS, [script for one in everything for script in one.scripts])
    for name, tasks in zip((TASKS, HELD_OUT), parts, strict=True):
        write(folder / name, tasks)
    return parts[0], parts[1]


def told(written: Sequence[Written]) -> list[tuple[str, int, Counter[str], Counter[str]]]:
    """Of each kind: how many tasks, how often each gold answer, and what was refused by cause."""
    rows = []
    for kind in dict.fromkeys(one.kind for one in written):
        ours = [one for one in written if one.kind == kind]
        answers = [one.task.answer for one in ours if one.task is not None]
        labels = Counter(str(one.value) for one in answers if one is not None and one.kind == "choice")
        causes = Counter[str](refusal.cause for one in ours for refusal in one.refused)
        rows.append((kind, len(answers), labels, causes))
    return rows
