"""Rows handed round among the ranks that share them: each rank's own in turn, for all of them to read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import distributed as dist

from eva_lightning.faults import UsageError
from eva_lightning.policy.inputs import MicroBatch
from eva_lightning.policy.row_share import RowShare


def neighbours(count: int) -> Any:
    """Ours of the groups of so many neighbouring ranks; None is us alone. All ranks call it together."""
    if count == 1:
        return None
    ranks = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    if count < 1 or ranks % count:
        raise UsageError(
            f"model.packing.sequence_ranks {count} does not divide the {ranks} ranks of this run: want 1, or "
            "a number of ranks that shares every row"
        )
    mine, _ = dist.new_subgroups(group_size=count)  # type: ignore[no-untyped-call]
    return mine


def shares_of(group: Any) -> list[RowShare]:
    """A row of each rank of the group, in turn."""
    return [RowShare(group=group, owner=owner) for owner in range(dist.get_world_size(group))]


def handed_round(mine: MicroBatch, share: RowShare) -> MicroBatch:
    """The owner's row, on every rank; to the others it looks like one in which nothing is written."""
    told = [mine.to("cpu") if share.owned else None]
    dist.broadcast_object_list(told, dist.get_global_rank(share.group, share.owner), group=share.group)
    row = told[0]
    assert row is not None
    if share.owned:
        return replace(mine, share=share)
    return replace(row, share=share, sequence=row.sequence[:0], count=0)
