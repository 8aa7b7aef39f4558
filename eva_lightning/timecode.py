"""Seconds and clocks: "03:20", "1:02:03.5", "75", 75.0. Pure functions; clip-relative time only."""

from __future__ import annotations

import math
import re

_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")


def parse_seconds(value: object) -> float:
    """Seconds from a number, a numeric string or an [HH:]MM:SS clock; ValueError names the bad value.

    >>> parse_seconds("03:20"), parse_seconds("1:00:00"), parse_seconds(12), parse_seconds("7.5s")
    (200.0, 3600.0, 12.0, 7.5)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{value!r:.60} is not a time in seconds or [HH:]MM:SS")
    if isinstance(value, str):
        text = value.strip().removesuffix("seconds").removesuffix("s").strip()
        clock = _CLOCK.fullmatch(text)
        try:
            if clock:
                hours, minutes, seconds = map(float, clock.groups(default="0"))
                seconds_only = hours * 3600 + minutes * 60 + seconds
            else:
                seconds_only = float(text)
        except ValueError:
            raise ValueError(f"{value!r:.60} is not a time in seconds or [HH:]MM:SS") from None
    else:
        try:
            seconds_only = float(value)
        except OverflowError:
            seconds_only = math.inf
    if not math.isfinite(seconds_only):
        raise ValueError(f"{value!r:.60} is not a finite time")
    return seconds_only


def clock(seconds: float) -> str:
    """Whole seconds as MM:SS, minutes running past 59 as the released EVA checkpoint was trained to read.

    >>> clock(5.9), clock(3725)
    ('00:05', '62:05')
    """
    whole = int(seconds)
    return f"{whole // 60:02d}:{whole % 60:02d}"
