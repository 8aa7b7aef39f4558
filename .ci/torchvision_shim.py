"""Lets a torchvision that was built for CUDA be imported beside a torch that was not.

vLLM needs torchvision, and package indexes offer its CUDA build only. That build's compiled half can not be
loaded without CUDA, and torchvision copes; but it also describes two operators of that half to torch without
looking whether they are there. Declared first, they are: nobody here calls them.

`make` copies this file beside torchvision, with a `.pth` line that imports it at every start, because whoever
imports transformers imports torchvision. It imports nothing of this project, and torch only when torchvision
is asked for. Where torch has CUDA it does nothing.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any


class _BeforeTorchvision(importlib.abc.MetaPathFinder):
    """Finds nothing; it only wants to know when torchvision is about to be imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            declare_missing_operators()
        return None


def declare_missing_operators() -> None:
    """Declare the two operators, if torch is without CUDA."""
    import torch

    if torch.version.cuda is not None:
        return
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    sys.modules[__name__].__dict__["_kept"] = library  # the operators live as long as it does


if "torchvision" not in sys.modules:
    sys.meta_path.insert(0, _BeforeTorchvision())
