"""The records that every other file passes around: what was asked, what was seen, what was written.

No torch, no pixels, no behaviour beyond checking oneself and deriving values. Frames are *references* (which
clip, which second, how large): a trajectory of 60 frames is a few kilobytes, and the pixels are read again
when needed. Wall-clock times are not kept here either, so that replaying a seed gives the same record byte
for byte.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
AnswerKind = Literal[
    "choice", "multi", "order", "interval", "text", "transcript", "number", "rounded", "relative", "mra"
]
TEXTS: tuple[AnswerKind, ...] = ("text", "transcript")
"""Kinds whose value is words: compared by ROUGE, or word for word (1 - word error rate)."""
NUMBERS: tuple[AnswerKind, ...] = ("number", "rounded", "relative", "mra")
"""Kinds whose value is a number: exact; 1 to the first decimal and 0.5 to the integer; 1 - relative error;
mean relative accuracy, as VSI-Bench defines it."""
StopReason = Literal["answered", "turn_limit", "turn_cut", "token_limit", "no_action", "fault"]

PATCH = 28
"""Side in pixels of the square that one visual token covers: 14-pixel patches, merged 2 x 2."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One video of a task. Time inside a clip always counts from the clip's begin, in seconds."""

    id: str
    """Name of the clip, unique within its task."""
    path: str = ""
    """Video file; empty for a clip that exists as a script only."""
    begin: float | None = None
    """Second of the file at which the clip begins; None is the file's begin."""
    end: float | None = None
    """Second of the file at which the clip ends; None is the file's end."""

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("a clip needs an id")
        begin = self.begin or 0.0
        if begin < 0 or (self.end is not None and self.end <= begin):
            raise ValueError(
                f"clip {self.id!r} has begin {self.begin} and end {self.end}: want 0 <= begin < end"
            )


Interval = tuple[float, float]
"""First and last second of a range, clip-relative."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A gold answer: how it is compared (kind) and what it is (value)."""

    kind: AnswerKind
    """choice, multi and order hold option letters; interval one or several ranges of clip-relative seconds;
    TEXTS words; NUMBERS a number."""
    value: str | float | tuple[str, ...] | tuple[float, ...] | tuple[Interval, ...]
    """"B" | ("A", "C") | ("C", "A", "B") | (12.0, 15.5) | ((1.0, 2.0), (5.0, 7.0)) | "a red circle" | 3.0"""
    grounds: tuple[Interval, ...] = ()
    """Where the answer is to be seen, in clip-relative seconds, if that is to be said with it (grounded
    questions); empty: the answer alone is asked for."""

    def __post_init__(self) -> None:
        if not self._sound():
            raise ValueError(f"{self.value!r} is no value for an answer of kind {self.kind!r}")
        if self.grounds and (self.kind == "interval" or not all(map(_runs_forward, self.grounds))):
            raise ValueError(
                f"grounds {self.grounds!r} of a {self.kind!r}: want [[start, end], ...] of another"
            )

    def _sound(self) -> bool:
        value, kind = self.value, self.kind
        several = value if isinstance(value, tuple) else ()
        if kind == "choice":
            return isinstance(value, str) and len(value) == 1 and value.isascii() and value.isupper()
        if kind in ("multi", "order"):
            return bool(several) and all(isinstance(one, str) and one for one in several)
        if kind == "interval":
            return bool(several) and (_runs_forward(several) or all(map(_runs_forward, several)))
        if kind in TEXTS:
            return isinstance(value, str) and bool(value.strip())
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """The ranges of seconds that are to be named: those of an interval, or the grounds of another."""
        if self.kind != "interval":
            return self.grounds
        value: Any = self.value
        ranges = (value,) if _runs_forward(value) else value
        return tuple((float(start), float(end)) for start, end in ranges)


def _runs_forward(value: Any) -> bool:
    """Whether it is a range of seconds that has a length."""
    pair = isinstance(value, tuple) and len(value) == 2
    return pair and all(isinstance(one, (int, float)) for one in value) and bool(value[0] < value[1])


def letters(count: int) -> tuple[str, ...]:
    """The letters of so many options.

    >>> letters(3)
    ('A', 'B', 'C')
    """
    return tuple(chr(ord("A") + i) for i in range(count))


@dataclass(frozen=True, kw_only=True)
class Span:
    """A range of seconds of one clip: what a call looked at, what a task's evidence is."""

    clip: str
    """Id of the clip."""
    start: float
    """First second, clip-relative."""
    end: float
    """Last second, clip-relative; equal to the first for a moment."""

    def __post_init__(self) -> None:
        if not self.start <= self.end:
            raise ValueError(f"a span of {self.clip!r} from {self.start} to {self.end} s runs backwards")

    def meets(self, other: Span) -> bool:
        """Whether they share a second of one clip."""
        return self.clip == other.clip and self.start <= other.end and other.start <= self.end

    def __str__(self) -> str:
        return f"{self.start:g} to {self.end:g} s"


@dataclass(frozen=True, kw_only=True)
class Task:
    """One question about one or several clips. The gold answer is for rewards; a World never sees it."""

    id: str
    """Unique name; seeds and results are keyed by it."""
    source: str = ""
    """Data set or question family it came from; metrics are reported per source."""
    clips: tuple[Clip, ...]
    """The videos, in the order in which the question names them."""
    question: str
    """The question as the agent reads it, without the options."""
    options: tuple[str, ...] = ()
    """Texts of the options A, B, C...; empty for an open question."""
    wording: str = ""
    """The question exactly as a data set words it, options and instructions included; empty puts it together
    from question and options."""
    answer: Answer | None = None
    """The gold answer; None where it is not known."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Anything else as plain JSON, for example `evidence`: [[start, end], ...] in clip-relative seconds, or
    [[clip id, start, end], ...] where there are several clips."""

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("a task needs an id")
        if not self.question.strip():
            raise ValueError(f"task {self.id!r} has an empty question")
        if len({clip.id for clip in self.clips}) != len(self.clips) or not self.clips:
            raise ValueError(f"task {self.id!r} needs one or more clips with different ids")
        if len(self.options) > 26:
            raise ValueError(f"task {self.id!r} has {len(self.options)} options; there are 26 letters")
        if self.options and self.answer is not None and self.answer.kind in ("choice", "multi", "order"):
            value = self.answer.value
            named = value if isinstance(value, tuple) else (value,)
            unknown = [v for v in named if v not in self.letters]
            if unknown:
                raise ValueError(
                    f"task {self.id!r} has answer {unknown[0]!r} but options {', '.join(self.letters)}"
                )

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters of the options: ("A", "B", ...)."""
        return letters(len(self.options))

    @property
    def evidence(self) -> tuple[Span, ...]:
        """Where the answer can be seen or heard, if the data set says so."""
        return tuple(self._span(*piece) for piece in self.extra.get("evidence", ()))

    def _span(self, *piece: Any) -> Span:
        *named, start, end = piece
        if len(named) != 1 and (named or len(self.clips) > 1):
            raise ValueError(f"task {self.id!r} has several clips: want evidence as [clip id, start, end]")
        (clip,) = named or (self.clips[0].id,)
        return Span(clip=clip, start=float(start), end=float(end))

    @property
    def text(self) -> str:
        """The question with its options, one a line: what the user turn says."""
        if self.wording:
            return self.wording
        return "\n".join(
            [self.question, *(f"{x}. {o}" for x, o in zip(self.letters, self.options, strict=True))]
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameRef:
    """A frame that was shown: enough to read the same pixels again."""

    clip: str
    """Id of the clip."""
    time: float
    """True time of the frame, in seconds from the clip's begin, rounded to the microsecond."""
    height: int
    """Height as shown, in pixels; a multiple of 28."""
    width: int
    """Width as shown, in pixels; a multiple of 28."""
    proxy: str = ""
    """Name of the smaller copy of the video that it was read from; empty for the video itself."""

    def __post_init__(self) -> None:
        if self.height % PATCH or self.width % PATCH or self.height <= 0 or self.width <= 0:
            raise ValueError(f"a frame of {self.width}x{self.height} is not made of {PATCH}-pixel squares")

    @property
    def visual_tokens(self) -> int:
        return (self.height // PATCH) * (self.width // PATCH)

    @property
    def moment(self) -> Span:
        """The second that it shows."""
        return Span(clip=self.clip, start=self.time, end=self.time)


Part = str | FrameRef
"""A piece of a message: text, or a frame."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message of the conversation, as text and frames."""

    role: Role
    """Who speaks."""
    parts: tuple[Part, ...]
    """Text and frames in reading order."""

    @property
    def text(self) -> str:
        """The text alone, frames left out."""
        return "".join(part for part in self.parts if isinstance(part, str))

    @property
    def frames(self) -> tuple[FrameRef, ...]:
        return tuple(part for part in self.parts if isinstance(part, FrameRef))


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """One call as the model wrote it."""

    name: str
    """Name of the tool."""
    arguments: Mapping[str, Any]
    """Parsed arguments, unchecked: the tool checks them."""
    text: str
    """Exactly the characters that were parsed."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What the world answered to the calls of one turn."""

    parts: tuple[Part, ...]
    """Text and frames in reading order, as the dialect lays them out."""
    error: str | None = None
    """What was wrong with the calls, in words the model read; None if every call worked."""
    frames_cut: int = 0
    """Frames that were asked for but not fetched, because a token budget was full."""
    spans: tuple[Span, ...] = ()
    """What the calls looked at or listened to, in order, as far as it lies inside the clips."""
    worked: int | None = None
    """Calls of the turn that were carried out; None where nobody counted."""
    elsewhere: int = 0
    """Visual tokens that another model read for them, and that never enter this conversation."""

    @property
    def perceived(self) -> tuple[Span, ...]:
        """The moments that were shown; where there are no frames, the ranges that were heard or told."""
        return tuple(frame.moment for frame in self.frames) or self.spans

    @property
    def frames(self) -> tuple[FrameRef, ...]:
        return tuple(part for part in self.parts if isinstance(part, FrameRef))

    @property
    def visual_tokens(self) -> int:
        return sum(frame.visual_tokens for frame in self.frames)


@dataclass(kw_only=True)
class Turn:
    """One message of the model and what the world answered."""

    text: str
    """What was written, special tokens left out."""
    token_ids: list[int] = field(default_factory=list)
    """Exactly the ids that were sampled, the end-of-turn token included; empty for an engine that returns
    text only."""
    logprobs: list[float] = field(default_factory=list)
    """The engine's log-probability of each sampled id, rounded to 6 decimals."""
    weight_version: int = 0
    """Version of the weights that wrote it; the older one if they changed meanwhile."""
    cut: bool = False
    """True if the token limit ended the turn, not the model."""
    calls: tuple[ToolCall, ...] = ()
    """The calls found in the text."""
    observation: Observation | None = None
    """The answer to the calls, or an error the model may read; None on the last turn."""
    observation_ids: list[int] = field(default_factory=list)
    """Ids between this turn and the next one; one image token per frame (the collapsed track)."""

    def __post_init__(self) -> None:
        if len(self.logprobs) != len(self.token_ids):
            raise ValueError(f"a turn has {len(self.token_ids)} token ids but {len(self.logprobs)} log-probs")


@dataclass(frozen=True, kw_only=True)
class Score:
    """What one reward says of one trajectory."""

    value: float
    """The score before weighting."""
    weight: float = 1.0
    """Its factor in the total reward."""
    reason: str = ""
    """Why, in words a person can check."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"a score of {self.value} ({self.reason or 'no reason given'})")


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Where the tokens of a trajectory went."""

    prompt: int
    """Text of the opening messages."""
    written: int
    """Tokens the model sampled."""
    tool: int
    """Text around the frames: labels, errors, chat scaffolding."""
    visual: int
    """Tokens of the frames themselves."""

    @property
    def total(self) -> int:
        return self.prompt + self.written + self.tool + self.visual


@dataclass(kw_only=True)
class Trajectory:
    """One attempt at a task, from the opening to the answer: the record that all three stages train on.

    SFT reads it as a demonstration, KTO by its `desirable` mark, GRPO by its `advantage`. The loss is on
    `turn.token_ids` and nowhere else.
    """

    task: Task
    """The question, its clips and its gold answer."""
    prompt: tuple[Message, ...]
    """The opening messages."""
    prompt_ids: list[int] = field(default_factory=list)
    """Their token ids, one image token per frame; empty for an engine that returns text only."""
    turns: list[Turn] = field(default_factory=list)
    """What was written and observed, in order."""
    stop: StopReason | None = None
    """Why it ended; None while it is running."""
    answer: str | None = None
    """The final answer as the model wrote it."""
    faults: list[str] = field(default_factory=list)
    """Infrastructure failures met on the way. A trajectory that stopped by `fault` is never scored."""
    scores: dict[str, Score] = field(default_factory=dict)
    """Rewards by name."""
    advantage: float | None = None
    """How much better than its group (GRPO)."""
    desirable: bool | None = None
    """Good or bad, for KTO."""
    replica: int = 0
    """Which of the attempts at this task it is."""
    seed: int = 0
    """The dice: the same seed, policy and batch replay it byte for byte."""
    hint: str = ""
    """How a teacher was briefed while it wrote this: format, experience, workflow or reflection. The briefing
    itself is in none of the messages. Empty where there was none."""

    @property
    def reward(self) -> float:
        return sum(score.value * score.weight for score in self.scores.values())

    @property
    def frames(self) -> tuple[FrameRef, ...]:
        """Every frame shown, in order."""
        opening = tuple(frame for message in self.prompt for frame in message.frames)
        return opening + tuple(f for turn in self.turns if turn.observation for f in turn.observation.frames)

    @property
    def visual_tokens(self) -> int:
        return sum(frame.visual_tokens for frame in self.frames)

    @property
    def elsewhere(self) -> int:
        """Visual tokens that other models read for it."""
        return sum(turn.observation.elsewhere for turn in self.turns if turn.observation)

    @property
    def perceived(self) -> tuple[Span, ...]:
        """What was shown, heard or told, in order: a moment for each frame, a range where there are words."""
        opening = tuple(frame.moment for message in self.prompt for frame in message.frames)
        seen = (turn.observation.perceived for turn in self.turns if turn.observation)
        return opening + tuple(span for spans in seen for span in spans)

    @property
    def looked(self) -> bool:
        """Whether anything was shown, heard or told; a call that worked brought something."""
        seen = [turn.observation for turn in self.turns if turn.observation]
        return any(one.worked or not one.error for one in seen) or bool(self.perceived)

    @property
    def evidence_met(self) -> tuple[Span, ...]:
        """The pieces of the task's evidence of which something was perceived."""
        perceived = self.perceived
        return tuple(piece for piece in self.task.evidence if any(map(piece.meets, perceived)))

    @property
    def rounds(self) -> int:
        return len(self.turns)

    @property
    def weight_versions(self) -> tuple[int, ...]:
        """Versions of the weights that wrote it, oldest first; several if they were refreshed meanwhile."""
        return tuple(sorted({turn.weight_version for turn in self.turns}))

    @property
    def messages(self) -> tuple[Message, ...]:
        """The whole conversation."""
        said: list[Message] = list(self.prompt)
        for turn in self.turns:
            said.append(Message(role="assistant", parts=(turn.text,)))
            if turn.observation is not None:
                said.append(Message(role="tool", parts=turn.observation.parts))
        return tuple(said)

    @property
    def token_ids(self) -> list[int]:
        """The collapsed track: one image token per frame."""
        ids = list(self.prompt_ids)
        for turn in self.turns:
            ids += turn.token_ids + turn.observation_ids
        return ids

    @property
    def loss_mask(self) -> list[bool]:
        """True exactly on what the model sampled; as long as `token_ids`."""
        mask = [False] * len(self.prompt_ids)
        for turn in self.turns:
            mask += [True] * len(turn.token_ids) + [False] * len(turn.observation_ids)
        return mask

    @property
    def ledger(self) -> Ledger:
        """Tokens by purpose; all zero but `visual` for an engine that returns text only."""
        opening_frames = sum(len(message.frames) for message in self.prompt)
        tool_frames = len(self.frames) - opening_frames
        observed = sum(len(turn.observation_ids) for turn in self.turns)
        return Ledger(
            prompt=max(len(self.prompt_ids) - opening_frames, 0),
            written=sum(len(turn.token_ids) for turn in self.turns),
            tool=max(observed - tool_frames, 0),
            visual=self.visual_tokens,
        )
