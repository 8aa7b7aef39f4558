"""An optimizer whose state is shared out among the ranks (ZeRO, stage 1).

Each moves the weights it keeps the state of, and sends them to the others. Checkpoints hold the state of all,
whoever wrote them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.optim import Optimizer


class SharedState(ZeroRedundancyOptimizer):
    """torch's, which goes on from a checkpoint without keeping what it read twice."""

    def __init__(self, params: Iterable[Any], optimizer_class: type[Optimizer], **settings: Any) -> None:
        super().__init__(params, optimizer_class=optimizer_class, **settings)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what this rank is to keep.

        torch empties the dictionary it is given, and keeps a copy cast to the type of the weights beside the
        state it works with.
        """
        super().load_state_dict(state_dict | {"state": dict(state_dict["state"])})
        self.state.clear()
