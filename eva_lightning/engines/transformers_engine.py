"""The policy that is being trained writes its own turns, in this process, with transformers.

Whoever waits is batched together, exact first: a batch begins when every seated worker waits, and its rows
are ordered by place, so the same seed replays the same trajectories byte for byte however long the tools
take. Each turn is handed back when it has ended, and its tools run while the others still write. For speed on
a GPU take the vLLM engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from eva_lightning.device import on_card
from eva_lightning.engines.base import Context, Engine, Sampling, Utterance
from eva_lightning.engines.hand_back import hand_back
from eva_lightning.faults import EngineRefusal, UsageError
from eva_lightning.policy.generate import Draft, write_turns
from eva_lightning.policy.loading import Policy
from eva_lightning.policy.pixels import patches
from eva_lightning.policy.renderer import Renderer


@dataclass(frozen=True, kw_only=True, eq=False)
class _Waiter:
    """A worker that waits for its turn to be written."""

    place: int
    draft: Draft
    future: asyncio.Future[Utterance]


class TransformersEngine(Engine):
    """Writes with the policy's own weights: nothing to refresh, nothing to drift."""

    renderer: Renderer

    def __init__(self, policy: Policy, max_batch: int = 64, batch_tokens: int = 32_768) -> None:
        """
        Args:
            policy: The model that is being trained.
            max_batch: Turns written at once, at most; 1 makes every trajectory independent of its neighbours,
                to the last bit.
            batch_tokens: Tokens of the conversations read at once, padding included; a longer one goes alone.
        """
        if max_batch < 1 or batch_tokens < 1:
            raise UsageError(f"max_batch is {max_batch}, batch_tokens {batch_tokens}: want 1 or more")
        if policy.family.slides(policy.backbone):
            raise UsageError("this checkpoint uses sliding windows; the transformers engine does not")
        self.policy = policy
        self.renderer = policy.renderer
        self.max_batch = max_batch
        self.batch_tokens = batch_tokens
        self._seats = 0
        self._waiting: list[_Waiter] = []
        self._writing = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="transformers-engine")

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        """The next turn of one conversation."""
        if context.frames:
            draft = await asyncio.to_thread(self._read, context, sampling)
        else:
            draft = self._read(context, sampling)
        loop = asyncio.get_running_loop()
        waiter = _Waiter(place=context.place, draft=draft, future=loop.create_future())
        self._waiting.append(waiter)
        loop.call_soon(self._fire)  # not now: others who are ready in this tick belong to the same batch
        try:
            return await waiter.future
        finally:
            draft.abandoned = True  # no matter to a finished one; a cancelled one leaves the batch
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    @contextmanager
    def seat(self) -> Iterator[None]:
        """Held by a worker that may ask for more: no batch begins without it."""
        self._seats += 1
        try:
            yield
        finally:
            self._seats -= 1
            self._fire()

    def close(self) -> None:
        """Stop the thread; a batch that is being written ends first."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _read(self, context: Context, sampling: Sampling) -> Draft:
        """A conversation as the model reads it. Decodes frames, so it runs in a thread."""
        frames = context.frames
        ids = self.renderer.expand(context.ids, frames)
        room = self.policy.max_positions - len(ids)
        if room < 1 or not ids:
            raise EngineRefusal(
                f"task {context.task_id!r}: a conversation of {len(ids)} tokens; this model takes 1 to "
                f"{self.policy.max_positions - 1} and its turn. Lower the token budget."
            )
        cut, grid = patches([context.pixels(frame) for frame in frames], self.policy.images)
        return Draft(
            ids=ids,
            positions=self.policy.family.positions(ids, grid, self.renderer.image_token_id),
            patches=cut,
            grid=grid,
            temperature=sampling.temperature,
            max_tokens=min(sampling.max_tokens, room),
            seed=sampling.seed,
        )

    def _fire(self) -> None:
        """Begin a batch if everybody who could be in it is there."""
        if self._writing or not self._waiting or len(self._waiting) < self._seats:
            return
        batch = sorted(self._waiting, key=lambda waiter: waiter.place)
        self._waiting.clear()
        self._writing = True
        self._thread.submit(self._run, batch)

    def _run(self, batch: list[_Waiter]) -> None:
        """In the engine's thread: write a batch, hand every turn back as it ends, or what went wrong."""
        model = self.policy.model
        training = model.training
        problem: BaseException | None = None
        left = len(batch)
        model.eval()
        try:
            with on_card(next(model.parameters()).device):  # this thread's own would be the first one
                for part in self._parts(batch):
                    waiters = {waiter.draft: waiter for waiter in part}
                    for draft in write_turns(self.policy, list(waiters)):
                        left -= 1
                        if not left:  # whoever gets the last turn may go on to train
                            model.train(training)
                        hand_back(waiters[draft].future, self._utterance(draft))
        except BaseException as caught:  # whatever it is, nobody may wait for ever
            problem = caught
        if left:  # else it is back in its mode already, and perhaps in another one by now
            model.train(training)
        self._writing = False
        if problem is not None:
            for waiter in batch:
                hand_back(waiter.future, problem)
        for waiter in self._waiting[:1]:  # came while we wrote, perhaps in another loop than ours
            with suppress(RuntimeError):
                waiter.future.get_loop().call_soon_threadsafe(self._fire)

    def _parts(self, batch: list[_Waiter]) -> Iterator[list[_Waiter]]:
        """The batch in parts that fit: neighbours in length, so no long conversation pads a short one."""
        part: list[_Waiter] = []
        for waiter in sorted(batch, key=lambda waiter: (len(waiter.draft.ids), waiter.place)):
            longest = len(waiter.draft.ids)  # so far; they are sorted
            if part and (len(part) == self.max_batch or (len(part) + 1) * longest > self.batch_tokens):
                yield part
                part = []
            part.append(waiter)
        yield part

    def _utterance(self, draft: Draft) -> Utterance:
        return Utterance(
            text=self.renderer.decode(draft.token_ids),
            token_ids=tuple(draft.token_ids),
            logprobs=tuple(draft.logprobs),
            weight_version=self.policy_version,
            cut=not draft.ended,
        )
