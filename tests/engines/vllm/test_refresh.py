"""After a push real vLLM writes with the new weights, and with nothing that the old ones computed."""

import asyncio

import pytest
import torch

from eva_lightning.engines.base import Context, Sampling
from eva_lightning.engines.vllm.engine import VLLMEngine
from eva_lightning.engines.vllm.in_process import InProcess
from eva_lightning.faults import EngineFault
from eva_lightning.policy.loading import Lora, PolicyConfig, load_policy
from eva_lightning.policy.merged_weights import merged_weights
from eva_lightning.records import Clip, FrameRef, Message, Task, Trajectory, Turn
from eva_lightning.reports.diagnosis.agreement import agreement_of, changed
from eva_lightning.reports.diagnosis.conversations import make_probe, picture, write_probes

CLOSE = 5e-5
PROBES = [make_probe(f"p{images}", images, seed=images) for images in (0, 1, 4, 12)]
EVERYWHERE = r".*\.(qkv|(q|k|v|o|gate|up|down)_proj)"
"""Linear layers of the language model and of the vision tower."""
FRAME = FrameRef(clip="v", time=1.0, height=56, width=56)


@pytest.fixture(scope="module")
def folder(tiny_folder, small_vllm):
    return str(tiny_folder)


@pytest.fixture
def policy(folder):
    return load_policy(PolicyConfig(path=folder, dtype="float32"))


@pytest.fixture
def engine(policy, small_vllm):
    running = VLLMEngine(policy, small_vllm)
    yield running
    running.close()


def push(policy, engine, version):
    engine.take_weights(lambda: merged_weights(policy.backbone), version)


def bits(policy):
    return {name: value.clone() for name, value in policy.model.state_dict().items()}


def noise(weight, amount):
    return torch.randn(weight.shape) * amount * weight.square().mean().sqrt()


def look(engine, before="Look: "):
    """A turn about one frame; the words behind it fill blocks, so that all of the frame is in the cache."""
    messages = (Message(role="user", parts=(before, FRAME, " What is it?" * 20)),)
    asked = Context(messages=messages, ids=tuple(engine.renderer.opening(messages)), pixels=picture)
    said = asyncio.run(asyncio.wait_for(engine.write(asked, Sampling(max_tokens=16)), 30))
    turn = Turn(text=said.text, token_ids=list(said.token_ids), logprobs=list(said.logprobs))
    task = Task(id="t", clips=(Clip(id="v"),), question="?")
    return [Trajectory(task=task, prompt=messages, prompt_ids=list(asked.ids), turns=[turn])]


def test_three_pushes_of_all_weights_keep_the_bound_and_leave_the_trainer_s_bits_alone(policy, engine):
    torch.manual_seed(0)
    for version in (3, 4, 9):
        with torch.no_grad():
            for weight in policy.model.parameters():
                weight.add_(noise(weight, 0.02))
        before = bits(policy)
        push(policy, engine, version)
        written = write_probes(engine, PROBES, Sampling(max_tokens=24))
        assert agreement_of(policy, written).largest <= CLOSE
        assert {one.weight_versions for one in written} == {(version,)}
        assert engine.policy_version == version and engine.holds_weights
        assert all(torch.equal(value, before[name]) for name, value in policy.model.state_dict().items())


def test_three_pushes_of_an_adapter_keep_the_bound_and_leave_the_trainer_s_bits_alone(folder, small_vllm):
    policy = load_policy(PolicyConfig(path=folder, dtype="float32", lora=Lora(rank=4, targets=EVERYWHERE)))
    adapted = [name for name, _ in policy.model.named_parameters() if "lora_B" in name]
    assert any("visual" in name for name in adapted) and any("language" in name for name in adapted)
    engine = VLLMEngine(policy, small_vllm)
    torch.manual_seed(0)
    try:
        for version in (1, 2, 3):
            for name, weight in policy.model.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(weight, std=0.02)
            before = bits(policy)
            stale = write_probes(engine, PROBES, Sampling(max_tokens=24))
            assert agreement_of(policy, stale).largest > 100 * CLOSE  # the engine does not know of it yet
            push(policy, engine, version)
            written = write_probes(engine, PROBES, Sampling(max_tokens=24))
            assert agreement_of(policy, written).largest <= CLOSE
            assert all(torch.equal(value, before[name]) for name, value in policy.model.state_dict().items())
    finally:
        engine.close()


def test_the_engine_keeps_its_copy_while_the_trainer_goes_on(policy, engine):
    """vLLM copies: an optimizer step in place changes nothing until the next push."""
    push(policy, engine, 1)
    with changed(policy, amount=0.1):
        written = write_probes(engine, PROBES[:2], Sampling(max_tokens=24))
        assert agreement_of(policy, written).largest > 100 * CLOSE
    assert agreement_of(policy, written).largest <= CLOSE


def test_with_its_caches_kept_it_writes_by_the_old_vision_tower(policy, engine, monkeypatch):
    """The same conversation is found in the prefix cache, and nothing looks at the frame again."""
    look(engine)
    monkeypatch.setattr(InProcess, "forget", lambda self: None)
    with changed(policy, amount=0.3, only="model.visual."):
        push(policy, engine, 1)
        stale = look(engine)
        assert agreement_of(policy, stale).largest > 0.01
        monkeypatch.undo()
        push(policy, engine, 2)
        assert agreement_of(policy, look(engine)).largest <= CLOSE
    assert agreement_of(policy, stale).largest <= CLOSE  # right by the old tower


def test_an_emptied_prefix_cache_alone_is_not_enough(policy, engine, monkeypatch):
    """vLLM's scheduler counts on visual tokens that its worker threw away with the old weights."""
    look(engine)
    monkeypatch.setattr(InProcess, "forget", lambda self: self._llm.reset_prefix_cache())
    push(policy, engine, 1)
    with pytest.raises(EngineFault, match="Encoder cache miss"):
        look(engine)


@pytest.mark.parametrize("before", ["Look: ", "Behind other words nothing of the prefix is known: "])
def test_with_its_caches_emptied_it_sees_known_frames_anew(policy, engine, before):
    look(engine)
    with changed(policy, amount=0.3, only="model.visual."):
        push(policy, engine, 1)
        written = look(engine, before)
        assert agreement_of(policy, written).largest <= CLOSE
    assert agreement_of(policy, written).largest > 0.01
