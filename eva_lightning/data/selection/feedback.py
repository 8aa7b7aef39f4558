"""Feedback by rule: which attempts are good, which are bad, and why; the marks that KTO learns from.

No model is asked here.

EVA's authors name what makes a trajectory bad: it answers although what was seen does not suffice, or takes
too many frames of a short window, or too few of a long one. Where the evidence of a task is known,
"suffices" is checked against it; where a judge has weighed what was seen (`selection/sufficiency.py`), its
verdict counts. Good is what remains: right, on evidence, and not wasteful.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Literal

from eva_lightning.data.selection.density import DensityRules
from eva_lightning.data.selection.outcome import outcome
from eva_lightning.data.selection.sufficiency import SCORE
from eva_lightning.records import FrameRef, Observation, Score, Trajectory
from eva_lightning.scoring import score

MarkCause = Literal[
    "good",
    "stopped",
    "malformed",
    "wrong",
    "blind",
    "off evidence",
    "sparse",
    "dense",
    "insufficient",
    "wasteful",
    "unclear",
]
"""good | ended without an answer | a call went wrong | wrong answer | answered without a look | saw nothing
of the evidence | too few frames of a long window | too many of a short one | a judge finds that what was
seen does not suffice | right, but others needed far less | left out as ambiguous."""


SLACK = 0.5
"""Seconds by which a window may be longer than from its first frame to its last: frames begin a little before
or after the second that was asked for."""
Watched = tuple[int, float, float]
"""Frames of a look, its seconds, and by how much these may be more."""


@dataclass(frozen=True, kw_only=True)
class FeedbackRules:
    """Where the borders are."""

    waste: float = 2.0
    """Frames or visual tokens, as a multiple of the median of the right attempts at the same family of
    questions."""
    density: DensityRules = field(default_factory=DensityRules)
    """Frames of a window: too many of a short one, or too few of a long one if no look was closer."""
    drop_ambiguous: bool = False
    """Leave out attempts that are nearly right or nearly wrong, and right ones that saw only a part of the
    evidence."""
    near: float = 0.15
    """How close to one half a score is nearly right or wrong (an interval's IoU, a text's ROUGE); 0 to
    0.5."""

    def __post_init__(self) -> None:
        if self.waste <= 1 or not 0 <= self.near <= 0.5:
            raise ValueError(f"waste {self.waste:g}, near {self.near:g}: want more than 1, and 0 to 0.5")


@dataclass(frozen=True, kw_only=True)
class Marked:
    """A trajectory with its mark."""

    trajectory: Trajectory
    """Has `desirable` and scores["feedback"], which says why."""
    cause: MarkCause
    """Why, in a word."""


@dataclass(frozen=True, kw_only=True)
class Norm:
    """What good attempts at a family of questions took."""

    frames: float
    """Median frames."""
    visual_tokens: float
    """Median visual tokens."""


def mark(trajectories: Sequence[Trajectory], rules: FeedbackRules) -> list[Marked]:
    """Every trajectory with its mark and the reason for it, in the same order.

    What a fault ended and what has no gold answer can not be marked and is left out. What is ambiguous
    stays without a mark if the rules drop it.
    """
    sound = [one for one in trajectories if markable(one)]
    flaws = [_flaw(one, rules) for one in sound]
    norms = _norms([one for one, flaw in zip(sound, flaws, strict=True) if flaw is None])
    marks = []
    for one, flaw in zip(sound, flaws, strict=True):
        cause, reason = flaw or _waste(one, norms[one.task.source], rules) or ("good", _praise(one))
        doubt = _doubt(one, cause, rules) if rules.drop_ambiguous else None
        if doubt is not None:
            marks.append(Marked(trajectory=_with(one, None, f"unclear: {doubt}"), cause="unclear"))
        else:
            marked = _with(one, cause == "good", f"{cause}: {reason}")
            marks.append(Marked(trajectory=marked, cause=cause))
    return marks


def markable(one: Trajectory) -> bool:
    """Whether there is something to hold it against, and no fault of ours in it."""
    return one.stop != "fault" and one.task.answer is not None


def _with(one: Trajectory, mark: bool | None, reason: str) -> Trajectory:
    value = 0.5 if mark is None else float(mark)
    return replace(one, desirable=mark, scores={**one.scores, "feedback": Score(value=value, reason=reason)})


def _flaw(one: Trajectory, rules: FeedbackRules) -> tuple[MarkCause, str] | None:
    """The first thing that is wrong with an attempt, its cost against others left aside."""
    flaw = outcome(one).flaw
    if flaw is not None:
        return flaw
    evidence = one.task.evidence
    if evidence and one.perceived and not one.evidence_met:
        return "off evidence", f"saw nothing of {', '.join(map(str, evidence))}"
    looks = [look for turn in one.turns if turn.observation for look in _looks(turn.observation)]
    return _density(looks, rules.density) or _insufficiency(one)


def _insufficiency(one: Trajectory) -> tuple[MarkCause, str] | None:
    """What a judge has against it."""
    verdict = one.scores.get(SCORE)
    if verdict is None or verdict.value >= 0.5:
        return None
    return "insufficient", verdict.reason.removeprefix("insufficient: ")


def _density(looks: Sequence[Watched], rules: DensityRules) -> tuple[MarkCause, str] | None:
    """Too few frames of a long window, or too many of a short one."""
    found = [rules.against(frames, seconds + slack) for frames, seconds, slack in looks]
    for cause, (frames, seconds, _) in zip(found, looks, strict=True):
        if cause == "dense":
            return "dense", f"{frames} frames of {seconds:.1f} s"
    if found and all(cause == "sparse" for cause in found):
        frames, seconds, _ = looks[0]
        return "sparse", f"{frames} frames of {seconds:.0f} s, and no closer look"
    return None


def _waste(one: Trajectory, norm: Norm, rules: FeedbackRules) -> tuple[MarkCause, str] | None:
    frames, tokens = len(one.frames), one.visual_tokens
    if frames > rules.waste * norm.frames:
        return "wasteful", f"{frames} frames where {norm.frames:g} are usual"
    if tokens > rules.waste * norm.visual_tokens:
        return "wasteful", f"{tokens} visual tokens where {norm.visual_tokens:g} are usual"
    return None


def _praise(one: Trajectory) -> str:
    return (
        f"{score(one.task, one.answer).reason}; {len(one.frames)} frames, {one.visual_tokens} visual tokens"
    )


def _doubt(one: Trajectory, cause: MarkCause, rules: FeedbackRules) -> str | None:
    """What makes the mark ambiguous."""
    verdict = score(one.task, one.answer)
    if cause in ("good", "wrong") and abs(verdict.value - 0.5) < rules.near:
        return f"nearly {'right' if cause == 'wrong' else 'wrong'}: {verdict.reason}"
    met, there_are = len(one.evidence_met), len(one.task.evidence)
    if cause == "good" and met < there_are:
        return f"right, but saw {met} of {there_are} pieces of evidence"
    return None


def _norms(good: Sequence[Trajectory]) -> dict[str, Norm]:
    """By family."""
    families: dict[str, list[Trajectory]] = {}
    for one in good:
        families.setdefault(one.task.source, []).append(one)
    return {
        family: Norm(
            frames=median(len(one.frames) for one in ones),
            visual_tokens=median(one.visual_tokens for one in ones),
        )
        for family, ones in families.items()
    }


def _looks(observation: Observation) -> list[Watched]:
    """Each look: a step back in time, or another clip, begins another one.

    The seconds are those that were asked for, where the tool says so; else those between the first and the
    last frame.
    """
    looks: list[list[FrameRef]] = []
    for frame in observation.frames:
        if not looks or frame.clip != looks[-1][-1].clip or frame.time < looks[-1][-1].time:
            looks.append([])
        looks[-1].append(frame)
    spans = observation.spans
    if len(spans) == len(looks):
        return [(len(look), span.end - span.start, 0.0) for look, span in zip(looks, spans, strict=True)]
    return [(len(look), look[-1].time - look[0].time, SLACK) for look in looks]
