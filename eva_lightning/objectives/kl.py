"""Estimates of KL(policy || reference) at tokens that the policy drew (Schulman, joschu.net/blog/kl-approx).

With d = reference - policy, in log-probabilities: k1 = -d has the right mean and a high variance, k2 = d^2 /
2 the right gradient, k3 = e^d - d - 1 the right mean, a low variance and is never negative. One value per
token; adding up is the caller's business.
"""

from __future__ import annotations

import torch
from torch import Tensor

FAR = 20.0
"""Differences of log-probabilities are cut here before `exp`: where float32 overflows the gradient is NaN,
even if the overflowing branch is not the one taken."""


def k1(policy: Tensor, reference: Tensor) -> Tensor:
    """Unbiased, may be negative."""
    return policy - reference


def k2(policy: Tensor, reference: Tensor) -> Tensor:
    """Half the squared difference."""
    return 0.5 * (policy - reference).square()


def k3(policy: Tensor, reference: Tensor) -> Tensor:
    """Unbiased and never negative; what GRPO adds to its loss."""
    d = (reference - policy).clamp(max=FAR)
    return torch.exp(d) - d - 1.0
