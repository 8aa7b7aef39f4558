"""KTO: learn from single trajectories marked good or bad, held against a frozen reference (2402.01306).

    r = log-ratio of policy to reference, summed over what the trajectory wrote
    kto                desirable 1 - sigmoid(beta (r - z))     undesirable 1 - sigmoid(beta (z - r))  (Eq. 7)
    apo_zero_unpaired  desirable 1 - sigmoid(beta r)           undesirable sigmoid(beta r)   (2408.06266)

z, the reference point, is the log-ratio of trajectories put under questions they do not belong to: its mean
over the whole step, cut at 0 after the mean and never before it. `apo_zero_unpaired` has no such point and
needs no extra forward pass. Forward passes are not made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from eva_lightning.objectives.tally import Tally, total
from eva_lightning.objectives.totals import Totals
from eva_lightning.records import FrameRef, Trajectory, Turn

SATURATED = 4.0
"""Beyond |beta (r - z)| = 4 the sigmoid's slope is below 2 %: such a trajectory teaches next to nothing."""


@dataclass(frozen=True, kw_only=True)
class KTOSettings:
    """How good and bad trajectories pull."""

    loss: Literal["kto", "apo_zero_unpaired"] = "kto"
    """kto compares with a point z at or above the reference; apo_zero_unpaired needs none: half the cost."""
    beta: float = 0.1
    """How steeply the loss reacts to the log-ratio; long trajectories saturate it, see length_normalize."""
    desirable_weight: float | None = None
    """Weight of good trajectories; None is what balances the data, see balancing_weight."""
    undesirable_weight: float = 1.0
    """Weight of bad ones."""
    length_normalize: Literal["none", "token", "sqrt"] = "none"
    """Divide log-ratios by nothing (the paper), by the number of tokens or by its square root."""

    def __post_init__(self) -> None:
        if self.beta <= 0:
            raise ValueError(f"beta is {self.beta}: want more than 0")
        if min(self.desirable_weight or 0.0, self.undesirable_weight) < 0:
            raise ValueError(
                f"weights are {self.desirable_weight} and {self.undesirable_weight}: want 0 or more"
            )


def log_ratio(policy: Tensor, reference: Tensor, lengths: Tensor, settings: KTOSettings) -> Tensor:
    """Of policy to reference, per trajectory and normalised by length where the settings say so.

    Used alike for the trajectories and for the mismatched ones that make z.
    """
    ratio = policy - reference
    if settings.length_normalize == "none":
        return ratio
    long = lengths.to(ratio.dtype).clamp(min=1)
    return ratio / (long if settings.length_normalize == "token" else long.sqrt())


def z_ref(log_ratios_sum: Tensor, count: Tensor | float) -> Tensor:
    """The reference point: mean of the mismatched log-ratios, then cut at 0. No gradient flows into it.

    Sum and count are those of all ranks: cutting per rank or per trajectory would push it up. Nothing counted
    gives 0.
    """
    many = torch.as_tensor(count, dtype=log_ratios_sum.dtype, device=log_ratios_sum.device)
    return (log_ratios_sum.detach() / many.clamp(min=1)).clamp(min=0)


def kto_loss(
    policy: Tensor,
    reference: Tensor,
    desirable: Tensor,
    *,
    z: Tensor | None = None,
    lengths: Tensor,
    settings: KTOSettings,
    totals: Totals,
) -> tuple[Tensor, Tally]:
    """This micro-batch's share of the loss, and its measurements.

    Args:
        policy: Summed log-probability of each trajectory, [B].
        reference: The same under the reference, [B].
        desirable: Good or bad, bool [B]. One label alone is fine.
        z: The reference point, see z_ref; not needed by apo_zero_unpaired.
        lengths: Loss tokens of each trajectory, [B].
        settings: Which loss.
        totals: Counts of the whole optimizer step; a trajectory without loss tokens is in no batch.
    """
    if desirable.dtype != torch.bool:
        raise ValueError(f"desirable is {desirable.dtype}: want bool")
    if settings.loss == "kto" and z is None:
        raise ValueError("the kto loss needs its reference point z; apo_zero_unpaired does not")
    if len(policy) > totals.sequences:
        raise ValueError(f"a micro-batch of {len(policy)} trajectories in a step of {totals.sequences}")
    if settings.desirable_weight is None:
        raise ValueError("desirable_weight is not settled: set it, or take the balancing_weight of the data")
    ratio = log_ratio(policy, reference.detach(), lengths, settings)
    point = z.detach() if settings.loss == "kto" and z is not None else ratio.new_zeros(())
    gain = settings.beta * (ratio - point)
    sign = desirable.to(gain.dtype) * 2 - 1
    weights = torch.where(desirable, settings.desirable_weight, settings.undesirable_weight)
    losses = weights * torch.sigmoid(-sign * gain)  # 1 - sigmoid(x), without its rounding near 1
    loss = losses.sum() / max(totals.sequences, 1)
    return loss, _measure(policy, settings.beta * ratio, gain, desirable, point)


def _measure(policy: Tensor, rewards: Tensor, gain: Tensor, desirable: Tensor, point: Tensor) -> Tally:
    good, bad = desirable.to(rewards.dtype), (~desirable).to(rewards.dtype)
    return Tally(
        sums={
            "rewards/chosen": total(rewards * good, good.sum()),
            "rewards/rejected": total(rewards * bad, bad.sum()),
            "logps/chosen": total(policy * good, good.sum()),
            "logps/rejected": total(policy * bad, bad.sum()),
            "saturated": total(gain.abs() > SATURATED),
            "desirable": total(good),
            "kl": total(point.expand(len(policy))),
        }
    )


def kto_means(tally: Tally) -> dict[str, float]:
    """Plain numbers to log, `rewards/margins` with them: good minus bad, once both have been seen."""
    means = tally.means()
    if "rewards/chosen" in means and "rewards/rejected" in means:
        means["rewards/margins"] = means["rewards/chosen"] - means["rewards/rejected"]
    return means


@runtime_checkable
class MarkedData(Protocol):
    """Data that know their balance, over all ranks, as they are served."""

    @property
    def n_desirable(self) -> float:
        """Good trajectories."""

    @property
    def n_undesirable(self) -> float:
        """Bad ones."""


def recommended_band(
    desirable: float, undesirable: float, undesirable_weight: float = 1.0
) -> tuple[float, float]:
    """Where the paper wants desirable_weight (its Eq. 8): good weighs 1 to 4/3 times as much as bad in all.

    >>> recommended_band(desirable=63, undesirable=37)  # doctest: +ELLIPSIS
    (0.587..., 0.783...)
    """
    if desirable <= 0 or undesirable <= 0:
        raise ValueError(f"{desirable:g} good and {undesirable:g} bad trajectories: want both")
    even = undesirable * undesirable_weight / desirable
    return even, even * 4 / 3


def balancing_weight(desirable: float, undesirable: float, undesirable_weight: float = 1.0) -> float:
    """The middle of that band: good weighs 7/6 as much as bad in all.

    >>> balancing_weight(desirable=700, undesirable=600)
    1.0
    """
    return sum(recommended_band(desirable, undesirable, undesirable_weight)) / 2


def mismatched_partners(task_ids: Sequence[str], seed: int = 0) -> list[int]:
    """For each trajectory, one of another task, whose writing is put under its question to make z.

    A rotation of the whole (accumulated) batch, so that everybody is used once; several attempts at one task
    usually stand next to each other, and a rotation that pairs two of them is passed over. Where every
    rotation does, each goes on to the next that fits. -1 if the whole batch is one task: leave z's sum and
    count empty.
    """
    count = len(task_ids)
    shifts = [1 + (seed + i) % (count - 1) for i in range(count - 1)]  # each once, from a drawn one on
    for shift in shifts:
        rotated = [(i + shift) % count for i in range(count)]
        if all(task_ids[i] != task_ids[j] for i, j in enumerate(rotated)):
            return rotated
    return [_next_of_another_task(task_ids, i, shifts) for i in range(count)]


def _next_of_another_task(task_ids: Sequence[str], i: int, shifts: Sequence[int]) -> int:
    for shift in shifts:
        j = (i + shift) % len(task_ids)
        if task_ids[i] != task_ids[j]:
            return j
    return -1


def mismatched(one: Trajectory, other: Trajectory) -> Trajectory:
    """The question of one trajectory with what was written, and seen, for another."""
    # Clips are named within their task only: those of the other one get a name of their own.
    clips = tuple(replace(clip, id=f"other/{clip.id}") for clip in other.task.clips)
    task = replace(one.task, clips=one.task.clips + clips)
    return replace(one, task=task, turns=[_renamed(turn) for turn in other.turns])


def _renamed(turn: Turn) -> Turn:
    if turn.observation is None:
        return turn
    parts = tuple(
        replace(part, clip=f"other/{part.clip}") if isinstance(part, FrameRef) else part
        for part in turn.observation.parts
    )
    spans = tuple(replace(span, clip=f"other/{span.clip}") for span in turn.observation.spans)
    return replace(turn, observation=replace(turn.observation, parts=parts, spans=spans))
