"""Audits: rules for the arguments of a look.

They object to more frames a second than are worth it, too little for a long window, a window asked again.
Whose call it is, and what becomes of an objection, is decided elsewhere.

The same rules judge a call before it is made (coached_engine.py) and a finished trajectory (filters.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from eva_lightning.agent.dialects.base import Dialect, Parsed
from eva_lightning.agent.tools.frame_select import (
    FrameSelect,
    asked_count,
    asked_range,
    asked_resize,
    named_clip,
    native_size,
)
from eva_lightning.agent.worlds.base import ClipFacts
from eva_lightning.data.selection.density import DensityRules
from eva_lightning.faults import ToolError
from eva_lightning.records import PATCH, Clip, Message, ToolCall, Trajectory
from eva_lightning.video.sampling import snap

AuditCause = Literal["malformed", "dense", "sparse", "dim", "again"]
"""no call that can be run, and no answer | too many frames a second | too few frames of a long window | too
few visual tokens for a long window | a window that was already watched as closely."""


@dataclass(frozen=True, kw_only=True)
class AuditRules:
    """Where the borders are."""

    density: DensityRules = field(default_factory=DensityRules)
    """Frames of a window: too many of a short one, or too few of a long one..."""
    long_tokens: int = 64
    """...which wants at least so many visual tokens, too."""
    again_seconds: float = 1.0
    """Two windows are the same if their begins and ends differ by no more than this. To watch one again
    with more or larger frames is no repetition."""

    def __post_init__(self) -> None:
        if self.again_seconds < 0:
            raise ValueError(f"again_seconds {self.again_seconds:g}: want 0 or more")


@dataclass(frozen=True, kw_only=True)
class Objection:
    """What a rule has against a message."""

    cause: AuditCause
    """Why, in a word."""
    reason: str
    """Why, and what to do instead, in words a teacher can act on."""


@dataclass(frozen=True, kw_only=True)
class AuditedLook:
    """A call of frame_select that can be run."""

    clip: str
    """Id of the clip."""
    start: float
    """First second, not before the clip's begin."""
    end: float
    """Last second, not after the clip's end."""
    count: int
    """Frames asked for; a moment holds one."""
    height: int
    """Their height in pixels."""
    width: int
    """Their width in pixels."""

    @property
    def span(self) -> float:
        return self.end - self.start

    @property
    def visual_tokens(self) -> int:
        return self.count * (self.height // PATCH) * (self.width // PATCH)


class Auditor:
    """Applies the rules to calls of `frame_select`."""

    def __init__(self, rules: AuditRules, dialect: Dialect, describe: Callable[[Clip], ClipFacts]) -> None:
        """
        Args:
            rules: Where the borders are.
            dialect: Reads calls out of messages.
            describe: Says how long and how large a clip is.
        """
        self.rules, self.dialect = rules, dialect
        # a long video takes seconds to open, and may be gone when all is done
        self.describe = cache(describe)

    def object_to(self, text: str, before: Sequence[Message], clips: Sequence[Clip]) -> Objection | None:
        """What is wrong with a message, given the conversation before it; None if nothing is."""
        parsed = self.dialect.parse(text)
        if parsed.answer is not None:
            return None
        malformed = _malformed(parsed)
        if malformed is not None:
            return malformed
        said = [message.text for message in before if message.role == "assistant"]
        earlier = [call for one in said for call in self.dialect.parse(one).calls]
        return next(iter(self._objections(parsed.calls, self._looks(earlier, clips), clips)), None)

    def flaws(self, one: Trajectory) -> list[Objection]:
        """What is wrong with the calls of a finished trajectory, in order."""
        found: list[Objection] = []
        earlier: list[AuditedLook] = []
        for turn in one.turns:
            if turn.observation is not None:
                found += self._objections(turn.calls, earlier, one.task.clips)
                earlier += self._looks(turn.calls, one.task.clips)
        return found

    def _objections(
        self, calls: Sequence[ToolCall], earlier: Sequence[AuditedLook], clips: Sequence[Clip]
    ) -> list[Objection]:
        found: list[Objection] = []
        known = list(earlier)
        for call in calls:
            if call.name != FrameSelect.name:
                continue
            try:
                look = self._look(call, clips)
            except ToolError as mistake:
                found.append(Objection(cause="malformed", reason=str(mistake)))
                continue
            found += [one for one in (_density(look, self.rules), _repeated(look, known, self.rules)) if one]
            known.append(look)
        return found

    def _looks(self, calls: Sequence[ToolCall], clips: Sequence[Clip]) -> list[AuditedLook]:
        """Those of some calls that could be run."""
        looks = []
        for call in calls:
            try:
                looks.append(self._look(call, clips))
            except ToolError:
                continue  # it brought nothing back, so it watched nothing
        return looks

    def _look(self, call: ToolCall, clips: Sequence[Clip]) -> AuditedLook:
        arguments = call.arguments
        clip = named_clip(arguments, clips)
        facts = self.describe(clip)
        start, end = FrameSelect().within(*asked_range(arguments), facts.duration)
        height, width = snap(*native_size(clip, facts), asked_resize(arguments))
        count = asked_count(arguments) if end > start else 1
        return AuditedLook(clip=clip.id, start=start, end=end, count=count, height=height, width=width)


def _malformed(parsed: Parsed) -> Objection | None:
    if parsed.problem is not None:
        return Objection(cause="malformed", reason=parsed.problem)
    if not parsed.calls:
        return Objection(cause="malformed", reason="the message ends neither with a call nor with an answer")
    return None


def _density(look: AuditedLook, rules: AuditRules) -> Objection | None:
    window, density = f"{look.start:g} to {look.end:g} seconds", rules.density
    cause = density.against(look.count, look.span)
    if cause == "dense":
        return Objection(
            cause="dense",
            reason=f"{look.count} frames of {window} are more than {density.frames_per_second:g} a second; "
            f"take {density.most(look.span)} or fewer, or a longer window",
        )
    if cause == "sparse":
        return Objection(
            cause="sparse",
            reason=f"{look.count} frames are too few for {window}; take {density.long_frames} or more, or a "
            "shorter window",
        )
    if look.span > density.long_seconds and look.visual_tokens < rules.long_tokens:
        return Objection(
            cause="dim",
            reason=f"{look.visual_tokens} visual tokens are too few to see anything of {window}; take more "
            "or larger frames",
        )
    return None


def _repeated(look: AuditedLook, earlier: Sequence[AuditedLook], rules: AuditRules) -> Objection | None:
    for known in earlier:
        apart = max(abs(look.start - known.start), abs(look.end - known.end))
        closer = look.count > known.count or look.height > known.height or look.width > known.width
        if look.clip == known.clip and apart <= rules.again_seconds and not closer:
            return Objection(
                cause="again",
                reason=f"{look.start:g} to {look.end:g} seconds were already watched as closely; look "
                "elsewhere, look closer, or answer",
            )
    return None
