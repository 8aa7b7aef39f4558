"""The embedded clips as clips of words: the script that their pictures and sounds were made from, told.

So one world is there twice, as videos and as words, and what is said of either can be held against the other.
"""

from __future__ import annotations

from eva_lightning.agent.worlds.script import ClipScript, ScriptEvent
from eva_lightning.data.synthesis.script import Event, Script


def in_words(script: Script) -> ClipScript:
    """What an embedded clip shows and sounds like, second by second."""
    pieces = [piece for event in script.events for piece in _pieces(event)]
    return ClipScript(
        clip=script.id,
        duration=float(script.duration),
        events=tuple(sorted(pieces, key=lambda piece: piece.start)),
    )


def _pieces(event: Event) -> list[ScriptEvent]:
    """What is shown, and the cue that is heard for a second of it."""
    shown = ScriptEvent(start=float(event.start), end=float(event.end), see=event.see.sentence)
    if event.hear is None:
        return [shown]
    at = float(event.hear.at)
    return [shown, ScriptEvent(start=at, end=at + 1, hear=event.hear.name)]
