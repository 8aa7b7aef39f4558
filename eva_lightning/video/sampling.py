"""Sampling: which seconds to fetch and how large. Arithmetic only, decided before anything is decoded.

The rules are those of EVA's released evaluator: times are spread from start to just before end, a side is a
multiple of 28 (or of what a visual token of another model covers), and a call over its token budget is first
capped at 720p and then shrunk in number and size together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

from eva_lightning.records import PATCH, FrameRef, Part


@dataclass(frozen=True, kw_only=True)
class FramePlan:
    """What one call will fetch."""

    times: tuple[float, ...]
    """Seconds, clip-relative."""
    height: int
    """Pixels, a multiple of the square."""
    width: int
    """Pixels, a multiple of the square."""
    tokens: int
    """What they cost, labels included."""
    frames_cut: int = 0
    """Frames asked for but left out by a budget."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What one call may cost."""

    tokens: int = 12_000
    """Visual tokens a call, the text tokens of the frames' labels included."""
    short_side: int = 720
    """Pixels of the shorter side to which an expensive call is capped first."""
    label_tokens: int = 16
    """Text tokens that a frame costs beside its pixels: "Frame 7 at [01:23]: " and the two vision marks."""
    strict: bool = True
    """Whether frames that shrinking left over the budget are cut; the released evaluator shows them."""

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.short_side < 1 or self.label_tokens < 0:
            raise ValueError(
                f"budget: tokens is {self.tokens}, short_side {self.short_side}, label_tokens "
                f"{self.label_tokens}: want 1 or more, 1 or more, and 0 or more"
            )


def spread(start: float, end: float, count: int) -> tuple[float, ...]:
    """`count` times from start to just before end; one time is the middle.

    >>> spread(10.0, 20.0, 1), [round(t, 2) for t in spread(0.0, 9.0, 4)]
    ((15.0,), [0.0, 3.0, 6.0, 9.0])
    """
    if count == 1:
        return ((start + end) / 2,)
    last = end - min(1e-3, (end - start) / (4 * count))
    return tuple(start + (last - start) * i / (count - 1) for i in range(count))


def snap(height: int, width: int, resize: float, square: int = PATCH) -> tuple[int, int]:
    """The size of a frame scaled by `resize`, each side rounded to a multiple of the square, at least one.

    >>> snap(720, 1280, 0.5), snap(720, 1280, 0.001), snap(720, 1280, 0.5, square=32)
    ((364, 644), (28, 28), (352, 640))
    """
    return max(1, round(height * resize / square)) * square, max(1, round(width * resize / square)) * square


def cut_to(parts: Sequence[Part], square: int | None) -> tuple[Part, ...]:
    """The parts of a message, frames of other squares at the nearest size that is made of these.

    None leaves all as they are.

    >>> [one.height for one in cut_to(["a car", FrameRef(clip="v", time=0.0, height=84, width=84)], 32)[1:]]
    [96]
    """
    return tuple(
        _cut_to(part, square or part.square) if isinstance(part, FrameRef) else part for part in parts
    )


def _cut_to(frame: FrameRef, square: int) -> FrameRef:
    if frame.square == square:
        return frame
    height, width = snap(frame.height, frame.width, 1.0, square)
    return replace(frame, height=height, width=width, square=square)


def resize_within(height: int, width: int, tokens: int | None, square: int = PATCH) -> float:
    """By how much a frame must be scaled, at most 1, so that it takes no more visual tokens than these.

    >>> resize_within(560, 560, 100), resize_within(560, 560, None)
    (0.5, 1.0)
    """
    resize = 1.0
    size = snap(height, width, resize, square)
    while tokens is not None and size[0] * size[1] > tokens * square**2 and size != (square, square):
        resize = min(resize * 0.98, sqrt(tokens * square**2 / (height * width)))
        size = snap(height, width, resize, square)
    return resize


def fitted(height: int, width: int, tokens: int | None) -> tuple[int, int]:
    """A size of whole visual tokens near an image's own, shrunk where it would take more than `tokens`.

    >>> fitted(100, 200, None), fitted(2800, 2800, 100)
    ((112, 196), (280, 280))
    """
    return snap(height, width, resize_within(height, width, tokens))


def plan(
    start: float,
    end: float,
    count: int,
    resize: float,
    *,
    height: int,
    width: int,
    budget: Budget,
    room: int,
    square: int = PATCH,
) -> FramePlan:
    """Fit a request for `count` frames of a clip into the call's budget and the room that is left.

    The clip is `height` x `width`, and a visual token covers `square` x `square` pixels.

    Over budget: cap the shorter side, then scale count and resize by r = (budget / estimate) ^ (1/3), which
    brings the tokens down by about r ^ 3. What still does not fit is cut at whole frames, so the result never
    exceeds either (the room alone, where the budget is not strict).
    """
    asked, allowed = count, max(0, min(budget.tokens, room) if budget.strict else room)

    def cost(count: int, resize: float) -> int:
        return count * _frame_cost(*snap(height, width, resize, square), square, budget)

    if cost(count, resize) > budget.tokens:
        resize = min(resize, 1.0, budget.short_side / min(height, width))
        estimate = cost(count, resize)
        if estimate > budget.tokens:
            r = (budget.tokens / estimate) ** (1 / 3)
            count, resize = max(1, int(count * r)), resize * r
    size = snap(height, width, resize, square)
    each = _frame_cost(*size, square, budget)
    count = min(count, allowed // each)
    times = spread(start, end, count) if count else ()
    return FramePlan(
        times=times, height=size[0], width=size[1], tokens=count * each, frames_cut=asked - count
    )


def _frame_cost(height: int, width: int, square: int, budget: Budget) -> int:
    return (height // square) * (width // square) + budget.label_tokens
