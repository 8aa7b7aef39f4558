"""What many tests share: the tiny policy, built once a session, and who begins."""

import pytest

LONG = ("tests/system/", "tests/test_configs.py", "tests/engines/vllm/", "tests/modules/")
"""Where a file may take minutes."""


def pytest_collection_modifyitems(items):
    """What takes long begins first: at the end no process is left alone with it while the other one waits."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A tiny Qwen2.5-VL checkpoint with random weights, as a Hugging Face folder."""
    from eva_lightning.agent.small_talk import agent_text
    from eva_lightning.policy.tiny import build_tiny

    return build_tiny(tmp_path_factory.mktemp("tiny"), corpus=agent_text())
