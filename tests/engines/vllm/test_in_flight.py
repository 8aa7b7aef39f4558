"""Weights that come while real vLLM writes: turns under way go on with the new ones, and each token's
log-probability is that of the weights that wrote it.
"""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from eva_lightning.engines.base import Sampling
from eva_lightning.engines.vllm.adapter import FinishedTurn, going_on, joined
from eva_lightning.engines.vllm.engine import VLLMEngine
from eva_lightning.engines.vllm.thread import WaitingTurn
from eva_lightning.policy.loading import PolicyConfig, load_policy
from eva_lightning.policy.merged_weights import merged_weights
from eva_lightning.reports.diagnosis.agreement import agreement_of, changed
from eva_lightning.reports.diagnosis.conversations import make_probe, write_probes
from tests.engines.vllm.tokenwise import CLOSE, logprobs, written_by_old

PROBES = [make_probe(f"p{i}", i % 5, turns=2, seed=i) for i in range(16)]
"""Conversations of two turns with 0 to 4 frames."""
WORDS = Sampling(max_tokens=24)


@pytest.fixture(scope="module")
def policy(tiny_folder):
    return load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32"))


@pytest.fixture(scope="module")
def engine(policy, small_vllm):
    running = VLLMEngine(policy, small_vllm)
    yield running
    running.close()


def push(policy, engine, version):
    engine.take_weights(lambda: merged_weights(policy.backbone), version)


def interrupted(engine, step, then, words=WORDS):
    """All conversations; `then` is done when vLLM has written so many tokens, and vLLM waits for it."""
    thread, there, asked, steps = engine.thread, threading.Event(), threading.Event(), itertools.count(1)
    vllm = thread.vllm
    whole, send = vllm.step, thread.send

    def step_by_step():
        number = next(steps)
        while number == 1 and len(thread._turns) + thread._inbox.qsize() < len(PROBES):
            time.sleep(0.001)  # all of them begin together
        if number == step:
            there.set()
            assert asked.wait(60)
        return whole()

    def told(errand):
        send(errand)
        if not isinstance(
            errand, WaitingTurn
        ):  # a second turn may come at any time: it is not what is waited for
            asked.set()

    vllm.step, thread.send = step_by_step, told
    try:
        with ThreadPoolExecutor(1) as beside:
            writing = beside.submit(write_probes, engine, PROBES, words)
            assert there.wait(60)
            then()
            written = writing.result(120)
    finally:
        vllm.step, thread.send = whole, send
    return written


def piece(read, wrote, version, cut=False):
    logprobs = tuple(-float(token) for token in wrote)
    return FinishedTurn(
        prompt_ids=read, token_ids=wrote, logprobs=logprobs, cut=cut, cached=0, version=version
    )


def test_three_pieces_make_a_turn_of_the_oldest_version():
    """The prompt 1 2; 3 4 are written, then 5, then 6 7."""
    pieces = [
        piece([1, 2], (3, 4), 8),
        piece([1, 2, 3, 4], (5,), 9),
        piece([1, 2, 3, 4, 5], (6, 7), 10, True),
    ]
    whole = joined(pieces)
    assert whole == piece([1, 2], (3, 4, 5, 6, 7), 8, True)
    with pytest.raises(RuntimeError, match="went on behind other tokens"):
        joined([pieces[0], piece([1, 2, 3, 3], (5,), 9)])
    words = {"max_tokens": 10, "seed": 6, "temperature": 1.0}
    assert going_on(words, 3) == {"max_tokens": 7, "seed": 5, "temperature": 1.0}


def test_a_turn_goes_on_with_new_weights_and_each_token_tells_those_that_wrote_it(policy, engine):
    """Tower and language model change behind the tenth token: frames are seen anew, all text is read anew."""
    push(policy, engine, 3)
    with ExitStack() as later:

        def refresh():
            later.enter_context(changed(policy, amount=0.05))
            push(policy, engine, 4)

        written = interrupted(engine, 10, refresh)
        new = [logprobs(policy, one) for one in written]
    old = [logprobs(policy, one) for one in written]
    in_mid_turn = 0
    for one, by_old, by_new in zip(written, old, new, strict=True):
        cut = written_by_old(one, by_old, by_new)
        assert 1 <= cut <= 10
        if cut < len(one.turns[0].token_ids):
            in_mid_turn += 1
            assert [turn.weight_version for turn in one.turns] == [3, 4] and one.weight_versions == (3, 4)
    assert in_mid_turn > 10  # the others' first turn was shorter
    push(policy, engine, 5)
    assert agreement_of(policy, write_probes(engine, PROBES, WORDS)).largest <= CLOSE


def test_the_same_weights_again_in_mid_turn_change_no_likeliest_token(policy, engine):
    """Nothing is lost or written twice where a turn is cut off and goes on."""
    push(policy, engine, 1)
    greedy = Sampling(max_tokens=24, temperature=0.0)
    unbroken = write_probes(engine, PROBES, greedy)
    written = interrupted(engine, 7, lambda: push(policy, engine, 2), greedy)
    assert [one.token_ids for one in written] == [one.token_ids for one in unbroken]
    assert agreement_of(policy, written, temperature=0.0).largest <= CLOSE
    assert {one.weight_versions for one in written} == {(1, 2)}
    assert not engine.thread.call(engine.thread.vllm.busy)
