"""The tiny policy, its renderer, and frames with something on them."""

import numpy as np
import pytest

from eva_lightning.policy.loading import PolicyConfig, load_policy


@pytest.fixture(scope="session")
def policy(tiny_folder):
    """Shared: tests that change weights or modes load their own."""
    loaded = load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32"))
    loaded.model.eval()
    return loaded


@pytest.fixture(scope="session")
def renderer(policy):
    return policy.renderer


@pytest.fixture(scope="session")
def pixels():
    """A callback like a world's: noise that depends on the frame alone."""

    def read(frame):
        dice = np.random.default_rng(int(frame.time * 1000) + frame.height * 7 + frame.width)
        return dice.integers(0, 256, (frame.height, frame.width, 3), dtype=np.uint8)

    return read
