"""What a run has in common with what it goes on from: its settings, as plain JSON beside what it writes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from eva_lightning.faults import UsageError
from eva_lightning.files.atomic import appearing


def settle(
    file: Path, settings: Mapping[str, Any], what: str, remedy: str, *, if_known: Collection[str] = ()
) -> None:
    """Write down the settings of a run, or hold them against those that are there.

    UsageError names what differs: "`what` with temperature 1.0, and now it is 0: `remedy`". Those in
    `if_known` count only where both sides know them.
    """
    if not file.exists():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with appearing(file) as part:
                part.write_text(json.dumps(settings, indent=2) + "\n")
        except OSError as problem:
            why = problem.strerror or problem
            raise UsageError(f"{file}: can not be written ({why}); name another place") from None
        return
    try:
        before = json.loads(file.read_text())
    except ValueError:
        raise UsageError(f"{file}: not JSON; delete it if you know that the settings are the same") from None
    held = {*before, *settings} - {name for name in if_known if name not in before or name not in settings}
    names = [name for name in sorted(held) if before.get(name) != settings.get(name)]
    if names:
        was = " and ".join(f"{name} {before.get(name)!r}" for name in names)
        now = " and ".join(repr(settings.get(name)) for name in names)
        raise UsageError(f"{what} with {was}, and now it is {now}: {remedy}")
