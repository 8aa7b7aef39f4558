"""Two real vLLM servers write the turns of a policy in training. The tests build on each other, because a
server takes half a minute to start: first all is well, then one is killed, then both are gone.
"""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch
from lightning.pytorch import Callback

from eva_lightning.callbacks import IterationCheckpoint, RolloutRefresh
from eva_lightning.cli import main
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.datamodules import TaskData
from eva_lightning.engines.base import Context, Sampling
from eva_lightning.engines.http_json import HttpJson, Refused, Unreachable
from eva_lightning.engines.keys import Key
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.engines.vllm.adapter import installed
from eva_lightning.engines.vllm.guard import VARIABLE
from eva_lightning.engines.vllm.server_engine import VLLMServerEngine
from eva_lightning.faults import EngineFault, Fault, UsageError
from eva_lightning.policy.loading import Lora, PolicyConfig, load_policy
from eva_lightning.policy.merged_weights import merged_weights
from eva_lightning.records import Message
from eva_lightning.reports.diagnosis.agreement import FLOAT32_LARGEST, agreement_of, changed
from eva_lightning.reports.diagnosis.conversations import make_probe, write_probes
from tests.engines.vllm.tokenwise import logprobs, written_by_old
from tests.modules.letters import Letters, school
from tests.modules.stages import Batches, Watching, make, trainer
from tests.system.vllm_servers import servers

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(installed() is None, reason="vLLM is not installed: make vllm"),
]

PROBES = [make_probe(f"p{i}", i % 13, turns=2 + i % 2, seed=i) for i in range(26)]
"""Conversations of two or three turns with 0 to 12 frames."""
WORDS = Sampling(temperature=1.0, max_tokens=24)


@pytest.fixture(scope="module")
def pair(tiny_folder, tmp_path_factory):
    with servers(tiny_folder, tmp_path_factory.mktemp("servers")) as started:
        yield started


@pytest.fixture
def policy(tiny_folder):
    return load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32"))


@pytest.fixture
def engine(policy, pair):
    made = VLLMServerEngine(policy, [server.url for server in pair])
    yield made
    made.close()


def give(engine, policy, version):
    engine.take_weights(lambda: merged_weights(policy.backbone), version)


def test_servers_write_what_the_policy_would_write(policy, engine):
    written = write_probes(engine, PROBES, WORDS)
    assert sum(len(one.frames) for one in written) == 2 * sum(range(13))
    assert agreement_of(policy, written).largest <= FLOAT32_LARGEST
    assert {one.weight_versions for one in written} == {(0,)}  # the checkpoint's own
    asked = [len({key for key, home in engine._homes.items() if home is one}) for one in engine.servers]
    # Each with the server that had least to do when it came; on a busy machine one is slower than the other.
    assert sum(asked) == 26 and min(asked) >= 3


def test_greedy_tokens_are_those_of_the_trainer(policy, engine):
    greedy = Sampling(temperature=0.0, max_tokens=24)
    own = TransformersEngine(policy, max_batch=1)
    expected = write_probes(own, PROBES[:13], greedy)
    written = write_probes(engine, PROBES[:13], greedy)
    assert [one.token_ids for one in written] == [one.token_ids for one in expected]
    own.close()


@pytest.mark.parametrize("lora", [None, Lora(rank=4)], ids=["full", "lora"])
def test_three_pushes_and_both_servers_follow(lora, tiny_folder, pair):
    policy = load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32", lora=lora))
    engine = VLLMServerEngine(policy, [server.url for server in pair], bucket_mb=1)
    for version in (1, 2, 3):
        with changed(policy, amount=0.02 * version, seed=version), adapted(policy, version):
            give(engine, policy, version)
            written = write_probes(engine, PROBES, WORDS)  # the same frames every time: nothing is remembered
            assert agreement_of(policy, written).largest <= FLOAT32_LARGEST
            assert {one.weight_versions for one in written} == {(version,)}
    give(engine, policy, 0)
    engine.close()


def test_weights_come_in_mid_turn_and_each_token_tells_those_that_wrote_it(policy, engine):
    """Both servers are paused, and hand out what they wrote; the rest is asked for with the new weights."""
    probes, words = [replace(one, looks=one.looks[:2]) for one in PROBES[:16]], Sampling(max_tokens=400)
    give(engine, policy, 1)
    with ExitStack() as later, ThreadPoolExecutor(1) as beside:
        writing = beside.submit(write_probes, engine, probes, words)
        # Not all of them: on a busy machine the first may be done before the last has begun.
        while sum(server.writing for server in engine.servers) < len(probes) // 2:
            assert not writing.done()
            time.sleep(0.001)
        time.sleep(0.2)  # some tokens
        later.enter_context(changed(policy, amount=0.05))
        give(engine, policy, 2)
        written = writing.result(120)
        by_new = [logprobs(policy, one) for one in written]
    by_old = [logprobs(policy, one) for one in written]
    in_mid_turn = 0
    for one, old, new in zip(written, by_old, by_new, strict=True):
        cut, first = written_by_old(one, old, new), one.turns[0]
        if 0 < cut < len(first.token_ids):
            in_mid_turn += 1
            assert [turn.weight_version for turn in one.turns] == [1, 2] and not one.faults
    assert in_mid_turn > 4 and all(server.problem is None for server in engine.servers)
    give(engine, policy, 0)


class adapted:
    """An adapter that does something, while it lasts."""

    def __init__(self, policy, seed):
        named = policy.model.named_parameters()
        self.weights = [weight for name, weight in named if "lora_B" in name]
        self.dice = torch.Generator().manual_seed(seed)

    def __enter__(self):
        with torch.no_grad():
            for weight in self.weights:
                weight.normal_(std=0.02, generator=self.dice)

    def __exit__(self, *_):
        with torch.no_grad():
            for weight in self.weights:
                weight.zero_()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/version"),
        ("GET", "/v1/models"),
        ("GET", "/get_world_size"),
        ("GET", "/server_info"),
        ("POST", "/inference/v1/generate"),
        ("POST", "/pause?mode=wait"),
        ("POST", "/collective_rpc"),
        ("POST", "/init_weight_transfer_engine"),
        ("POST", "/update_weights"),
        ("POST", "/reset_prefix_cache"),
    ],
)
def test_nothing_but_a_sign_of_life_is_for_those_who_do_not_show_the_token(method, path, pair):
    for key in (None, Key(name="wrong", secret="guessed")):
        stranger = HttpJson(pair[0].url, timeout=10, key=key)
        assert stranger.get("/health") is None
        with pytest.raises(Refused, match="HTTP 401: .*show the token"):
            stranger.get(path) if method == "GET" else stranger.post(path, {})


def test_a_trainer_without_the_token_is_told_which_one_it_lacks(policy, pair, monkeypatch):
    monkeypatch.setenv(VARIABLE, "another")
    engine = VLLMServerEngine(policy, [pair[0].url])
    with pytest.raises(EngineFault, match="HTTP 401.*give this process the EVA_SERVER_TOKEN"):
        write_probes(engine, PROBES[:1], WORDS)
    engine.close()


def test_a_conversation_that_is_too_long_is_refused_in_one_line(engine):
    opening = (Message(role="user", parts=("word " * 3000,)),)
    ids = tuple(engine.renderer.opening(opening))
    asked = Context(messages=opening, ids=ids, pixels=None, task_id="t1")
    with pytest.raises(EngineFault, match="refuses a turn of 't1': HTTP 400"):
        asyncio.run(engine.write(asked, Sampling(max_tokens=4)))
    assert all(server.problem is None for server in engine.servers)  # the server is well


def test_a_server_on_another_machine_is_no_place_for_shared_memory(policy):
    engine = VLLMServerEngine(policy, ["http://192.0.2.1:8000"], transfer="shared_memory", patience=0)
    engine._met = True
    engine._examine = lambda server, patience, caller: None
    with pytest.raises(UsageError, match="is on another machine"):
        give(engine, policy, 1)
    engine.close()


def test_serve_refuses_what_is_no_checkpoint(tmp_path, capsys):
    assert main(["serve", "--model", str(tmp_path)]) == 1
    assert "there is no checkpoint at" in capsys.readouterr().err


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A clip of half a minute, and two questions about it."""
    small = ScriptSettings(duration=(30, 30), height=112, width=112, fps=2)
    return build_world(tmp_path_factory.mktemp("world"), 2, small, families=["colour_at", "when"])


def asking(pair):
    return lambda policy: VLLMServerEngine(policy, [server.url for server in pair], patience=1)


class Killing(Callback):
    """Kills a server while an iteration's turns are being written."""

    def __init__(self, server, iteration):
        self.server, self.iteration = server, iteration

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if batch_idx == self.iteration:
            threading.Thread(target=self._kill, args=(module.engine,), daemon=True).start()

    def _kill(self, engine):
        mine = next(one for one in engine.servers if one.http.url == self.server.url)
        self.server.kill_in_mid_turn(lambda: mine.writing)


def test_grpo_learns_with_two_servers_what_it_learns_without(pair, world, tiny_folder):
    """From a twelfth of the letters to a half; tests/modules/test_vllm_learning.py has the other engines."""
    rewards, told = school(world, tiny_folder, asking(pair))
    assert rewards[0] < 0.15 and min(rewards[-4:]) > 0.45
    assert max(told.told("mismatch/max")) < 1e-3 and sum(told.told("faults")) == 0


def test_two_batches_are_ahead_while_weights_reach_both_servers(pair, world, tiny_folder):
    module = make("grpo", tiny_folder, attempts=8, rewards=[Letters()], engine=asking(pair), concurrency=8)
    told, file = Watching(), str(world.folder / "tasks.jsonl")
    refresh = RolloutRefresh(overlap=True, max_staleness=2)
    made = trainer(callbacks=[refresh, told], max_epochs=6, val_check_interval=1)
    made.fit(module, TaskData(file, batch_size=2, eval_tasks=file))
    assert module.iteration == 12 and told.told("faults") == [0] * 12
    assert told.told("staleness/max")[0] == 0 and 1 <= max(told.told("staleness/max")) <= 2
    assert {version for one in module.evaluated for version in one.weight_versions} == {12}


def test_a_server_killed_in_mid_rollout_costs_no_trajectory(pair, world, tiny_folder):
    """Sixteen trajectories an iteration; those that were with the dead server go on with the other one."""
    made = []

    class Keeping(Callback):
        def on_train_batch_end(self, trainer, module, *_):
            made.append(list(module.rollouts))

    watching = [Killing(pair[0], 1), Keeping()]
    _, told = school(world, tiny_folder, asking(pair), iterations=4, callbacks=watching)
    assert [len(ones) for ones in made] == [32] * 4 and sum(told.told("faults")) == 0
    rescued = [one for one in made[1] if one.faults]
    assert told.told("rescued") == [0, len(rescued), 0, 0] and 1 <= len(rescued) <= 16
    assert all("was lost in the middle of a turn" in one.faults[0] for one in rescued)
    assert all("letters" in one.scores and one.stop != "fault" for one in rescued)  # scored like any other
    assert [ones[0].weight_versions for ones in made] == [(0,), (1,), (2,), (3,)]


def test_nothing_of_a_killed_server_is_left(pair):
    pair[0].process.wait(30)
    with pytest.raises((Refused, Unreachable)):
        HttpJson(pair[0].url, timeout=2).get("/health")
    assert pair[0].processes() == [] and "ended with status -9" in pair[0].log.read_text()


def test_with_no_server_left_the_run_stops_in_one_line_and_can_be_resumed(pair, world, tiny_folder, tmp_path):
    """Killed in the third iteration, which a busy machine may just finish: what was whole is kept."""
    writing = {"enable_checkpointing": True, "default_root_dir": str(tmp_path)}
    with pytest.raises(Fault, match="no vLLM server is left.*--ckpt_path last"):
        checkpoints = [Killing(pair[1], 2), IterationCheckpoint(every=100)]
        school(world, tiny_folder, asking(pair), iterations=4, callbacks=checkpoints, **writing)
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["iteration"] in (2, 3)
    module = make("grpo", tiny_folder, lr=4e-3, attempts=8, rewards=[Letters()])
    made = trainer(callbacks=[IterationCheckpoint()], **writing)
    made.fit(module, Batches(*[list(world.tasks)] * 4), ckpt_path="last", weights_only=True)
    assert module.iteration == 4


def test_with_no_server_left_a_push_says_what_to_do(policy, pair):
    pair[1].process.wait(30)
    engine = VLLMServerEngine(policy, [server.url for server in pair], patience=0)
    with pytest.raises(EngineFault, match=r"no vLLM server is left \(.*\): start one with `eva serve`"):
        give(engine, policy, 6)
    engine.close()
