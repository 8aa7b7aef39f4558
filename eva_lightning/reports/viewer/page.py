"""The viewer as one HTML file that needs no network and in which no text can act.

Whatever a model, a tool or a file name says reaches the page as JSON in data blocks, never as HTML: `<`, `>`
and `&` are written as escapes, and all else that is not ASCII, too. The script only ever makes text nodes;
the Content-Security-Policy lets run that script alone, by its hash, and forbids every request.

The list's data stands before the script and everything else behind it, so that the list is there before the
browser has read the rest.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from eva_lightning.faults import UsageError
from eva_lightning.reports.viewer.thumbnails import Album

SCRIPTS = ("nodes.js", "list.js", "trajectory.js", "timeline.js", "page.js")
"""What the page's script is made of; the others stand on the first one, and the last one begins."""

_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}


def build_page(
    names: list[str],
    rows: list[Mapping[str, Any]],
    details: Iterable[Mapping[str, Any]],
    album: Album,
    notes: list[str],
) -> str:
    """The whole page.

    Args:
        names: What the run is called, and the other one if there are two.
        rows: What the list shows, see `rows.py`.
        details: What is shown of each row when it is opened, see `detail.py`.
        album: Pictures of the clips; read after `details`, the making of which fills it.
        notes: What a reader must know of the page as a whole.
    """
    opened = [data_block(f"trajectory-{number}", one) for number, one in enumerate(details, start=1)]
    clips = [
        data_block(f"clip-{one.number}", {"problem": one.problem, "pictures": one.pictures})
        for one in album.shelves
    ]
    style, script = part("page.css"), one_script([part(name) for name in SCRIPTS])
    content = {
        "policy": content_policy(style, script, "img-src data:"),
        "style": style,
        "list": data_block("list", {"names": names, "rows": rows, "notes": [*notes, *album.notes]}),
        "script": script,
        "details": "\n".join([*opened, *clips]),
    }
    return filled(part("page.html"), content)


def filled(template: str, content: Mapping[str, str]) -> str:
    """The template with its places filled in one pass: what was filled in is not searched for places again.

    >>> filled("<p>{{a}}</p>", {"a": "{{a}}"})
    '<p>{{a}}</p>'
    """
    return re.sub(r"\{\{(\w+)\}\}", lambda place: content[place[1]], template)


def one_script(parts: Iterable[str]) -> str:
    """Scripts in one function, so that none of their names is the window's."""
    scripts = "\n".join(parts)
    return f'"use strict";\n(() => {{\n{scripts}}})();\n'


def data_block(name: str, value: Any) -> str:
    r"""JSON that a browser keeps and never runs.

    >>> data_block("a", "</script>")
    '<script type="application/json" id="a">"\\u003c/script\\u003e"</script>'
    """
    try:
        text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    except ValueError:
        raise UsageError(f"{name}: one of its numbers is infinite or not a number: mend that row") from None
    return f'<script type="application/json" id="{name}">{text.translate(_ESCAPES)}</script>'


def content_policy(style: str, script: str, *allowed: str) -> str:
    """Nothing but our own style and script, and what is allowed beside them."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_fingerprint(script)}'",
            f"style-src '{_fingerprint(style)}'",
            *allowed,
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        )
    )


def _fingerprint(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def part(name: str) -> str:
    """One of the files that lie beside this one."""
    return (files("eva_lightning.reports.viewer") / name).read_text(encoding="utf-8")
