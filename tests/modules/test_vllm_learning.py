"""GRPO learns the same with vLLM as with the policy's own turns: the same rewards, at about the same pace."""

import pytest

from eva_lightning.engines.vllm.adapter import installed
from tests.modules.letters import school


def vllm(policy):
    from eva_lightning.engines.vllm.engine import VLLMEngine
    from eva_lightning.engines.vllm.settings import VLLMSettings

    return VLLMEngine(policy, VLLMSettings(max_length=2048, batch_tokens=2048, max_frame_tokens=64))


@pytest.mark.parametrize("engine", [None, vllm], ids=["transformers", "vllm"])
def test_grpo_learns_to_write_one_letter(engine, world, tiny_folder):
    """From a twelfth of the letters to a half: the signs around them are worth nothing and stay."""
    if engine is not None and installed() is None:
        pytest.skip("vLLM is not installed: make vllm")
    rewards, told = school(world, tiny_folder, engine)
    assert rewards[0] < 0.15 and min(rewards[-4:]) > 0.45
    assert max(told.told("mismatch/max")) < 1e-3
