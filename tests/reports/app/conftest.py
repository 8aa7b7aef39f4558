"""A tiny policy that learned one question about a clip by heart, and the clip."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.records import Trajectory
from tests.modules.stages import fit, make, teach


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a policy knows, and where it is."""

    folder: Path
    shown: Trajectory

    @property
    def clip(self):
        return Path(self.shown.task.clips[0].path)


@pytest.fixture(scope="session")
def learned(tiny_folder, tmp_path_factory):
    """Forty steps of SFT on what the oracle does at one question: it plans, looks and answers."""
    settings = ScriptSettings(duration=(30, 30), height=112, width=112, fps=2)
    world = build_world(tmp_path_factory.mktemp("asked"), 1, settings, families=["colour_at", "when"])
    module = make("sft", tiny_folder, lr=3e-3)
    shown = next(one for one in teach(world, tiny_folder) if len(one.frames) > 2)
    fit(module, *[[shown]] * 40)
    folder = tmp_path_factory.mktemp("models") / "learned"
    shutil.copytree(tiny_folder, folder)
    module.policy.model.save_pretrained(folder)
    return Learned(folder=folder, shown=shown)
