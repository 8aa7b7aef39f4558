"""A checkpoint becomes a policy, or one line says why not."""

import json

import pytest
import torch

from eva_lightning.agent.small_talk import agent_text
from eva_lightning.faults import UsageError
from eva_lightning.policy.loading import Lora, PolicyConfig, load_policy
from eva_lightning.policy.tiny import build_tiny


def trainable(policy):
    return {name for name, weight in policy.model.named_parameters() if weight.requires_grad}


def test_the_vision_tower_is_frozen_unless_asked_for(tiny_folder):
    frozen = trainable(load_policy(PolicyConfig(path=str(tiny_folder))))
    everything = trainable(load_policy(PolicyConfig(path=str(tiny_folder), freeze_vision=False)))
    assert everything - frozen == {name for name in everything if ".visual." in name} != set()


def test_an_adapter_trains_the_linear_layers_of_the_language_model_only(tiny_folder):
    policy = load_policy(PolicyConfig(path=str(tiny_folder), lora=Lora(rank=4)))
    names = trainable(policy)
    assert len(names) == 2 * 7 * 2  # layers, linear layers in each, A and B
    assert all("lora_" in name and "language_model" in name for name in names)
    assert type(policy.backbone).__name__ == "Qwen2_5_VLForConditionalGeneration"
    assert policy.max_positions == 32768


def test_dtype_and_checkpointing_are_as_asked(tiny_folder):
    policy = load_policy(PolicyConfig(path=str(tiny_folder), dtype="bfloat16", gradient_checkpointing=True))
    assert policy.backbone.lm_head.weight.dtype == torch.bfloat16
    assert policy.backbone.is_gradient_checkpointing


def test_wrong_paths_are_told_in_one_line(tmp_path, tiny_folder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "empty").mkdir()
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"model_type": "bert"}))
    wrong = {
        str(tmp_path / "nowhere"): "there is no folder",
        "typo": "there is no folder typo",
        "nobody/nothing": "nobody/nothing is no folder here, and the model hub gave us no such checkpoint",
        str(tmp_path / "empty"): "no config.json",
        str(
            other
        ): "is a bert checkpoint; the families that can be trained here: qwen2_5_vl, qwen3, qwen3_vl$",
    }
    for path, words in wrong.items():
        with pytest.raises(UsageError, match=words) as caught:
            load_policy(PolicyConfig(path=path))
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="no adapter for targets"):
        load_policy(PolicyConfig(path=str(tiny_folder), lora=Lora(targets=["nothing"])))


def test_a_tiny_checkpoint_is_the_same_bytes_for_the_same_seed(tmp_path, tiny_folder):
    again, other = (
        build_tiny(tmp_path / name, corpus=agent_text(), seed=seed)
        for name, seed in (("again", 0), ("other", 1))
    )
    for file in tiny_folder.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes(), file.name
    assert (other / "model.safetensors").read_bytes() != (again / "model.safetensors").read_bytes()
    assert (other / "tokenizer.json").read_bytes() == (again / "tokenizer.json").read_bytes()


def test_a_tiny_checkpoint_is_small_and_says_nothing_of_this_machine(policy, tiny_folder):
    assert 3e5 < sum(weight.numel() for weight in policy.model.parameters()) < 1e6
    for file in tiny_folder.glob("*.json"):
        assert str(tiny_folder) not in file.read_text() and "_name_or_path" not in file.read_text()


def test_digits_are_single_tokens_so_that_numbers_can_be_copied(renderer):
    digits = renderer.encode("0123456789")
    assert len(set(digits)) == 10
    text = '<tool_call>{"tool": "frame_select", "arguments": {"start_time": 227, "resize": 0.25}}</tool_call>'
    assert [token for token in renderer.encode(text) if token in digits] == [
        digits[i] for i in (2, 2, 7, 0, 2, 5)
    ]
