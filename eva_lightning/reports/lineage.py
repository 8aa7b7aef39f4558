"""The lineage of a policy is the model it began as and the stages it went through, with what each brought.

It travels with an export (`eva_lightning.json`), so that the next stage's card tells of all before it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from eva_lightning.faults import UsageError
from eva_lightning.files.encoding import FieldError
from eva_lightning.files.row_version import from_row
from eva_lightning.policy.loading import file_of
from eva_lightning.reports.comparison import estimate, measures, read_run
from eva_lightning.reports.estimate import Estimate

FILE = "eva_lightning.json"
"""Where it stands in an export."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of training."""

    name: str
    """SFT, KTO, GRPO or a module of one's own."""
    iterations: int
    """Iterations it made."""
    data: Mapping[str, int] = field(default_factory=dict)
    """Records that it drew from, by file."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What was set otherwise than usual, by option."""
    questions: int = 0
    """Questions of its evaluation; 0 where there was none."""
    measures: Mapping[str, Estimate] = field(default_factory=dict)
    """What the evaluation found, with intervals."""


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Where a policy comes from."""

    base: str = ""
    """The model it began as: its name on the hub, or that of its folder."""
    on_hub: bool = False
    """Whether the base is on the hub."""
    license: str = ""
    """As the hub spells it; empty where nobody said."""
    stages: tuple[Stage, ...] = ()
    """In order."""

    def after(self, stage: Stage) -> Lineage:
        """With one stage more."""
        return replace(self, stages=(*self.stages, stage))


def lineage_of(path: str, revision: str = "main", license: str | None = None) -> Lineage:
    """That of the checkpoint which a stage began with: an export of ours, or any model.

    `license` is what is to be said instead of what its card says.
    """
    folder = Path(path).expanduser()
    known, card = (file_of(path, name, revision) for name in (FILE, "README.md"))
    if known is not None:
        found = _read(known)
    else:
        base = folder.resolve().name if folder.is_dir() else path
        found = Lineage(base=base, on_hub=not folder.is_dir(), license=_license_in(card))
    return found if license is None else replace(found, license=license)


def _read(file: Path) -> Lineage:
    try:
        return from_row(Lineage, json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, FieldError) as problem:
        raise UsageError(
            f"{file}: can not be read ({problem}); delete it, and the card begins anew"
        ) from None


def _license_in(card: Path | None) -> str:
    """What the head of a model card says of it; empty where it says nothing that can be read."""
    if card is None:
        return ""
    begin, _, rest = card.read_text(encoding="utf-8", errors="replace").partition("---\n")
    try:
        head = {} if begin.strip() else yaml.safe_load(rest.partition("\n---")[0])
    except yaml.YAMLError:
        head = {}
    said = head.get("license") if isinstance(head, dict) else None
    return said if isinstance(said, str) else ""


def evaluated(stage: Stage, place: Path, *, named: bool = False) -> Stage:
    """A stage with what its evaluation after its last iteration found, if there is one in the run's folder.

    With `named` the place was given by the user: whatever evaluation is in it counts, and none is an error.
    """
    try:
        run = read_run(place, at=None if named else stage.iterations)
    except UsageError:
        if named:
            raise
        return stage
    found = {name: estimate(run.trajectories, name) for name in measures([run])}
    return replace(
        stage,
        questions=len({one.task.id for one in run.trajectories}),
        measures={name: value for name, value in found.items() if value is not None},
    )
