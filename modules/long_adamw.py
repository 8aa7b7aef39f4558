"""AdamW for weights of 16 bits that moves them as if they had 32.

A step of 1e-6 is less than half a unit in the last place of most bfloat16 weights: added to them it is gone.
So the lower half of each weight, which bfloat16 cuts off, is kept beside the running means: together they are
a float32 number to the last bit, for 2 bytes instead of another 4. Weights of 32 bits have no such half.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

CHUNK = 2**24
"""Weights that are moved at once, which bounds the memory this takes besides."""


class LongAdamW(Optimizer):
    """Decoupled weight decay, running means in float32, weights in bfloat16 or float32."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every weight that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)
        return loss

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter, dtype=torch.float32)
            state["exp_avg_sq"] = torch.zeros_like(parameter, dtype=torch.float32)
            if parameter.dtype == torch.bfloat16:
                # Bits, of a type that ranks can send each other: none of them sends int16.
                state["lower"] = torch.zeros_like(parameter, dtype=torch.bfloat16)
        state["step"] += 1
        tensors = [parameter, parameter.grad, state["exp_avg"], state["exp_avg_sq"]]
        tensors += [state["lower"]] if "lower" in state else []
        chunks = [torch.split(_local(tensor).view(-1), CHUNK) for tensor in tensors]
        for weights, gradient, mean, square, *lower in zip(*chunks, strict=True):
            exact = joined(weights, lower[0]) if lower else weights
            _adamw(exact, gradient.float(), mean, square, state["step"], group)
            if lower:
                upper, rest = halves(exact)
                weights.copy_(upper)
                lower[0].view(torch.int16).copy_(rest)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a checkpoint ends. The base class would cast the state to the type of the weights."""
        super().load_state_dict(state_dict | {"state": {}})
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        keys = [key for group in state_dict["param_groups"] for key in group["params"]]
        for parameter, key in zip(parameters, keys, strict=True):  # numbers, or names of weights
            if key not in state_dict["state"]:
                continue
            state = self.state[parameter] = {
                name: value.to(parameter.device) if isinstance(value, Tensor) else value
                for name, value in state_dict["state"][key].items()
            }
            if "lower" in state:  # as older checkpoints have it, or as it is
                state["lower"] = state["lower"].view(torch.bfloat16)


def _local(tensor: Any) -> Tensor:
    """Of a tensor that is cut over ranks, what is here: the state has the layout of the weights."""
    here: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return here


def _adamw(
    weights: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, step: int, group: dict[str, Any]
) -> None:
    """One step of AdamW (arXiv 1711.05101), in place."""
    first, second = group["betas"]
    mean.lerp_(gradient, 1 - first)
    square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
    width = square.sqrt().div_(math.sqrt(1 - second**step)).add_(group["eps"])
    weights.mul_(1 - group["lr"] * group["weight_decay"])
    weights.addcdiv_(mean, width, value=-group["lr"] / (1 - first**step))


def halves(exact: Tensor) -> tuple[Tensor, Tensor]:
    """A float32 number as the nearest bfloat16 and what is to be added to its bits to have it back.

    >>> upper, lower = halves(torch.tensor([1.0, 1.0 + 2**-20, 1.0 - 2**-20]))
    >>> upper.tolist(), lower.tolist()  # a unit of a float32 is 2**-23 above 1 and 2**-24 below
    ([1.0, 1.0, 1.0], [0, 8, -16])
    >>> joined(upper, lower).tolist() == [1.0, 1.0 + 2**-20, 1.0 - 2**-20]
    True
    """
    bits = exact.view(torch.int32)
    upper = (bits + 0x8000) >> 16
    lower = bits - (upper << 16)
    return upper.to(torch.int16).view(torch.bfloat16), lower.to(torch.int16)


def joined(upper: Tensor, lower: Tensor) -> Tensor:
    """What `halves` took apart."""
    bits = (upper.view(torch.int16).to(torch.int32) << 16) + lower.view(torch.int16).to(torch.int32)
    return bits.view(torch.float32)
