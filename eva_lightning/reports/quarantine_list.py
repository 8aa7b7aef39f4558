"""The list of videos that a run leaves out: written as they are met, told at its end.

When a video is left out is the quarantine's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eva_lightning.files.store import Appender, read, repair
from eva_lightning.video.quarantine import LeftOut, Quarantine

LISTED = "quarantine.jsonl"
"""Its name in the folder of a run."""

TOLD = 20
"""How many are told one by one."""


def keep(quarantine: Quarantine, file: Path) -> None:
    """From now on write a row of `file` for every video that is left out."""

    def add(row: LeftOut) -> None:
        with Appender(file) as rows:
            rows.append(row)

    quarantine.on_entry = add


def kept(file: Path) -> list[LeftOut]:
    """What runs before have written, one row a video; nothing where there is no file."""
    if not file.exists():
        return []
    repair(file)
    return list({row.path: row for row in read(file, LeftOut)}.values())


def told(rows: Sequence[LeftOut], file: Path) -> str:
    """What is said at the end of a run; nothing if none is left out.

    >>> row = LeftOut(path="a.mp4", reason="is torn", failures=3, modified_ns=0, size=0)
    >>> print(told([row], Path("runs/quarantine.jsonl")))
    1 video is left out, as runs/quarantine.jsonl says: replace it, and it is tried again
      a.mp4: is torn
    """
    if not rows:
        return ""
    one = len(rows) == 1
    head = f"{'1 video is' if one else f'{len(rows)} videos are'} left out, as {file} says: "
    head += f"replace {'it, and it is' if one else 'them, and they are'} tried again"
    lines = [f"  {row.path}: {row.reason}" for row in sorted(rows, key=lambda row: row.path)[:TOLD]]
    more = [f"  and {len(rows) - TOLD} more"] if len(rows) > TOLD else []
    return "\n".join([head, *lines, *more])
