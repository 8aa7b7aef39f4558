"""One embedded world of two clips, and what the teacher does in it: made once."""

import pytest

from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from tests.modules.stages import fit, make, teach, weights


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Two clips of half a minute, 112 x 112; two questions about each."""
    settings = ScriptSettings(duration=(30, 30), height=112, width=112, fps=2)
    return build_world(tmp_path_factory.mktemp("world"), 2, settings, families=["colour_at", "when"])


@pytest.fixture(scope="session")
def taught(world, tiny_folder):
    """Four trajectories of the oracle, one for each question."""
    return teach(world, tiny_folder)


@pytest.fixture(scope="session")
def schooled(taught, tiny_folder):
    """Weights after twelve steps of SFT: a policy that has moved away from its reference."""
    module = make("sft", tiny_folder)
    fit(module, *[taught] * 12)
    return weights(module)
