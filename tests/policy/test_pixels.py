"""Our pixel values are those of the Hugging Face image processor."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor

from eva_lightning.faults import UsageError
from eva_lightning.policy.families.qwen25_vl import Qwen25VL
from eva_lightning.policy.pixels import patches, pixel_values

IMAGES = Qwen25VL.images


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_equal_to_the_image_processor_for_frames_of_any_size(tiny_folder):
    frames = [
        noise(28 * rows, 28 * columns, 3, seed=rows) for rows, columns in ((1, 1), (2, 5), (8, 4), (16, 16))
    ]
    theirs = AutoImageProcessor.from_pretrained(tiny_folder)(images=frames, return_tensors="pt")
    settings = IMAGES.with_colours_of(tiny_folder / "preprocessor_config.json")
    cut, grid = patches(frames, settings)
    values = pixel_values(cut, settings)
    assert torch.equal(grid, theirs["image_grid_thw"])
    assert (cut.dtype, values.dtype) == (torch.uint8, torch.float32)
    assert cut.nbytes * 8 == values.nbytes
    assert (values - theirs["pixel_values"]).abs().max() <= 1e-6


def test_a_white_frame_by_hand():
    cut, grid = patches([np.full((28, 28, 3), 255, dtype=np.uint8)], IMAGES)
    values = pixel_values(cut, IMAGES)
    assert values.shape == (4, 1176) and grid.tolist() == [[1, 2, 2]]
    assert values[0, 0].item() == pytest.approx((1 - 0.48145466) / 0.26862954, abs=1e-6)


def test_no_frame_is_no_patch():
    cut, grid = patches([], IMAGES)
    assert cut.shape == (0, 588) and grid.shape == (0, 3) and pixel_values(cut, IMAGES).shape == (0, 1176)


def test_bit_equal_to_the_floats_of_numpy():
    """Each colour of 0 to 255, times 1 / (255 std), less mean / std, both in float32."""
    frame = np.resize(np.arange(256, dtype=np.uint8), (56, 56, 3))
    cut, _ = patches([frame, frame[::-1]], IMAGES)
    scale = np.array([1 / (255 * std) for std in IMAGES.std], dtype=np.float32).reshape(3, 1)
    shift = np.array([-m / s for m, s in zip(IMAGES.mean, IMAGES.std, strict=True)], dtype=np.float32)
    theirs = cut.numpy().reshape(-1, 3, 196).astype(np.float32) * scale + shift.reshape(3, 1)
    ours = pixel_values(cut, IMAGES).view(-1, 3, 2, 196)
    assert all(np.array_equal(ours[:, :, time].numpy(), theirs) for time in (0, 1))


def test_a_model_that_sees_nothing_is_shown_nothing():
    cut, grid = patches([], None)
    assert len(cut) == 0 and grid.shape == (0, 3)
    with pytest.raises(ValueError, match="2 frames for a model that sees nothing"):
        patches([noise(28, 28, 3)] * 2, None)


def test_other_squares_by_hand():
    """With patches of 16 pixels 32 x 64 is 1 x 2 visual tokens; the first patch is the first corner."""
    frame = noise(32, 64, 3)
    plain = replace(IMAGES, mean=(0, 0, 0), std=(1, 1, 1), side=16)
    cut, grid = patches([frame], plain)
    values = pixel_values(cut, plain)
    assert grid.tolist() == [[1, 2, 4]] and values.shape == (8, 3 * 2 * 16 * 16)
    red = values[0].reshape(3, 2, 16, 16)[0]
    assert torch.allclose(red[0] * 255, torch.tensor(frame[:16, :16, 0]).float()) and red[0].equal(red[1])


def test_a_view_of_a_larger_frame_is_read_right():
    large = noise(112, 112, 3)
    assert torch.equal(
        patches([large[:56, 28:84]], IMAGES)[0], patches([large[:56, 28:84].copy()], IMAGES)[0]
    )


@pytest.mark.parametrize("frame", [noise(30, 28, 3), noise(28, 28, 4), noise(28, 28, 3).astype(np.float32)])
def test_other_frames_are_refused(frame):
    with pytest.raises(ValueError, match="multiples of 28"):
        patches([frame], IMAGES)


def test_other_patch_sizes_are_refused(tmp_path):
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps({"patch_size": 16}))
    with pytest.raises(UsageError, match=r"patches of \(16, 2, 2\)"):
        IMAGES.with_colours_of(file)
