"""New tasks about unseen videos, written by a teacher that is shown what the policy failed at.

EVA's data-enhanced GRPO: failures are the examples in the prompt, the teacher sees frames of another video
and writes questions of the same kind, and two short calls say whether a question needs its frames, and no
more than them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.rollout import derive_seed
from eva_lightning.agent.worlds.base import World
from eva_lightning.data.mining.author import Rejected, TaskAuthor, Written
from eva_lightning.data.mining.causes import Cluster, Failure, clustered, shares
from eva_lightning.data.mining.replies import Commission, read_rows
from eva_lightning.data.mining.teacher import Teacher
from eva_lightning.data.mining.vetting import vet
from eva_lightning.engines.base import Engine
from eva_lightning.engines.single_turn import unheard
from eva_lightning.faults import EngineFault, UsageError, VideoError
from eva_lightning.records import Clip, Part, Span, Task
from eva_lightning.scoring import canonical

VIDEOS = {".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v"}


class TeacherAuthor(TaskAuthor):
    """Has any engine write questions about a folder of videos."""

    def __init__(
        self,
        engine: Engine,
        videos: str,
        examples: int = 3,
        per_reply: int = 2,
        window: float = 60.0,
        frames: int = 12,
        side: int = 336,
        max_tokens: int = 1024,
        temperature: float = 0.8,
        timeout: float = 300.0,
        concurrency: int = 4,
        verify: bool = True,
    ) -> None:
        """
        Args:
            engine: The teacher, as a rule ServerEngine; never the engine of the policy in training.
            videos: Folder of videos that no task shows yet; its folders are searched as well.
            examples: Failures shown with each commission.
            per_reply: Questions in one commission.
            window: Seconds of a video that the teacher is shown.
            frames: Frames it is shown of them.
            side: Shorter side of such a frame, in pixels.
            max_tokens: Tokens of one reply.
            temperature: Of the writing; the verification takes the likeliest token.
            timeout: Seconds to wait for one reply.
            concurrency: Commissions under way at once.
            verify: Keep only what the teacher answers rightly from the evidence, and wrongly without any.
        """
        if min(examples, per_reply, frames, side, max_tokens, concurrency) < 1 or min(window, timeout) <= 0:
            raise UsageError(
                "TeacherAuthor: want 1 or more examples, questions per reply, frames, pixels, tokens and "
                "commissions at once, and a window and a timeout above 0 seconds"
            )
        self.engine = engine
        self.videos = sorted(
            path.resolve() for path in Path(videos).rglob("*") if path.suffix.lower() in VIDEOS
        )
        if not self.videos:
            raise UsageError(f"{videos}: holds no video ({', '.join(sorted(VIDEOS))}); name another folder")
        self.examples, self.per_reply, self.window, self.frames = examples, per_reply, window, frames
        self.side, self.timeout, self.concurrency = side, timeout, concurrency
        self.max_tokens, self.temperature, self.verify = max_tokens, temperature, verify
        self._settled: tuple[World, Dialect] | None = None

    def settle(self, folder: Path, world: World, dialect: Dialect) -> None:
        self._settled = world, dialect

    @property
    def settled(self) -> tuple[World, Dialect]:
        """Through which world to read videos, and how answers are spelled."""
        if self._settled is None:
            raise UsageError("TeacherAuthor: it was not told through which world to read videos")
        return self._settled

    @property
    def teacher(self) -> Teacher:
        world, _ = self.settled
        return Teacher(self.engine, world, side=self.side, timeout=self.timeout, concurrency=self.concurrency)

    def write(
        self, failures: Sequence[Failure], count: int, seed: int, progress: Callable[[int], None] = unheard
    ) -> Written:
        shown = {str(Path(clip.path).resolve()) for failure in failures for clip in failure.task.clips}
        videos = [path for path in self.videos if str(path) not in shown]
        if not videos or not failures:
            reason = "there is no failure to learn from" if videos else "every video is one of a failed task"
            return Written(rejected=(Rejected(cause="nothing to ask", reason=reason),))
        dice = random.Random(f"mined/{seed}")
        commissions = -(-count // self.per_reply)
        asking = [
            partial(
                self._order,
                cluster,
                dice.choice(videos),
                min(self.per_reply, count - number * self.per_reply),
                derive_seed(seed, number),
                progress,
            )
            for number, cluster in enumerate(shares(clustered(failures), commissions))
        ]
        rows = [row for reply in self.teacher.all(asking) for row in reply]
        return Written(
            tasks=tuple(row for row in rows if isinstance(row, Task)),
            rejected=tuple(row for row in rows if isinstance(row, Rejected)),
        )

    def vet(self, tasks: Sequence[Task]) -> Written:
        if not self.verify or not tasks:
            return Written(tasks=tuple(tasks))
        _, dialect = self.settled
        return vet(tasks, self.teacher, dialect, self.frames)

    def close(self) -> None:
        self.engine.close()

    async def _order(
        self, cluster: Cluster, video: Path, count: int, seed: int, progress: Callable[[int], None]
    ) -> list[Task | Rejected]:
        """The rows of one reply; whatever goes wrong is a row as well."""
        if self.stopped:
            return []
        dice = random.Random(seed)
        lead = dice.choice(cluster.failures)
        alike = [one for one in cluster.failures if bool(one.task.options) == bool(lead.task.options)]
        examples = dice.sample(alike, min(self.examples, len(alike)))
        clip = Clip(id=video.stem, path=str(video))
        try:
            duration = (await asyncio.to_thread(self.teacher.world.describe, clip)).duration
            start = dice.uniform(0.0, max(0.0, duration - self.window))
            commission = Commission(
                clip=clip,
                shown=(start, min(start + self.window, duration)),
                count=count,
                options=bool(lead.task.options),
                source=cluster.source,
                cause=cluster.cause,
            )
            window = Span(clip=clip.id, start=commission.shown[0], end=commission.shown[1])
            frames = await self.teacher.frames(clip, [window], self.frames)
            said = await self.teacher.ask(
                [_request(examples, commission, duration), *frames],
                clip,
                max_tokens=self.max_tokens,
                temperature=self.temperature,
                seed=seed,
            )
        except VideoError as problem:
            return [Rejected(cause="broken clip", reason=str(problem))]
        except EngineFault as problem:
            return [Rejected(cause="no reply", reason=str(problem))]
        finally:
            progress(count)
        if said.cut:
            reason = f"the reply was not over after {self.max_tokens} tokens"
            return [Rejected(cause="cut short", reason=reason, text=said.text)]
        return read_rows(said.text, commission)


def _request(examples: Sequence[Failure], commission: Commission, duration: float) -> Part:
    """What the teacher is asked; the frames follow."""
    told = "\n\n".join(f"{number}. {_example(one)}" for number, one in enumerate(examples, start=1))
    if commission.options:
        shape = '"options": ["...", "...", "...", "..."], "answer": "the text of the right option"'
        style = "Each has four options, one of them right."
    else:
        shape, style = '"answer": "a few words, or a number"', "They are open questions, without options."
    low, high = commission.shown
    return (
        "A video agent, which has to find out itself which seconds to watch, failed at these questions:\n\n"
        f"{told}\n\n"
        f"Below are frames of another video, {duration:.0f} seconds long, from second {low:.0f} to "
        f"{high:.0f}. Write {commission.count} new questions about that video, of exactly the same kind and "
        "as hard, that these frames answer and that nobody can answer without them. Do not give the answer "
        f"away in the question, and do not ask the same twice. {style}\n"
        "Reply with a JSON list and nothing else, where start and end are the seconds between which the "
        f'answer can be seen:\n[{{"question": "...", {shape}, "start": 12.0, "end": 15.5}}]\n\n'
    )


def _example(failure: Failure) -> str:
    task = failure.task
    gold = "" if task.answer is None else canonical(task.answer)
    said = failure.answer or "(nothing)"
    return (
        f"Question: {task.text}\nRight answer: {gold}\nThe agent answered: {said}\n"
        f"It watched: {failure.watched}\nWhat went wrong: {failure.cause}"
    )
