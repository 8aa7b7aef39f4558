"""What the tests of the vLLM engines share: real vLLM, here on the CPU, with room for small conversations."""

import pytest

from eva_lightning.engines.vllm.adapter import installed
from eva_lightning.engines.vllm.settings import VLLMSettings


@pytest.fixture(scope="session")
def small_vllm():
    """Settings for conversations of 2,048 tokens; skips where there is no vLLM."""
    if installed() is None:
        pytest.skip("vLLM is not installed: `make vllm` installs it")
    return VLLMSettings(max_length=2048, batch_tokens=2048, max_frames=16, max_frame_tokens=64)
