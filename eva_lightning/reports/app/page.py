"""The app's page: the viewer's way of drawing a trajectory, around a place to drop a video and a question.

As in the viewer no text of a model, a tool or a file can act: the Content-Security-Policy lets our one script
run, and lets it talk to the address that it came from and to nobody else.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from eva_lightning.reports.viewer import page as viewer

SCRIPTS = ("nodes.js", "trajectory.js", "timeline.js")
"""What is taken from the viewer; our own script begins."""


def build_page(facts: dict[str, Any]) -> str:
    """The whole page.

    Args:
        facts: `names` of who answers, `most` bytes of a video, and the number of the latest question (`run`)
            if there is one.
    """
    style = viewer.part("page.css") + _part("app.css")
    script = viewer.one_script([*(viewer.part(name) for name in SCRIPTS), _part("app.js")])
    allowed = ("img-src data:", "media-src blob:", "connect-src 'self'")
    content = {
        "policy": viewer.content_policy(style, script, *allowed),
        "style": style,
        "facts": viewer.data_block("facts", facts),
        "script": script,
    }
    return viewer.filled(_part("app.html"), content)


def _part(name: str) -> str:
    return (files("eva_lightning.reports.app") / name).read_text(encoding="utf-8")
