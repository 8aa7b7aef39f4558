"""A frozen tower sees a frame once, and what it saw is what it would see."""

import numpy as np
import pytest
import torch

from eva_lightning.policy.inputs import lay_out, trajectory_inputs
from eva_lightning.policy.logprobs import token_logprobs
from eva_lightning.policy.seen_frames import SeenFrames, is_frozen
from tests.policy.conversations import trajectory


def noise(seed, height=28, width=56):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def calls(policy, monkeypatch):
    """Frames of each call of the tower."""
    found, tower = [], policy.family.tower(policy.backbone)
    hook = tower.register_forward_pre_hook(
        lambda _, args, kwargs: found.append(len(kwargs["grid_thw"])), with_kwargs=True
    )
    yield found
    hook.remove()


def test_a_frame_is_looked_at_once_and_one_of_another_shape_is_another(policy, calls):
    frames = SeenFrames(policy, limit=2**20)
    first = frames.look([noise(0), noise(1), noise(0)])[0]
    assert torch.equal(first[:2], first[4:]) and calls == [2]
    again = frames.look([noise(1), noise(2), noise(0).reshape(56, 28, 3)])[0]
    assert torch.equal(again[:2], first[2:4]) and calls == [2, 2]
    assert not torch.equal(again[4:], first[:2])
    frames.look([noise(0), noise(2)])
    assert calls == [2, 2]


def test_what_is_kept_stays_within_its_bytes(policy, calls):
    """A frame of two visual tokens of 128 numbers is 1,024 bytes: two of them fit, the oldest goes."""
    frames = SeenFrames(policy, limit=2500)
    frames.look([noise(0)])
    frames.look([noise(1)])
    frames.look([noise(0)])
    frames.look([noise(2)])
    assert frames.bytes == 2048
    frames.look([noise(0), noise(2)])
    assert calls == [1, 1, 1]
    frames.look([noise(1)])
    assert calls == [1, 1, 1, 1]
    assert len(frames.look([noise(seed) for seed in range(9)])[0]) == 18 and frames.bytes <= 2500


def test_a_policy_that_reads_what_was_seen_thinks_as_one_that_looks(policy, renderer, pixels, calls):
    record, frames = trajectory(renderer), SeenFrames(policy, limit=2**20)
    looking = trajectory_inputs(record, policy, pixels)
    with torch.no_grad():
        theirs = token_logprobs(policy.model, lay_out([looking, looking])).logprobs
    calls.clear()
    remembering = [trajectory_inputs(record, policy, pixels, frames) for _ in range(2)]
    assert remembering[0].pixel_values is None and remembering[0].positions.equal(looking.positions)
    with torch.no_grad():
        ours = token_logprobs(policy.model, lay_out(remembering)).logprobs
    assert (ours - theirs).abs().max() < 1e-5 and calls == [4]


def test_a_tower_that_learns_is_not_frozen(policy):
    tower = policy.family.tower(policy.backbone)
    assert is_frozen(tower) and not is_frozen(None)
    weight = next(tower.parameters()).requires_grad_(True)
    assert not is_frozen(tower)
    weight.requires_grad_(False)
