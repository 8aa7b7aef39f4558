"""The sounds of a script as waveforms: silence, and short tones at known seconds.

Cues differ in pitch, number and order of their notes, each within 0.6 seconds, so that a spectrum tells them
apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eva_lightning.data.synthesis.script import CueName, Script

RATE = 16000
"""Frames of sound a second."""

LOW, MIDDLE, HIGH = 440.0, 880.0, 1760.0
"""Pitches in hertz."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """One tone of a cue."""

    begin: float
    """Seconds after the begin of the cue."""
    length: float
    """Seconds."""
    pitch: float
    """Hertz."""


NOTES: dict[CueName, tuple[Note, ...]] = {
    "low beep": (Note(begin=0.0, length=0.6, pitch=LOW),),
    "high beep": (Note(begin=0.0, length=0.6, pitch=HIGH),),
    "double beep": (Note(begin=0.0, length=0.2, pitch=MIDDLE), Note(begin=0.4, length=0.2, pitch=MIDDLE)),
    "rising tone": (Note(begin=0.0, length=0.3, pitch=LOW), Note(begin=0.3, length=0.3, pitch=HIGH)),
    "falling tone": (Note(begin=0.0, length=0.3, pitch=HIGH), Note(begin=0.3, length=0.3, pitch=LOW)),
}
"""What each cue is made of."""


def waveform(script: Script) -> NDArray[np.float32]:
    """The whole sound track, mono, between -1 and 1."""
    track = np.zeros(script.duration * RATE, np.float32)
    for event in script.events:
        if event.hear is None:
            continue
        for note in NOTES[event.hear.name]:
            begin = round((event.hear.at + note.begin) * RATE)
            tone = _tone(note)
            track[begin : begin + len(tone)] += tone
    return track


def _tone(note: Note) -> NDArray[np.float32]:
    """A sine that swells and fades within 10 ms, so that it does not click."""
    time = np.arange(round(note.length * RATE)) / RATE
    swell = np.clip(np.minimum(time, note.length - time) / 0.01, 0, 1)
    return np.asarray(0.5 * swell * np.sin(2 * np.pi * note.pitch * time), np.float32)
