"""The part of a shared row that a rank reads."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from eva_lightning.policy.inputs import TrajectoryInputs, lay_out
from eva_lightning.policy.row_part import part_of

IMAGE, SQUARES = 9, 4


def row(ids, written, frames=()):
    """One trajectory; every frame is a list of visual tokens wide, and its patches are numbered."""
    sizes = [SQUARES * tokens for tokens in frames]
    return lay_out(
        [
            TrajectoryInputs(
                ids=torch.tensor(ids),
                loss_mask=torch.tensor([place in written for place in range(len(ids))]),
                positions=torch.arange(len(ids)).expand(3, -1),
                patches=torch.arange(sum(sizes))[:, None] if frames else None,
                grid=torch.tensor([[1, 2, size // 2] for size in sizes]) if frames else None,
            )
        ]
    )


def parts(batch, ranks):
    return [part_of(batch, SimpleNamespace(rank=rank, ranks=ranks), IMAGE, SQUARES) for rank in range(ranks)]


def test_who_reads_the_token_before_it_scores_a_word():
    """Six tokens, three each; the words at 3, 4 and 5 are scored at 2, 3 and 4."""
    first, second = parts(row([10, 11, 12, 13, 14, 15], {3, 4, 5}), ranks=2)
    assert first.batch.ids.tolist() == [[10, 11, 12]] and second.batch.ids.tolist() == [[13, 14, 15]]
    assert first.before.tolist() == [2] and first.targets.tolist() == [13]
    assert second.before.tolist() == [0, 1] and second.targets.tolist() == [14, 15]
    assert first.counts == second.counts == [1, 2]
    assert second.batch.positions[0].tolist() == [[3, 4, 5]]


def test_rows_that_do_not_divide_are_filled_up_behind_the_last_border():
    """Five tokens on two ranks: one more, which is a document of its own."""
    _, second = parts(row([10, 11, 12, 13, 14], {4}), ranks=2)
    assert second.batch.ids.shape == (1, 3)
    assert second.batch.borders.tolist() == [0, 5, 6]


@pytest.mark.parametrize(
    ("rank", "patches", "cut"),
    [
        (0, range(12), (0, 2)),  # two of the first frame's three tokens
        (1, range(20), (2, 5)),  # the third, and both of the second frame
        (2, None, None),  # text alone
    ],
)
def test_a_frame_that_reaches_over_is_seen_by_both(rank, patches, cut):
    """Frames of three and two tokens, 12 and 8 patches, on three ranks of three tokens."""
    part = parts(row([1, IMAGE, IMAGE, IMAGE, IMAGE, IMAGE, 2, 3, 4], {7, 8}, frames=(3, 2)), ranks=3)[rank]
    found = part.batch.patches
    assert part.cut == cut
    assert (found is None) if patches is None else found[:, 0].tolist() == list(patches)


def test_what_a_frozen_tower_saw_is_cut_where_the_row_is():
    """Tokens 1 to 5 stand for rows 0 to 4."""
    batch = row([1, IMAGE, IMAGE, IMAGE, IMAGE, IMAGE, 2, 3, 4], {7, 8})
    batch = replace(batch, seen=(torch.arange(5)[:, None],))
    assert [[layer[:, 0].tolist() for layer in part.batch.seen] for part in parts(batch, ranks=3)] == [
        [[0, 1]],
        [[2, 3, 4]],
        [],
    ]
