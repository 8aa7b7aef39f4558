"""vLLM in this process as the engine: turns of many trajectories written together, joining as they come.

One thread owns vLLM (thread.py). A turn that is asked for joins the others at their next token (nobody waits
for the slowest tool), what was read of a conversation is kept for its next turn, and a frame is known by
clip, time and size, so that no pixel is hashed or prepared twice. The weights are a copy: `RolloutRefresh`
hands over the new ones. How vLLM wants to be asked is said by `in_process`.

The same seed draws the same tokens from the same numbers; who else is being written can change the last bits
of those numbers, so a replay is exact only as long as none of them decides a token.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Literal

import torch

from eva_lightning.device import own_card
from eva_lightning.engines.base import Context, RefreshedEngine, Sampling, Utterance, Weights
from eva_lightning.engines.vllm.adapter import FinishedTurn, sampling_words
from eva_lightning.engines.vllm.in_process import InProcess
from eva_lightning.engines.vllm.lockstep import Lockstep
from eva_lightning.engines.vllm.settings import VLLMSettings
from eva_lightning.engines.vllm.thread import VLLMThread, WaitingTurn
from eva_lightning.faults import EngineFault, UsageError
from eva_lightning.policy.loading import Policy
from eva_lightning.records import FrameRef
from eva_lightning.video.decoder import Pixels


@dataclass(kw_only=True)
class Spent:
    """What the engine did so far."""

    read: int = 0
    """Tokens of prompts."""
    cached: int = 0
    """Those of them that were known from an earlier turn."""
    written: int = 0
    """Tokens written."""


class VLLMEngine(RefreshedEngine):
    """Writes with vLLM, here."""

    def __init__(
        self,
        policy: Policy,
        settings: VLLMSettings | None = None,
        tensor_parallel: int = 1,
        sleep_level: Literal[0, 1, 2] = 0,
    ) -> None:
        """
        Args:
            policy: The model whose turns it writes; it begins with the weights of that checkpoint's folder.
            settings: How vLLM is set up.
            tensor_parallel: GPUs that share one copy of the weights. Above 1, as many neighbouring ranks of
                the trainer share a vLLM, and write in step.
            sleep_level: What it gives back between rollouts. 0: nothing. 1: the cache, and the weights go to
                host memory. 2: both, and the weights are handed over anew before each rollout. Needs a GPU.
        """
        if sleep_level and not torch.cuda.is_available():
            raise UsageError(f"sleep_level is {sleep_level}: vLLM sleeps on GPUs only; here it must be 0")
        lockstep = Lockstep(tensor_parallel) if tensor_parallel != 1 else None
        self.settings = settings or VLLMSettings()
        room = min(self.settings.max_length, policy.max_positions)
        self.settings = replace(self.settings, max_length=room)
        self.renderer = policy.renderer
        self.sleep_level, self.sleeps = sleep_level, bool(sleep_level)
        self.refreshed_in_flight = not sleep_level and lockstep is None
        self.spent = Spent()
        self._prefix = f"{lockstep.rank}." if lockstep is not None else ""
        self._numbers = itertools.count()
        self._asleep: set[str] = set()
        self.thread = VLLMThread(lockstep, self._utterance)
        dtype = next(policy.model.parameters()).dtype
        device = own_card()  # as seen by the thread that trains
        self.thread.build(
            lambda: InProcess(
                policy.path,
                policy.revision,
                dtype,
                self.settings,
                device=device,
                tensor_parallel=tensor_parallel,
                sleeps=bool(sleep_level),
            )
        )

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        """The next turn of one conversation."""
        assert self.renderer is not None
        frames = context.frames
        self._check(context, frames)
        pixels: list[Pixels] = []
        if frames:
            pixels = await asyncio.to_thread(lambda: [context.pixels(frame) for frame in frames])
        turn = WaitingTurn(
            number=self._prefix + str(next(self._numbers)),
            ids=context.ids,
            frames=frames,
            pixels=pixels,
            names=[context.name(frame) for frame in frames],
            words=sampling_words(sampling, self.renderer.banned_ids, self.renderer.end_ids, {}),
            future=asyncio.get_running_loop().create_future(),
        )
        self.thread.send(turn)
        try:
            return await turn.future
        except asyncio.CancelledError:
            with suppress(EngineFault):  # it has ended: there is nothing to drop
                self.thread.send(turn.number)
            raise

    def take_weights(self, weights: Weights, version: int) -> None:
        """Replace all weights and empty every cache. The trainer may go on using its tensors: vLLM copies.

        Turns under way go on with the new ones, behind what the old ones wrote.
        """
        self._wake("weights")
        self.thread.refresh(lambda: self.thread.vllm.take(weights(), version))
        self.policy_version, self.holds_weights = version, True

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Takes the GPU memory it needs to write, and gives it back at the end.

        Ranks that share a vLLM enter together, and each leaves when all have written what they wanted.
        """
        if not self.holds_weights:
            raise EngineFault("vLLM slept at level 2 and has no weights: hand it some (RolloutRefresh)")
        self._wake("weights")
        self._wake("kv_cache")
        try:
            with self.thread.in_step():
                yield
        finally:
            if self.sleep_level:
                self.thread.call(lambda: self.thread.vllm.sleep(self.sleep_level))
                self._asleep = {"weights", "kv_cache"}
                self.holds_weights = self.sleep_level < 2

    def close(self) -> None:
        """Stop the thread and free the memory; whoever still waits is told."""
        self.thread.close()

    def _wake(self, what: str) -> None:
        if what in self._asleep:
            self.thread.call(lambda: self.thread.vllm.wake(what))
            self._asleep.remove(what)

    def _check(self, context: Context, frames: Sequence[FrameRef]) -> None:
        """Say in our words what vLLM would refuse in its own."""
        length = len(context.ids) - len(frames) + sum(frame.visual_tokens for frame in frames)
        largest = max((frame.visual_tokens for frame in frames), default=0)
        wrong = None
        if length + 1 > self.settings.max_length:
            wrong = f"{length} tokens, and the engine takes {self.settings.max_length - 1}: raise max_length"
        elif len(frames) > self.settings.max_frames:
            wrong = f"{len(frames)} frames, and the engine takes {self.settings.max_frames}: raise max_frames"
        elif largest > self.settings.max_frame_tokens:
            wrong = f"a frame of {largest} tokens: raise max_frame_tokens ({self.settings.max_frame_tokens})"
        if wrong:
            raise EngineFault(f"task {context.task_id!r}: a conversation with {wrong}")

    def _utterance(self, turn: WaitingTurn, written: FinishedTurn) -> Utterance:
        assert self.renderer is not None
        if list(written.prompt_ids) != self.renderer.expand(turn.ids, turn.frames):
            raise RuntimeError("vLLM read another prompt than ours: its expanded ids differ from our own")
        self.spent.read += len(written.prompt_ids)
        self.spent.cached += written.cached
        self.spent.written += len(written.token_ids)
        return Utterance(
            text=self.renderer.decode(written.token_ids),
            token_ids=written.token_ids,
            logprobs=tuple(round(value, 6) for value in written.logprobs),
            weight_version=written.version,
            cut=written.cut,
        )
