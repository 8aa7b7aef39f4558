"""The result of a question: a small row, with everything that a summary and EVA's `accuracy.py` read.

The trajectory itself is written beside it and read by the viewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from eva_lightning.records import AnswerKind, Ledger, StopReason, Trajectory
from eva_lightning.reports.grounding import timed
from eva_lightning.scoring import canonical, score

OFFICIAL: dict[str, str] = {
    "answered": "answer_found",
    "turn_limit": "max_turns_exceeded",
    "turn_cut": "no_answer_no_tool_call",
    "no_action": "no_answer_no_tool_call",
    "token_limit": "openai_bad_request",
    "fault": "exception",
}
"""Our stop reasons in the words of EVA's evaluator."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One question, answered."""

    id: str
    """The task's id: benchmark/index."""
    index: int | str
    """The row's index in its file."""
    benchmark: str
    """Its name."""
    category: str = ""
    """Kind of the question, if the file says so."""
    question: str
    """As it was asked."""
    gt: str
    """The gold answer."""
    answer: str
    """What was answered; empty if nothing was."""
    kind: AnswerKind
    """How the answer is compared."""
    value: float
    """How good it is, from 0 to 1: an interval's overlap (IoU), a text's ROUGE, a number's nearness; 1 or 0
    for most others; the mean of answer and overlap where both are asked for."""
    correct: bool
    """By letter or words, as rewards are given; of a grounded answer the answer alone."""
    timed: Mapping[str, float] = field(default_factory=dict)
    """Of an answer that names times: its overlap, precision, recall and so on; empty for any other."""
    exact: bool
    """As EVA's evaluator scores: the whole answer is the letter, upper or lower case."""
    stop_reason: str
    """Why it ended, in the words of EVA's evaluator."""
    stop: StopReason
    """Why it ended, in ours."""
    num_rounds: int
    """Messages of the model."""
    total_tokens: int
    """Tokens of the whole conversation, frames included, up to the last message of the model."""
    frames: int
    """Frames shown."""
    visual_tokens: int
    """Visual tokens shown."""
    times: tuple[float, ...] = ()
    """When the frames were shown, in seconds of the clip."""
    ledger: Ledger
    """Where the tokens went."""
    duration: float = 0.0
    """Seconds of video, over all clips."""
    seen: bool | None = None
    """Whether anything was perceived of the evidence; None if the file does not say where it is."""
    replica: int = 0
    """Which of the attempts."""
    seed: int = 0
    """Its dice."""
    faults: tuple[str, ...] = ()
    """What failed on the way."""


def result_of(trajectory: Trajectory, duration: float = 0.0) -> Result:
    """The row of a finished trajectory; its task needs a gold answer."""
    task, answer = trajectory.task, trajectory.answer or ""
    assert task.answer is not None and trajectory.stop is not None
    gold, verdict, sound = canonical(task.answer), score(task, trajectory.answer), trajectory.stop != "fault"
    times = tuple(frame.time for frame in trajectory.frames)
    return Result(
        id=task.id,
        index=task.extra.get("index", task.id),
        benchmark=task.source,
        category=str(task.extra.get("category", "")),
        question=task.text,
        gt=gold,
        answer=answer,
        kind=task.answer.kind,
        value=verdict.value if sound else 0.0,
        correct=sound and verdict.correct,
        timed=timed(verdict) if sound else {},
        exact=sound and answer.strip().upper() == gold.upper(),
        stop_reason=_officially(trajectory),
        stop=trajectory.stop,
        num_rounds=trajectory.rounds,
        total_tokens=_sent(trajectory).ledger.total,
        frames=len(times),
        visual_tokens=trajectory.visual_tokens,
        times=times,
        ledger=trajectory.ledger,
        duration=duration,
        seen=bool(trajectory.evidence_met) if task.evidence else None,
        replica=trajectory.replica,
        seed=trajectory.seed,
        faults=tuple(trajectory.faults),
    )


def _officially(trajectory: Trajectory) -> str:
    """Why it ended, in the words of EVA's evaluator, which tells a call that it can not read from none."""
    assert trajectory.stop is not None
    said = trajectory.turns[-1].text if trajectory.turns else ""
    called = "</tool_call>" in said.partition("<tool_call>")[2]
    unread = trajectory.stop == "no_action" and called
    return "no_valid_tool_call" if unread else OFFICIAL[trajectory.stop]


def _sent(trajectory: Trajectory) -> Trajectory:
    """What the last message of the model was asked for with, and that message.

    What it found after it (limits.last_call) is left out: no request held that.
    """
    if not trajectory.turns:
        return trajectory
    *before, last = trajectory.turns
    return replace(trajectory, turns=[*before, replace(last, observation=None, observation_ids=[])])
