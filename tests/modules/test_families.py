"""Other families go through the three stages, and what is exported loads in transformers and vLLM."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from eva_lightning.agent.small_talk import agent_text
from eva_lightning.callbacks import HuggingFaceExport
from eva_lightning.policy.tiny import build_tiny
from tests.commands.test_doctor import by_itself, needs_vllm
from tests.modules.stages import Coin, fit, make, marked, moved, teach, weighed, weights

READERS = {"qwen3": AutoModelForCausalLM, "qwen3_vl": AutoModelForImageTextToText}


@pytest.fixture(scope="module", params=READERS)
def member(request, tmp_path_factory):
    """Name and folder of a tiny policy of each other family."""
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, build_tiny(folder, corpus=agent_text(), family=request.param)


@pytest.fixture(scope="module")
def lessons(member, world):
    """What the oracle does; without frames for who has no eyes."""
    family, folder = member
    return teach(world, folder, text_only=family == "qwen3")


@pytest.mark.parametrize("lora", [None, True], ids=["full", "adapter"])
@pytest.mark.parametrize("stage", ["sft", "kto", "fed"])
def test_every_stage_moves_what_it_trains(stage, lora, member, lessons):
    batch = {"sft": lessons, "kto": marked(lessons), "fed": weighed(lessons)}[stage]
    module = make(stage, member[1], lora=lora, freeze_vision=True)
    module.configure_model()
    before = weights(module)
    fitting = fit(module, batch, batch)
    changed = moved(before, weights(module))
    assert torch.isfinite(fitting.callback_metrics["train/loss"])
    assert fitting.callback_metrics["train/skipped"] == 0
    assert changed and all(("lora" in name) == bool(lora) for name in changed)
    assert not [name for name in changed if "visual" in name]


def test_frames_are_cut_to_the_squares_of_the_policy(member, lessons):
    """A quarter of 112 pixels is one visual token, of 32 pixels in this family; a half is four."""
    frames = [frame for one in lessons for frame in one.frames]
    if member[0] == "qwen3":
        assert not frames
        return
    assert {(frame.height, frame.visual_tokens) for frame in frames} == {(32, 1), (64, 4)}
    assert all(one.ledger.visual == one.visual_tokens for one in lessons)


def test_it_acts_for_itself(member, world):
    """Two iterations of GRPO; a policy without eyes writes, and nothing that it asks for can be shown."""
    module = make("grpo", member[1], attempts=2, rewards=[Coin()])
    fit(module, *[list(world.tasks)] * 2)
    assert module.iteration == 2 and len(module.rollouts) == 2 * len(world.tasks)
    assert all(one.stop != "fault" for one in module.rollouts)


@needs_vllm
def test_an_export_is_what_transformers_and_vllm_read(member, lessons, tmp_path):
    family, folder = member
    module = make("sft", folder)
    fit(module, lessons, callbacks=[HuggingFaceExport(folder=str(tmp_path))])
    read = READERS[family].from_pretrained(tmp_path / "final", dtype="float32")
    mine = module.model.state_dict()
    assert all(torch.equal(mine[name], value) for name, value in read.state_dict().items())
    done = by_itself("--json", "--model", str(tmp_path / "final"), "--dtype", "float32")
    assert done.returncode == 0, done.stderr[-3000:]
    row = json.loads(done.stdout)
    assert list(row["by_images"]) == (["0"] if family == "qwen3" else ["0", "1", "4", "16"])
    assert 0 < row["max_abs_logprob_difference"] <= 5e-5 and row["greedy_equal"]
    assert 0 < row["after_push"]["max_abs_logprob_difference"] <= 5e-5
    assert row["vision_change_seen"] is (None if family == "qwen3" else True)
