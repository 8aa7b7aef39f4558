"""Row forms: which one a row has, and a row of any form as a trajectory.

Counts what happened on the way; files and columns of each form are others' business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from eva_lightning.data.exchange import sharegpt, trl
from eva_lightning.data.exchange.columns import from_columns, is_columns
from eva_lightning.data.exchange.conversation import Conversation
from eva_lightning.data.exchange.imported import Reader
from eva_lightning.data.exchange.lossless import conversation_of, trajectory_of
from eva_lightning.data.exchange.pictures import PictureFolder
from eva_lightning.files.encoding import FieldError
from eva_lightning.files.row_version import from_row
from eva_lightning.files.store import located, portable
from eva_lightning.records import Trajectory

Form = Literal["trajectories", "parquet", "sharegpt", "trl", "trl-kto", "tasks"]
OURS: tuple[Form, ...] = ("trajectories", "parquet")
"""Forms that hold trajectories as they are."""


@dataclass(kw_only=True)
class Inlet:
    """Rows of any form as trajectories."""

    reader: Reader
    """Reads rows of others."""
    root: str
    """Folder from which the clips of our own rows count."""
    source: str
    """Source of the tasks of rows of others."""
    counts: Counter[str] = field(default_factory=Counter)
    """What happened to how many rows."""

    def trajectory(self, row: Mapping[str, Any], number: int) -> Trajectory:
        """The trajectory of a row; FieldError says what can not be read."""
        if is_columns(row):
            return located(from_columns(Trajectory, row), self.root)
        if isinstance(row.get("task"), dict) and "clips" in row["task"]:
            return located(from_row(Trajectory, dict(row)), self.root)
        conversation = self._conversation(row)
        if conversation.extra is not None:
            trajectory, edited = trajectory_of(conversation, self.reader.dialect)
            self.counts["edited" if edited else "whole"] += 1
            return located(trajectory, self.root)
        trajectory = self.reader.trajectory(conversation, self.source, number)
        self._count(conversation, trajectory)
        return trajectory

    def _conversation(self, row: Mapping[str, Any]) -> Conversation:
        if "conversations" in row:
            return sharegpt.from_row(row)
        if "messages" in row or ("prompt" in row and "completion" in row):
            return trl.from_row(row)
        raise FieldError(
            f"row: has columns {', '.join(map(str, row))}; want those of a trajectory, `conversations`, "
            "`messages`, or `prompt` and `completion`"
        )

    def _count(self, conversation: Conversation, trajectory: Trajectory) -> None:
        self.counts["foreign"] += 1
        later = [one.role for one in conversation.said[conversation.begin :]]
        self.counts["user turns"] += "user" in later
        last = trajectory.turns[-1].text
        untagged = trajectory.stop == "answered" and self.reader.dialect.parse(last).answer is None
        self.counts["untagged"] += untagged


@dataclass(kw_only=True)
class Outlet:
    """Trajectories as rows of one form."""

    form: Form
    """Whose rows."""
    reader: Reader
    """Its dialect says what need not be kept beside the words."""
    root: str
    """Folder from which clips and images count, if they lie in it."""
    pictures: PictureFolder | None
    """Where the frames are written; None writes none."""
    counts: Counter[str] = field(default_factory=Counter)
    """What is to be known of how many rows."""

    def row(self, trajectory: Trajectory) -> Any:
        """The row of a trajectory; its clips are located."""
        moved = portable(trajectory, self.root)
        if self.form in OURS:
            return moved
        files = None if self.pictures is None else self.pictures.save(trajectory, self.root)
        conversation = conversation_of(moved, self.reader.dialect, files)
        self.counts["frames"] += len(trajectory.frames)
        self.counts["marked"] += conversation.mark is not None
        self.counts["unfit"] += not conversation.trains_elsewhere
        self.counts["unmarked"] += conversation.mark is None
        if self.form == "sharegpt":
            return sharegpt.to_row(conversation)
        return trl.to_kto_row(conversation) if self.form == "trl-kto" else trl.to_row(conversation)
