"""Two ranks that share one vLLM: each writes its own conversations, and neither waits for a broken one.

What the ranks do is in two_ranks.py; here their words are compared.
"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from eva_lightning.engines.vllm.engine import VLLMEngine
from eva_lightning.engines.vllm.lockstep import Asked, KnownPixels
from eva_lightning.faults import UsageError
from eva_lightning.policy.loading import PolicyConfig, load_policy

ROOT = Path(__file__).parents[3]
CLOSE = 5e-5
SLOW = 300
"""Seconds after which ranks are said to wait for ever; they need 30 of a machine of their own."""


@pytest.fixture(scope="module")
def ranks(tiny_folder, small_vllm, tmp_path_factory):
    """What two processes made of every case of two_ranks.py: one answer for each rank."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.engines.vllm.two_ranks", str(tiny_folder), str(folder)],
            cwd=ROOT,
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=(folder / f"{rank}.err").open("w"),
        )
        for rank in (0, 1)
    ]
    try:
        for rank, expected in ((0, 0), (1, -signal.SIGKILL)):  # the second one ends by dying
            ended = running[rank].wait(timeout=SLOW)
            assert ended == expected, (folder / f"{rank}.err").read_text()[-2000:]
    finally:
        for one in running:
            one.kill()
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


def test_each_rank_writes_its_own_conversations_with_the_trainer_s_probabilities(ranks):
    for rank, counts in zip(ranks, ((3, 0, 2), (5, 2, 0)), strict=True):
        assert tuple(told["conversations"] for told in rank["rounds"]) == counts
        for told in rank["rounds"]:
            if told["conversations"]:
                assert told["agreement"].tokens >= 3 * told["conversations"]  # of three turns
                assert told["agreement"].largest < CLOSE


@pytest.mark.parametrize("number", [0, 1], ids=["all", "vision"])
def test_both_ranks_write_with_the_weights_they_were_handed(ranks, number):
    for rank in ranks:
        told = rank["pushes"][number]
        assert told["versions"] == {number + 1}
        assert told["new"].largest < CLOSE
        assert told["old"].largest > 0.1


def test_a_rank_with_nothing_to_write_stays_until_the_other_has_written(ranks):
    idle, busy = (rank["staying"] for rank in ranks)
    assert idle["wrote"] == [] and len(busy["wrote"]) == 1
    assert idle["had"] < busy["had"] < idle["left"]


def test_a_turn_that_is_refused_leaves_the_others_going(ranks):
    (good, long, nothing), again = ranks[0]["refusals"]
    assert 1 <= good <= 8
    assert "raise max_length" in long  # said by us, before anybody else hears of it
    assert nothing.startswith("vLLM refuses a turn: max_tokens must be at least 1")  # said on both ranks
    assert 1 <= again[0] <= 8
    first, second = ranks[1]["refusals"]
    assert all(isinstance(tokens, int) for tokens in first + second)


def test_a_turn_that_is_given_up_on_one_rank_ends_on_both(ranks):
    steps = [rank["dropping"] for rank in ranks]
    assert steps[0] == steps[1] < 1900


def test_whoever_uses_it_wrongly_is_told_so(ranks):
    for rank in ranks:
        told = rank["wrongs"]
        assert told["outside"] == ["ranks that share a vLLM write in step: write inside of `awake()` only"]
        assert told["inside"].startswith("EngineFault: ranks that share a vLLM write in step: first leave")
        assert told["three"].startswith("UsageError: tensor_parallel is 3, and the trainer has 2 ranks")
        assert rank["after"]["agreement"].largest < CLOSE  # and nothing is broken by it


def test_a_vllm_that_breaks_on_one_rank_is_heard_of_on_the_other(ranks):
    broken = "vLLM failed: ZeroDivisionError: integer division or modulo by zero"
    heard = f"ranks 0 to 1 share a vLLM, and it broke on rank 1: {broken}"
    for rank, words in zip(ranks, (heard, broken), strict=True):
        assert set(rank["breaking"]["turns"]) == {words}
        assert rank["breaking"]["rollout"] == f"EngineFault: {words}"


def test_a_rank_that_dies_is_missed_in_one_line(ranks):
    told = ranks[0]["dying"]
    (words,) = set(told["turns"])
    assert words.startswith("one of ranks 0 to 1, which share a vLLM, is gone: ") and "\n" not in words
    assert told["rollout"] == f"EngineFault: {words}"
    assert "dying" not in ranks[1]


def test_ranks_are_asked_for_in_groups_of_equal_size(tiny_folder):
    policy = load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32"))
    with pytest.raises(UsageError, match="tensor_parallel is 2, and the trainer has 1 rank: "):
        VLLMEngine(policy, tensor_parallel=2)


def test_a_frame_travels_once_and_again_when_it_was_forgotten():
    """Two ranks with room for two frames of 12 bytes; the first one asks."""
    here, there = KnownPixels(24), KnownPixels(24)
    frames = {name: np.full((2, 2, 3), value, np.uint8) for value, name in enumerate("abc")}

    def tick(*turns):
        """Names of what travels with each turn."""
        asked = [
            Asked(number="0.0", ids=(1,), names=names, pixels=[frames[name] for name in names], words={})
            for names in turns
        ]
        sent = [here.pack(one) for one in asked]
        for one, original in zip(sent, asked, strict=True):
            for side in (here, there):
                seen = side.unpack(one)
                assert [pixels[0, 0, 0] for pixels in seen] == [one[0, 0, 0] for one in original.pixels]
        here.forget(), there.forget()
        return ["".join(one.pixels) for one in sent]

    assert tick("ab") == ["ab"]
    assert tick("abb", "a") == ["", ""]
    assert tick("ca") == ["c"]  # now b was shown longest ago, and goes
    assert tick("ac") == [""]
    assert tick("abc") == ["b"]
