"""Runs in each of two processes (RANK, WORLD_SIZE... in the environment) that share a vLLM: what was written
and what was said, to a file.

A program of test_lockstep.py, not a test: a rank that waits for ever is killed from there.
"""

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import torch
import torch.distributed as dist

from eva_lightning.engines.base import Context, Sampling
from eva_lightning.engines.vllm.engine import VLLMEngine
from eva_lightning.engines.vllm.settings import VLLMSettings
from eva_lightning.faults import EngineFault, UsageError
from eva_lightning.policy.loading import PolicyConfig, load_policy
from eva_lightning.policy.merged_weights import merged_weights
from eva_lightning.records import Message
from eva_lightning.reports.diagnosis.agreement import VISION, agreement_of, changed
from eva_lightning.reports.diagnosis.conversations import make_probe, write_probes

SMALL = VLLMSettings(max_length=2048, batch_tokens=2048, max_frames=16, max_frame_tokens=64)
SAMPLING = Sampling(max_tokens=24)


def said(what):
    """What a call says that can not be done."""
    try:
        what()
    except (EngineFault, UsageError) as problem:
        return f"{type(problem).__name__}: {problem}"
    return "nothing"


def context(engine, words=3):
    messages = (Message(role="user", parts=("What colour? " * words,)),)
    return Context(messages=messages, ids=tuple(engine.renderer.opening(messages)), pixels=lambda frame: None)


def outcomes(engine, *asked):
    """What becomes of turns asked at once, each with so many words and tokens: tokens written, or a fault."""

    async def everyone():
        turns = (engine.write(context(engine, words), Sampling(max_tokens=most)) for words, most in asked)
        return await asyncio.gather(*turns, return_exceptions=True)

    return [str(one) if isinstance(one, Exception) else len(one.token_ids) for one in asyncio.run(everyone())]


def round_of(policy, engine, conversations):
    """So many conversations of this rank, and how well they agree with the trainer."""
    probes = [make_probe(f"{RANK}-{i}", 3 * i, seed=7 * i + RANK) for i in range(conversations)]
    written = write_probes(engine, probes, SAMPLING)
    return written, agreement_of(policy, written) if written else None


def told(policy, engine, conversations):
    written, agreement = round_of(policy, engine, conversations)
    return {"conversations": len(written), "agreement": agreement}


def rounds(policy, engine):
    """Different conversations on both ranks; in two rounds one of them has none."""
    counts = ((3, 5), (0, 2), (2, 0))
    return [told(policy, engine, count[RANK]) for count in counts]


def pushes(policy, engine):
    """After new weights, and after new ones of the vision tower alone: agreement with the new and the old."""
    found = []
    for only in ("", VISION):
        with changed(policy, amount=0.3, only=only):
            engine.take_weights(lambda: merged_weights(policy.backbone), engine.policy_version + 1)
            written, new = round_of(policy, engine, 3)
        versions = {turn.weight_version for one in written for turn in one.turns}
        found.append({"new": new, "old": agreement_of(policy, written), "versions": versions})
    engine.take_weights(lambda: merged_weights(policy.backbone), 3)
    return found


def staying(engine):
    """When this rank had all its turns, and when it left."""
    with engine.awake():
        found = outcomes(engine, (3, 60)) if RANK else []
        had = time.monotonic()
    return {"wrote": found, "had": had, "left": time.monotonic()}


def refusals(engine):
    """Turns that can not be written, on rank 0 alone; the others' go on."""
    asked = [(3, 8), (2000, 8), (3, 0)] if RANK == 0 else [(3, 8), (3, 16)]
    with engine.awake():
        first = outcomes(engine, *asked)
        return first, outcomes(engine, (3, 8))


def dropping(engine):
    """Rank 0 soon gives up a turn of 1,900 tokens: how often vLLM was stepped."""
    steps = 0
    step = engine.thread.vllm.step

    def counted():
        nonlocal steps
        steps += 1
        return step()

    async def give_up():
        asked = engine.write(context(engine), Sampling(max_tokens=1900))
        await asyncio.wait_for(asked, 0.3)

    engine.thread.vllm.step = counted
    with engine.awake():
        if RANK == 0:
            with suppress(TimeoutError):
                asyncio.run(give_up())
        else:
            outcomes(engine, (3, 20))
    engine.thread.vllm.step = step
    return steps


def wrongs(policy, engine):
    """What is said to those who use it wrongly."""
    with engine.awake():
        inside = said(lambda: engine.take_weights(dict, 9))
    return {
        "outside": outcomes(engine, (3, 8)),
        "inside": inside,
        "three": said(lambda: VLLMEngine(policy, SMALL, tensor_parallel=3)),
    }


def ending(engine):
    """What became of two turns, and of the rollout they belong to."""
    found = {}

    def roll_out():
        with engine.awake():
            found["turns"] = outcomes(engine, (3, 30), (3, 30))

    found["rollout"] = said(roll_out)
    return found


def breaking(engine):
    """vLLM breaks on rank 1 and closes nothing: rank 0 waits inside of its own, where no socket wakes it."""
    close = engine.thread.vllm.close
    if RANK == 1:
        engine.thread.vllm.step = lambda: 1 // 0
        engine.thread.vllm.close = dist.barrier
    found = ending(engine)
    if RANK == 0:
        dist.barrier()
    engine.close()
    if RANK == 1:
        close()
    return found


def dying(engine):
    """The process of rank 1 dies while rank 0 waits for what it has to tell."""
    if RANK == 1:
        engine.thread.lockstep.tick = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    found = ending(engine)
    engine.close()
    return found


if __name__ == "__main__":
    tiny, out = sys.argv[1:]
    dist.init_process_group("gloo")
    RANK = dist.get_rank()
    policy = load_policy(PolicyConfig(path=tiny, dtype="float32"))
    found = {}

    def keep(name, value):
        found[name] = value
        torch.save(found, Path(out) / f"{RANK}.pt")

    engine = VLLMEngine(policy, SMALL, tensor_parallel=2)
    keep("rounds", rounds(policy, engine))
    keep("pushes", pushes(policy, engine))
    keep("staying", staying(engine))
    keep("refusals", refusals(engine))
    keep("dropping", dropping(engine))
    keep("wrongs", wrongs(policy, engine))
    keep("after", told(policy, engine, 2))
    keep("breaking", breaking(engine))
    dist.barrier()
    keep("dying", dying(VLLMEngine(policy, SMALL, tensor_parallel=2)))
