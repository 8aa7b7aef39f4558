"""What many tests share: the tiny policy, built once a session."""

import pytest


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A tiny Qwen2.5-VL checkpoint with random weights, as a Hugging Face folder."""
    from eva_lightning.agent.small_talk import agent_text
    from eva_lightning.policy.tiny import build_tiny

    return build_tiny(tmp_path_factory.mktemp("tiny"), corpus=agent_text())
