"""Galleries: how a trajectory is shown by each of Lightning's loggers that can show pictures.

One small class a kind of logger, which says whether a logger is its own. None chooses what is shown, and a
logger that no gallery knows (CSVLogger) shows nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from PIL import Image

from eva_lightning.faults import UsageError
from eva_lightning.reports.trajectory_markdown import markdown
from eva_lightning.reports.trajectory_tables import Table


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """A trajectory as it is shown."""

    tag: str
    """Where it hangs: `trajectories/1` is the one with the lowest reward."""
    step: int
    """Iterations until now."""
    tables: tuple[Table, ...]
    """What was asked and answered; what was written and seen, a row a turn."""
    picture: Image.Image | None
    """The frames it saw under their times; None if it saw none, or none is to be shown."""


class Gallery(ABC):
    """Shows exhibits by one kind of logger; subclass it for another kind, and name it by `class_path`."""

    @abstractmethod
    def knows(self, logger: Logger) -> bool:
        """Whether the logger is of this kind."""

    @abstractmethod
    def show(self, logger: Any, exhibit: Exhibit) -> None:
        """Hand over all of it. Only the first rank is asked to."""


class TensorBoardGallery(Gallery):
    """Tables as Markdown under Text, the picture under Images."""

    def knows(self, logger: Logger) -> bool:
        return isinstance(logger, TensorBoardLogger)

    def show(self, logger: Any, exhibit: Exhibit) -> None:
        board, step = logger.experiment, exhibit.step
        board.add_text(exhibit.tag, markdown(exhibit.tables), global_step=step)
        if exhibit.picture is not None:
            board.add_image(exhibit.tag, np.asarray(exhibit.picture), global_step=step, dataformats="HWC")


class WandbGallery(Gallery):
    """`<tag>/facts` and `<tag>/turns` as tables, `<tag>/frames` as an image."""

    def knows(self, logger: Logger) -> bool:
        return isinstance(logger, WandbLogger)

    def show(self, logger: Any, exhibit: Exhibit) -> None:
        for table in exhibit.tables:
            rows = [list(row) for row in table.rows]
            logger.log_table(f"{exhibit.tag}/{table.name}", list(table.columns), rows, step=exhibit.step)
        if exhibit.picture is not None:
            logger.log_image(f"{exhibit.tag}/frames", [exhibit.picture], step=exhibit.step)


class MLflowGallery(Gallery):
    """Tables as artifacts (`<tag>/000010-facts.json`), the picture as an image of the run, by step."""

    def knows(self, logger: Logger) -> bool:
        return isinstance(logger, MLFlowLogger)

    def show(self, logger: Any, exhibit: Exhibit) -> None:
        if find_spec("pandas") is None:  # a client that came by itself brings none
            raise UsageError(
                "MLflow's tables want pandas, which is not here: pip install 'eva-lightning[mlflow]'"
            )
        client, run = logger.experiment, logger.run_id
        for table in exhibit.tables:
            columns = {name: [row[i] for row in table.rows] for i, name in enumerate(table.columns)}
            client.log_table(run, columns, f"{exhibit.tag}/{exhibit.step:06d}-{table.name}.json")
        if exhibit.picture is not None:
            client.log_image(run, exhibit.picture, key=f"{exhibit.tag}/frames", step=exhibit.step)


GALLERIES: tuple[Gallery, ...] = (TensorBoardGallery(), WandbGallery(), MLflowGallery())
"""Those that every run has."""


def gallery_of(logger: Logger, galleries: Iterable[Gallery]) -> Gallery | None:
    """The first that knows it."""
    return next((gallery for gallery in galleries if gallery.knows(logger)), None)
