"""Our M-RoPE positions are the model's own."""

import pytest
import torch

from eva_lightning.policy.positions import mrope_positions
from tests.policy.conversations import frame, user


def grid_of(frames):
    return torch.tensor([[1, f.height // 14, f.width // 14] for f in frames], dtype=torch.int64).reshape(
        -1, 3
    )


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [frame(rows=2, columns=3)],
        [frame(rows=4, columns=1), frame(rows=1, columns=1), frame(rows=2, columns=5)],
    ],
    ids=["no frame", "one", "three"],
)
@pytest.mark.parametrize("words", ["", " and "])
def test_equal_to_the_model_for_frames_apart_and_next_to_each_other(policy, renderer, frames, words):
    parts = [part for f in frames for part in (f, words)]
    ids = renderer.expand(renderer.opening([user(*parts, "?")]), frames)
    row = torch.tensor([ids])
    types = (row == renderer.image_token_id).int()
    theirs, _ = policy.backbone.model.get_rope_index(
        row, types, image_grid_thw=grid_of(frames) if frames else None
    )
    assert torch.equal(mrope_positions(ids, grid_of(frames), renderer.image_token_id), theirs[:, 0])


def test_a_frame_of_two_by_three_by_hand():
    positions = mrope_positions([5, 9, 9, 9, 9, 9, 9, 6], torch.tensor([[1, 4, 6]]), 9)
    assert positions.tolist() == [
        [0, 1, 1, 1, 1, 1, 1, 4],
        [0, 1, 1, 1, 2, 2, 2, 4],
        [0, 1, 2, 3, 1, 2, 3, 4],
    ]


@pytest.mark.parametrize("ids", [[5, 9, 9], [9, 9, 5, 9, 9], [9] * 5], ids=["too few", "torn", "too many"])
def test_image_tokens_that_do_not_fit_the_frame_are_refused(ids):
    with pytest.raises(ValueError, match="visual tokens"):
        mrope_positions(ids, torch.tensor([[1, 4, 4]]), 9)
