"""How a vLLM engine begins and ends: what it must not touch, and who must be told when it breaks.

One engine at a time: vLLM keeps its groups in module globals, so that closing one breaks any other.
"""

import asyncio
import json
import random
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from eva_lightning.engines.base import Context, Sampling
from eva_lightning.engines.vllm import in_process
from eva_lightning.engines.vllm.engine import VLLMEngine
from eva_lightning.engines.vllm.in_process import as_local_rank, place, untouched
from eva_lightning.faults import EngineFault
from eva_lightning.policy.loading import PolicyConfig, load_policy
from eva_lightning.policy.merged_weights import merged_weights
from eva_lightning.records import Message


@pytest.fixture(scope="module")
def policy(tiny_folder):
    return load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32"))


def context(engine):
    messages = (Message(role="user", parts=("What colour?",)),)
    return Context(messages=messages, ids=tuple(engine.renderer.opening(messages)), pixels=lambda frame: None)


def write(engine, count=1, **sampling):
    """What becomes of so many turns at once: utterances, or what was raised."""

    async def everyone():
        asked = (engine.write(context(engine), Sampling(**sampling)) for _ in range(count))
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(asyncio.wait_for(everyone(), 60))


def test_what_breaks_inside_vllm_reaches_whoever_waits_and_whoever_comes_later(policy, small_vllm):
    breaking = VLLMEngine(policy, small_vllm)

    def broken():
        raise RuntimeError("out of memory")

    breaking.thread.vllm.step = broken
    outcomes = write(breaking, 3)
    later = write(breaking)
    with pytest.raises(EngineFault, match="vLLM failed: RuntimeError: out of memory"):
        breaking.take_weights(dict, 1)
    breaking.close()
    assert {str(outcome) for outcome in outcomes + later} == {"vLLM failed: RuntimeError: out of memory"}


def test_a_closed_engine_says_so_to_those_who_wait(policy, small_vllm):
    closing = VLLMEngine(policy, small_vllm)

    async def run():
        waiting = asyncio.create_task(closing.write(context(closing), Sampling(max_tokens=1900)))
        await asyncio.sleep(0.1)
        closing.close()
        return await asyncio.gather(waiting, return_exceptions=True)

    (outcome,) = asyncio.run(asyncio.wait_for(run(), 30))
    assert str(outcome) == "the vLLM engine was closed"
    closing.close()  # twice is once


def test_starting_vllm_moves_no_dice_and_no_threads(policy, small_vllm):
    set_num_threads, threads = torch.set_num_threads, torch.get_num_threads()
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    expected = random.random(), np.random.rand(), torch.rand(()).item()
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    VLLMEngine(policy, small_vllm).close()
    assert (random.random(), np.random.rand(), torch.rand(()).item()) == expected
    assert torch.set_num_threads is set_num_threads and torch.get_num_threads() == threads


def test_the_dice_of_the_gpus_come_back_as_well(monkeypatch):
    """tests/gpu/test_vllm_gpu.py asks real ones."""
    cards = [torch.tensor([1]), torch.tensor([2])]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: list(cards))
    monkeypatch.setattr(
        torch.cuda, "set_rng_state_all", lambda states: cards.__setitem__(slice(None), states)
    )
    with untouched():
        cards[:] = [torch.tensor([0]), torch.tensor([0])]  # as torch.cuda.manual_seed_all does
    assert [int(state) for state in cards] == [1, 2]


def test_vllm_is_sent_to_the_gpu_of_the_trainer(tiny_folder):
    """By arguments that it knows: its own machinery makes GPU 2 of them, or of the rank that is called so."""
    from vllm.engine.arg_utils import EngineArgs
    from vllm.v1.executor.uniproc_executor import ExecutorWithExternalLauncher

    card = torch.device("cuda", 2)
    told = EngineArgs(model=str(tiny_folder), **place(card, ranks=False))
    assert told._resolve_device_ids() == [2]
    assert place(torch.device("cuda", 0), ranks=False) == place(torch.device("cpu"), ranks=False) == {}
    assert place(card, ranks=True) == {}
    environ = {"RANK": "1", "LOCAL_RANK": "1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        with as_local_rank(card):
            assert ExecutorWithExternalLauncher._distributed_args(None) == ("env://", 1, 2)
        assert ExecutorWithExternalLauncher._distributed_args(None) == ("env://", 1, 1)


def test_weights_are_waited_for_before_they_are_read_and_given_back_when_they_were(
    policy, small_vllm, monkeypatch
):
    """On a GPU, where the engine's thread has a stream of its own. Here there is nothing to wait for."""
    seen = []
    monkeypatch.setattr(in_process, "wait_for", lambda device: seen.append("wait"))

    def weights():
        for one in merged_weights(policy.backbone):
            seen.append("read")
            yield one

    engine = VLLMEngine(policy, small_vllm)
    engine.take_weights(weights, 1)
    engine.close()
    assert seen[0] == seen[-1] == "wait" and set(seen[1:-1]) == {"read"}


def test_an_engine_that_does_not_start_says_why_and_leaves_no_thread(policy, small_vllm):
    before = threading.active_count()
    wrong = replace(small_vllm, options={"quantization": "no-such-thing"})
    with pytest.raises(EngineFault, match="vLLM does not start: .*no-such-thing"):
        VLLMEngine(policy, wrong)
    assert threading.active_count() == before


def test_nothing_of_vllm_is_imported_before_an_engine_starts():
    code = (
        "import sys, json, pkgutil, importlib, eva_lightning.engines as parts\n"
        "names = {m.name for m in pkgutil.walk_packages(parts.__path__, 'eva_lightning.engines.')}\n"
        "names -= {'eva_lightning.engines.vllm.shared_memory'}\n"
        "[importlib.import_module(name) for name in sorted(names)]\n"
        "print(json.dumps([sorted(names), 'vllm' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, there = json.loads(done.stdout)
    known = {name.removeprefix("eva_lightning.engines.") for name in names}
    assert {"vllm.engine", "vllm.in_process", "transformers_engine"} <= known and not there


def test_the_trainer_s_process_group_outlives_the_engine(policy, small_vllm, tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        destroy = torch.distributed.destroy_process_group
        VLLMEngine(policy, small_vllm).close()
        one = torch.ones(1)
        torch.distributed.all_reduce(one)
        assert one.item() == 1 and torch.distributed.destroy_process_group is destroy
        VLLMEngine(policy, small_vllm).close()  # and makes room for the next one
    finally:
        torch.distributed.destroy_process_group()
