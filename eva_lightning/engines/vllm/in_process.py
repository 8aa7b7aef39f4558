"""vLLM's engine in this process, asked token by token and handed new weights.

It is started beside a trainer without touching its dice, threads or process group.

Which thread calls it, and who waits for what, is the business of `engine`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eva_lightning.device import wait_for
from eva_lightning.engines.vllm.adapter import (
    FinishedTurn,
    check_version,
    engine_words,
    environment,
    installed,
    last_line,
    read_version,
)
from eva_lightning.engines.vllm.settings import VLLMSettings
from eva_lightning.faults import EngineFault
from eva_lightning.video.decoder import Pixels


@contextmanager
def untouched() -> Iterator[None]:
    """vLLM seeds everything when it starts, and replaces a function for good: here all comes back."""
    dice = random.getstate(), np.random.get_state(), torch.get_rng_state()
    of_cards = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    set_num_threads = torch.set_num_threads
    try:
        yield
    finally:
        torch.set_num_threads = set_num_threads
        random.setstate(dice[0])
        np.random.set_state(dice[1])
        torch.set_rng_state(dice[2])
        torch.cuda.set_rng_state_all(of_cards)


def place(device: torch.device, ranks: bool) -> dict[str, Any]:
    """The argument that has vLLM take this GPU, by its number among the visible ones.

    By itself it takes the first; among `ranks` it has another way to find its own.
    """
    return {"device_ids": [device.index]} if device.index and not ranks else {}


@contextmanager
def as_local_rank(device: torch.device) -> Iterator[None]:
    """Among ranks vLLM takes the GPU with the number of the rank on its machine.

    That is another one where the trainer's `devices` are [2, 3], so meanwhile the rank has the number of its
    GPU.
    """
    before = os.environ.get("LOCAL_RANK")
    if device.type == "cuda":
        os.environ["LOCAL_RANK"] = str(device.index)
    try:
        yield
    finally:  # Lightning reads it, too
        if before is None:
            os.environ.pop("LOCAL_RANK", None)
        else:
            os.environ["LOCAL_RANK"] = before


class InProcess:
    """vLLM's engine in this process. Everything is to be called from one and the same thread."""

    def __init__(
        self,
        path: str,
        revision: str,
        dtype: torch.dtype,
        settings: VLLMSettings,
        *,
        device: torch.device,
        tensor_parallel: int,
        sleeps: bool,
    ) -> None:
        check_version(installed())
        cuda = torch.cuda.is_available()
        self._device = device
        if device.type == "cuda":  # of this thread: vLLM asks for it before it sets it, too
            torch.cuda.set_device(device)
        for name, value in environment(settings, cuda).items():
            os.environ.setdefault(name, value)
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        words = engine_words(path, revision, dtype, settings, cuda) | {
            "tensor_parallel_size": tensor_parallel
        }
        self._is_guest = torch.distributed.is_initialized()
        ranks = self._is_guest and torch.distributed.get_world_size() > 1
        words["distributed_executor_backend"] = "external_launcher" if ranks else "uni"
        words |= {"disable_log_stats": True, "use_tqdm_on_load": False, "enable_sleep_mode": sleeps}
        if ranks:  # Lightning's own launcher does not set it, and vLLM reads it
            os.environ["RANK"] = str(torch.distributed.get_rank())
        try:
            with as_local_rank(device) if ranks else nullcontext():
                self._llm = self._start(place(device, ranks) | words, tensor_parallel > 1 and not cuda)
        except (ValueError, RuntimeError, OSError) as problem:
            raise EngineFault(f"vLLM does not start: {last_line(problem)}") from problem
        self._engine: Any = self._llm.llm_engine
        self._version = 0
        self._unfinished: dict[str, Any] = {}

    def _start(self, words: dict[str, Any], ranks_on_cpu: bool) -> Any:
        with untouched():
            from vllm import LLM

            if ranks_on_cpu:
                from vllm.distributed.device_communicators.cpu_communicator import CpuCommunicator

                # Sockets: in shared memory ranks meet those of other jobs, and wait for a dead one for ever
                CpuCommunicator._all_group_ranks_share_shm_group_name = lambda self: False
            return LLM(**words)

    def add(
        self, request: str, ids: Sequence[int], frames: Sequence[Pixels], names: Sequence[str], words: Any
    ) -> None:
        """Begin to write a turn.

        `ids` are collapsed: vLLM accepts expanded ones, too, and expands them twice.
        """
        from vllm import SamplingParams
        from vllm.exceptions import VLLMClientError

        prompt: dict[str, Any] = {"prompt_token_ids": list(ids)}
        if frames:
            prompt["multi_modal_data"] = {"image": list(frames)}
            prompt["multi_modal_uuids"] = {"image": list(names)}
        try:
            self._engine.add_request(request, prompt, SamplingParams(**words))
        except (ValueError, AssertionError, VLLMClientError) as problem:
            raise EngineFault(f"vLLM refuses a turn: {last_line(problem)}") from problem

    def busy(self) -> bool:
        """Whether anything is being written."""
        return bool(self._engine.has_unfinished_requests())

    def step(self) -> list[tuple[str, FinishedTurn]]:
        """One more token for everybody; the turns that ended with it."""
        done = []
        for output in self._engine.step():
            self._unfinished[output.request_id] = output
            if output.finished:
                del self._unfinished[output.request_id]
                done.append((output.request_id, self._read(output)))
        return done

    def abort(self, request: str) -> None:
        """Nobody waits for this one any more."""
        self._unfinished.pop(request, None)
        self._engine.abort_request([request])

    def cut_off(self, request: str) -> FinishedTurn | None:
        """End a turn here; what there is of it. None if nothing is."""
        output = self._unfinished.get(request)
        piece = None if output is None else self._read(output)
        self.abort(request)
        return piece

    def _read(self, output: Any) -> FinishedTurn:
        said = output.outputs[0]
        spans = said.weight_versions or ()  # while it is unfinished there are none
        return FinishedTurn(
            prompt_ids=output.prompt_token_ids,
            token_ids=tuple(said.token_ids),
            logprobs=tuple(
                found[id].logprob for id, found in zip(said.token_ids, said.logprobs, strict=True)
            ),
            cut=said.finish_reason == "length",
            cached=output.num_cached_tokens or 0,
            version=min((read_version(span.version) for span in spans), default=self._version),
        )

    def take(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Replace all weights, one tensor at a time, and forget what the old ones computed."""
        wait_for(self._device)  # this thread has a stream of its own, and the trainer wrote on another
        self._llm.collective_rpc(
            "reload_weights", kwargs={"weights_iterator": iter(weights), "is_checkpoint_format": True}
        )
        wait_for(self._device)  # from here on the trainer may write into them again
        self._engine.set_weight_version(str(version))
        self._version = version
        self.forget()

    def forget(self) -> None:
        """Empty all three caches. Each alone is not enough: see tests/engines/vllm/test_refresh.py.

        Turns under way must have been cut off. vLLM would keep them and read them anew, and 0.32 can not: it
        threw the pixels of those frames away that it had found in its prefix cache.
        """
        if not self._llm.reset_prefix_cache():
            raise EngineFault("vLLM keeps its prefix cache while it writes; wait for the rollout to end")
        self._llm.reset_mm_cache()
        self._engine.reset_encoder_cache()

    def sleep(self, level: int) -> None:
        """Give the device back: 1 keeps the weights in host memory, 2 throws them away."""
        self._llm.sleep(level=level)

    def wake(self, what: str) -> None:
        """Take memory for `weights` or for the `kv_cache` again: in this order, new weights in between."""
        self._llm.wake_up(tags=[what])

    def close(self) -> None:
        """Give everything back. vLLM would take the trainer's process group along, had it one before us."""
        destroy = torch.distributed.destroy_process_group
        if self._is_guest:
            torch.distributed.destroy_process_group = lambda group=None: destroy(group) if group else None
        try:
            self._engine.engine_core.shutdown()
        finally:
            torch.distributed.destroy_process_group = destroy
