"""The clipped policy gradient of GRPO and its relatives, over flat tokens of finished trajectories.

    token     min(rho A, clip(rho, 1 - low, 1 + high) A) with rho = policy / old, per token (2402.03300)
    sequence  the same with one rho per trajectory, the geometric mean of its tokens' (GSPO, 2507.18071)
    cispo     stop_gradient(min(rho, 1 + high)) A log policy: every token keeps a gradient (2506.13585)

`old` is what the trainer thought when the step began, `sampler` what the engine thought when it drew; their
quotient, cut at `importance_cap`, corrects for the difference between the two (truncated importance
sampling). To train against the sampler directly, give its log-probs as `old`. Advantages come from
elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from eva_lightning.objectives.kl import FAR, k3
from eva_lightning.objectives.tally import Tally, peak, total
from eva_lightning.objectives.totals import Aggregation, Totals, aggregate, sequence_means


@dataclass(frozen=True, kw_only=True)
class PolicyGradientSettings:
    """How far one step may move, and what keeps it there."""

    ratio: Literal["token", "sequence", "cispo"] = "token"
    """Compared with the old policy: each token, each trajectory (GSPO), or CISPO's weighted tokens."""
    clip_low: float = 0.2
    """The ratio counts down to 1 - clip_low. GSPO wants about 3e-4; CISPO has no lower clip."""
    clip_high: float = 0.28
    """The ratio counts up to 1 + clip_high. GSPO wants about 4e-4, CISPO about 4 (TRL calls it 5)."""
    dual_clip: float | None = None
    """Where the advantage is negative, the ratio counts up to this, for example 3; None sets no bound."""
    kl_weight: float = 0.0
    """Weight of the divergence from the reference (k3); 0 needs no reference."""
    importance_cap: float | None = 2.0
    """Upper cut of the importance weights from sampler to trainer; None measures but does not correct."""
    aggregation: Aggregation = "token_mean"
    """How token losses become one number."""
    max_tokens: int | None = None
    """The constant of dr_grpo: the most tokens a trajectory may write."""

    def __post_init__(self) -> None:
        if not 0 <= self.clip_low <= 1 or self.clip_high < 0:
            raise ValueError(f"clips are {self.clip_low} and {self.clip_high}: want 0..1 and 0 or more")
        if self.dual_clip is not None and self.dual_clip <= 1 + self.clip_high:
            raise ValueError(f"dual_clip is {self.dual_clip}: want more than 1 + clip_high")
        if self.kl_weight < 0 or (self.importance_cap is not None and self.importance_cap <= 0):
            raise ValueError(f"kl_weight {self.kl_weight} or importance_cap {self.importance_cap} is too low")
        if self.aggregation == "dr_grpo" and not self.max_tokens:
            raise ValueError("aggregation dr_grpo needs max_tokens: the most tokens a trajectory may write")


def policy_gradient(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    sequence: Tensor,
    *,
    sampler_logprobs: Tensor | None = None,
    reference_logprobs: Tensor | None = None,
    entropy: Tensor | None = None,
    settings: PolicyGradientSettings,
    totals: Totals,
) -> tuple[Tensor, Tally]:
    """This micro-batch's share of the loss, and its measurements.

    Args:
        logprobs: Of every loss token under the policy, [N].
        old_logprobs: Under the policy as the step began, [N]; logprobs.detach() if it is the first update.
        advantages: One per trajectory, [B].
        sequence: For each token, which trajectory wrote it, int64 [N].
        sampler_logprobs: As the engine drew them, [N].
        reference_logprobs: Under the frozen reference, [N].
        entropy: Of each token's distribution, [N]; only measured.
        settings: Which loss.
        totals: Counts of the whole optimizer step.
    """
    if settings.kl_weight and reference_logprobs is None:
        raise ValueError(f"kl_weight is {settings.kl_weight} but there are no reference log-probs")
    old = old_logprobs.detach()
    advantage = advantages.detach()[sequence]
    ratio = _ratio(logprobs, old, sequence, len(advantages), settings)
    losses = _token_losses(ratio, logprobs, advantage, settings)
    tally = _measure(ratio, logprobs, old, advantage, entropy, settings)
    if sampler_logprobs is not None:
        weights = importance_weights(old, sampler_logprobs, settings.importance_cap)
        losses = losses * weights
        tally += _measure_mismatch(old, sampler_logprobs.detach(), weights, settings.importance_cap)
    if reference_logprobs is not None:
        divergence = k3(logprobs, reference_logprobs.detach())
        if settings.kl_weight:
            losses = losses + settings.kl_weight * divergence
        tally += Tally(sums={"kl/reference": total(divergence)})
    loss = aggregate(losses, sequence, len(advantages), settings.aggregation, totals, settings.max_tokens)
    return loss, tally


def importance_weights(old: Tensor, sampler: Tensor, cap: float | None) -> Tensor:
    """How much likelier the trainer finds each token than the engine did, cut at `cap`; 1 without a cap."""
    if cap is None:
        return torch.ones_like(old)
    return torch.exp((old - sampler).detach().clamp(max=FAR)).clamp(max=cap)


def _ratio(
    logprobs: Tensor, old: Tensor, sequence: Tensor, count: int, settings: PolicyGradientSettings
) -> Tensor:
    change = logprobs - old
    if settings.ratio == "sequence":
        change = sequence_means(change, sequence, count)[sequence]
    return torch.exp(change.clamp(max=FAR))


def _token_losses(
    ratio: Tensor, logprobs: Tensor, advantage: Tensor, settings: PolicyGradientSettings
) -> Tensor:
    high = 1 + settings.clip_high
    if settings.ratio == "cispo":
        return -ratio.detach().clamp(max=high) * advantage * logprobs
    clipped = ratio.clamp(1 - settings.clip_low, high)
    gain = torch.minimum(ratio * advantage, clipped * advantage)
    if settings.dual_clip is not None:
        bounded = torch.maximum(gain, settings.dual_clip * advantage)
        gain = torch.where(advantage < 0, bounded, gain)
    return -gain


def _measure(
    ratio: Tensor,
    logprobs: Tensor,
    old: Tensor,
    advantage: Tensor,
    entropy: Tensor | None,
    settings: PolicyGradientSettings,
) -> Tally:
    """Shares are of all tokens; `kl/old` is how far this step has moved so far."""
    new = logprobs.detach()
    sums = {
        "ratio/mean": total(ratio),
        "clip/high": total((ratio > 1 + settings.clip_high) & (advantage > 0)),
        "kl/old": total(k3(old, new)),  # the tokens were drawn from the old policy
    }
    if settings.ratio != "cispo":
        sums["clip/low"] = total((ratio < 1 - settings.clip_low) & (advantage < 0))
    if settings.ratio != "cispo" and settings.dual_clip is not None:
        sums["clip/dual"] = total((ratio > settings.dual_clip) & (advantage < 0))
    if entropy is not None:
        sums["entropy"] = total(entropy)
    return Tally(sums=sums, peaks={"ratio/max": peak(ratio)})


def _measure_mismatch(old: Tensor, sampler: Tensor, weights: Tensor, cap: float | None) -> Tally:
    """How far trainer and engine disagree about the same tokens under the same weights."""
    apart = (old - sampler).abs()
    sums = {"mismatch/k3": total(k3(sampler, old)), "mismatch/abs": total(apart)}
    if cap is not None:
        sums |= {"importance/mean": total(weights), "importance/truncated": total(weights >= cap)}
    return Tally(sums=sums, peaks={"mismatch/max": peak(apart)})
