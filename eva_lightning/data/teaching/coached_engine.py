"""A teacher with a coach and an auditor at its side: an engine around an engine.

What they say stays in here. The teacher reads a briefing in its opening, and objections to a call before
anybody runs it; the agent loop, and so the trajectory, sees the plain opening and the message that was kept
in the end. Token ids, where the teacher has them, are those of that message, behind ids of the plain opening:
what a policy will read. Their log-probs were drawn under another opening and are written as 0, as for any
words that nobody sampled from this conversation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from eva_lightning.agent.rollout import derive_seed
from eva_lightning.data.teaching.audits import Auditor
from eva_lightning.data.teaching.coach import Coach
from eva_lightning.data.teaching.hints import told_objection
from eva_lightning.engines.base import Context, Engine, Sampling, Utterance
from eva_lightning.records import Message, Task


class CoachedEngine(Engine):
    """Writes what its teacher writes after the coach and the auditor had their say."""

    def __init__(
        self,
        teacher: Engine,
        tasks: Sequence[Task],
        coach: Coach | None = None,
        auditor: Auditor | None = None,
        *,
        patience: int = 2,
        on_objection: Callable[[str], None] = lambda cause: None,
    ) -> None:
        """
        Args:
            teacher: Writes.
            tasks: Those of the rollout's jobs, in order.
            coach: Says what the teacher is told in its opening; None leaves it plain.
            auditor: Objects to calls; None lets all of them pass.
            patience: Objections to one message; what the teacher then insists on is let through.
            on_objection: Hears the cause of each.
        """
        self.teacher, self.tasks = teacher, list(tasks)
        self.coach, self.auditor = coach, auditor
        self.patience, self.on_objection = patience, on_objection
        self.renderer, self.meter = teacher.renderer, teacher.meter

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        read = context if self.coach is None else self._briefed(context, self.coach)
        said = await self.teacher.write(read, sampling)
        faults = said.faults
        clips = self.tasks[context.place].clips
        for number in range(1, self.patience + 1):
            if self.auditor is None or said.cut:
                break
            # in a thread, for it may open a video
            objection = await asyncio.to_thread(self.auditor.object_to, said.text, context.messages, clips)
            if objection is None:
                break
            self.on_objection(objection.cause)
            read = self._objected(read, said, told_objection(objection.reason))
            said = await self.teacher.write(
                read, replace(sampling, seed=derive_seed(sampling.seed, "again", number))
            )
            faults += said.faults
        return replace(said, logprobs=(0.0,) * len(said.token_ids), faults=faults)

    @contextmanager
    def seat(self) -> Iterator[None]:
        with self.teacher.seat():
            yield

    @contextmanager
    def awake(self) -> Iterator[None]:
        with self.teacher.awake():
            yield

    def close(self) -> None:
        self.teacher.close()

    def _briefed(self, context: Context, coach: Coach) -> Context:
        """The conversation as the teacher reads it."""
        roles = [message.role for message in context.messages]
        begin = roles.index("assistant") if "assistant" in roles else len(roles)
        plain, rest = context.messages[:begin], context.messages[begin:]
        opening = coach.opening(context.place, plain)
        ids = context.ids
        if self.renderer is not None:
            ids = (*self.renderer.opening(opening), *ids[len(self.renderer.opening(plain)) :])
        return replace(context, messages=(*opening, *rest), ids=ids)

    def _objected(self, context: Context, said: Utterance, note: str) -> Context:
        """The conversation with a message that was objected to, and the objection."""
        objection = Message(role="user", parts=(note,))
        ids = context.ids
        if self.renderer is not None:
            ids = (*ids, *said.token_ids, *self.renderer.follow(context.messages, objection, cut=said.cut))
        turn = Message(role="assistant", parts=(said.text,))
        return replace(context, messages=(*context.messages, turn, objection), ids=ids)
