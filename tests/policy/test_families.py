"""What is particular to a family of models stands in one place, and nobody else needs to know which it is."""

import re
from pathlib import Path

import pytest
import torch

import eva_lightning
from eva_lightning.faults import UsageError
from eva_lightning.policy.families import backbone, family_at, family_named, family_of
from eva_lightning.policy.loading import Lora, PolicyConfig, load_policy
from eva_lightning.policy.pixels import patches

CORE = Path(eva_lightning.__file__).parent
NAMED = ("policy/tiny.py", "policy/tiny_shapes.py")
"""The tiny checkpoints, which are members; the families have a folder of their own."""
INNARDS = r"Qwen[23]|qwen[23]|language_model|\.visual\b|image_pad|get_image_features|1176"


@pytest.mark.parametrize(
    "path", [*CORE.glob("policy/*.py"), *CORE.glob("engines/**/*.py")], ids=lambda p: p.name
)
def test_nobody_else_names_a_family_or_reaches_into_its_model(path):
    if str(path.relative_to(CORE)) not in NAMED:
        assert not re.findall(INNARDS, path.read_text())


def test_a_checkpoint_says_of_which_family_it_is(tiny_folder):
    policy = load_policy(PolicyConfig(path=str(tiny_folder), lora=Lora(rank=4)))
    assert family_at(tiny_folder) is policy.family is family_of(policy.model)
    assert policy.family.model_type == "qwen2_5_vl"
    assert backbone(policy.model) is policy.backbone is backbone(policy.backbone)
    assert (policy.images.square, policy.images.width) == (28, 1176)


def test_an_unknown_family_is_refused_in_one_line_that_names_the_known_ones():
    with pytest.raises(
        UsageError, match="^here is a bert checkpoint; the families .*: qwen2_5_vl, qwen3, qwen3_vl$"
    ):
        family_named("bert", "here")


def test_positions_are_those_of_the_squares_of_the_family(policy):
    assert policy.family.positions([5, 9, 9, 6], torch.tensor([[1, 2, 4]]), 9).tolist() == [
        [0, 1, 1, 3],
        [0, 1, 1, 3],
        [0, 1, 2, 3],
    ]
    assert policy.family.positions([5, 9], patches([], policy.images)[1], None).tolist() == [[0, 1]] * 3
