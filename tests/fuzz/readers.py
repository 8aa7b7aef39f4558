"""Everything that reads words of a model, a teacher or a judge, and what must hold of it for any text.

A reader hands over what it accepted: records that a file must hold and give back equal. It raises `Broken`
where something that it promises does not hold; any other exception is a bug as well.
"""

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from eva_lightning.agent.dialects.base import Dialect, Parsed
from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.dialects.eva_official import OfficialEvaDialect
from eva_lightning.agent.dialects.react import ReActDialect
from eva_lightning.agent.dialects.vital import VitalDialect
from eva_lightning.agent.tools.base import Findings, Tool
from eva_lightning.agent.tools.clip_frames import ClipFrames
from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.agent.tools.frame_select_official import OfficialFrameSelect
from eva_lightning.agent.tools.listen import Listen
from eva_lightning.agent.tools.observe import Observe
from eva_lightning.agent.worlds.script import ClipScript, ScriptEvent
from eva_lightning.agent.worlds.script_world import ScriptWorld
from eva_lightning.data.exchange.footage import Footage
from eva_lightning.data.exchange.imported import Reader
from eva_lightning.data.exchange.looks import looks_of
from eva_lightning.data.exchange.lossless import conversation_of
from eva_lightning.data.exchange.row_forms import Inlet
from eva_lightning.data.exchange.sharegpt import to_row
from eva_lightning.data.intake.video_folder import VideoFolder
from eva_lightning.data.mining.checks import checked
from eva_lightning.data.mining.replies import Commission, read_rows
from eva_lightning.data.teaching.audits import Auditor, AuditRules
from eva_lightning.data.teaching.bank import story_of
from eva_lightning.data.teaching.hints import leaked
from eva_lightning.faults import ToolError
from eva_lightning.files.encoding import FieldError, decode
from eva_lightning.files.foreign_json import is_whole
from eva_lightning.files.store import line
from eva_lightning.records import (
    NUMBERS,
    TEXTS,
    Clip,
    Message,
    Observation,
    Task,
    ToolCall,
    Trajectory,
    Turn,
)
from eva_lightning.reports.benchmarks.result import result_of
from eva_lightning.reports.trajectory_markdown import markdown
from eva_lightning.reports.trajectory_tables import tables
from eva_lightning.reports.transcript import transcript
from eva_lightning.rewards.accuracy import AccuracyReward
from eva_lightning.rewards.cost import CostReward
from eva_lightning.rewards.format import FormatReward
from eva_lightning.rewards.judge import ANSWER
from eva_lightning.rewards.judging.rulings import Ruling
from eva_lightning.rewards.rouge import RougeReward
from eva_lightning.scoring import score
from eva_lightning.timecode import parse_seconds
from tests.making import StillWorld, task, trajectory

WORLD = StillWorld(duration=100.0)
WORDS = ScriptWorld.of(
    ClipScript(clip=clip, duration=100, events=(ScriptEvent(start=0, end=60, see="a dog", hear="a bark"),))
    for clip in ("v", "w")
)
CLIPS = (Clip(id="v", path="v.mp4"),)
TWO = (*CLIPS, Clip(id="w", path="w.mp4"))
ROOM = 2000
"""Tokens; the smallest frame takes one, so no more frames than that are ever asked for."""

OPTIONS = ("red", "blue", "light green", "A man", "none of these")
NUMBERED = "Put in order:\n1. a bell\n2. a dog\n3. a car"
TASKS = (
    task("choice", "B", options=OPTIONS),
    task("choice", "B", options=()),
    task("multi", ("A", "C"), options=OPTIONS),
    task("order", ("C", "A", "B"), options=OPTIONS),
    task("order", ("B", "A", "C"), options=("a bell", "a dog", "a car"), wording=NUMBERED),
    task("order", ("2", "1", "3"), options=()),
    task("interval", (10.0, 20.0)),
    task("interval", ((10.0, 20.0), (15.0, 30.0))),
    *(task(kind, 3.0) for kind in NUMBERS),
    *(task(kind, "a red car turns") for kind in TEXTS),
    task("choice", "B", options=OPTIONS, grounds=((10.0, 20.0), (40.0, 41.0))),
    task("text", "a red car turns", grounds=((10.0, 20.0),)),
)
REWARDS = (AccuracyReward(), FormatReward(), CostReward(), RougeReward())

LOOP = asyncio.new_event_loop()


class Broken(AssertionError):
    """Something that a reader promises does not hold."""


class NotWrittenBack(Broken):
    """What was accepted can not be written, or comes back as something else."""


def promise(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(what)


def whole(text: str) -> str:
    """A text as engines hand it over: without half a character."""
    return text.encode(errors="replace").decode()


def written_back(record: Any) -> None:
    """A record goes into a line of a file and comes out of it equal."""
    try:
        again = decode(type(record), json.loads(line(record).encode().decode()))
    except (ValueError, RecursionError) as problem:
        raise NotWrittenBack(f"{type(record).__name__}: {problem!r:.200}") from problem
    if again != record:
        raise NotWrittenBack(f"{type(record).__name__} comes back as something else")


def turn_of(dialect: Dialect, tool: Tool, text: str) -> Iterator[Any]:
    """A turn as the agent loop takes it: read, called, observed and kept."""
    parsed = dialect.parse(text)
    promise(parsed.answer is None or said(dialect, text, parsed.answer), "an invented answer")
    promise(all(call.text in text for call in parsed.calls), "an invented call")
    promise(len(parsed.calls) <= 32, "more than 32 calls")
    promise(len(parsed.problem or "") < 40_000, "a problem of more words than the turn")
    flaw = dialect.flaw(text)
    promise(flaw is not None or bool(parsed.calls or parsed.answer), "a well-formed turn that does nothing")
    seen = observed(dialect, tool, parsed) if parsed.calls or parsed.problem else None
    clean = parsed if whole(text) == text else dialect.parse(whole(text))
    if clean.calls or clean.answer:
        yield Turn(text=whole(text), calls=clean.calls, observation=seen if clean is parsed else None)


def said(dialect: Dialect, text: str, answer: str) -> bool:
    """Whether an answer stands in a turn, as it is or as JSON spells it."""
    if answer in text or not isinstance(dialect, ReActDialect):
        return bool(answer) and answer in text
    return dialect.parse(dialect.reply(answer)).answer == answer and bool(answer)


def observed(dialect: Dialect, tool: Tool, parsed: Parsed) -> Observation:
    """What the calls of a turn find, as the model reads it."""
    findings: list[Findings] = []
    problems = [parsed.problem] if parsed.problem else []
    for number, call in enumerate(parsed.calls[:3]):
        try:
            findings.append(looked(tool, call, TWO if number else CLIPS))
        except ToolError as mistake:
            promise(len(str(mistake)) < 300, "a mistake told in more than a line")
            problems.append(str(mistake))
    return Observation(
        parts=dialect.observation(TASKS[0], findings, problems),
        error="; ".join(problems) or None,
        frames_cut=sum(found.frames_cut for found in findings),
        spans=tuple(span for found in findings for span in found.spans),
    )


def finished(dialect: Dialect, text: str) -> Iterator[Any]:
    """A trajectory that ends with a text, and its row in a benchmark."""
    parsed = dialect.parse(whole(text))
    stop = "answered" if parsed.answer else "no_action"
    one = trajectory(turns=[Turn(text=whole(text), calls=parsed.calls)], answer=parsed.answer, stop=stop)
    yield one
    yield result_of(one)


def looked(tool: Tool, call: ToolCall, clips: tuple[Clip, ...]) -> Findings:
    """What a call finds, if it is one of this tool, and how many frames a world was asked for."""
    WORLD.looks.clear()
    world = WORDS if tool.wants_words else WORLD
    found = LOOP.run_until_complete(tool.run(call, clips, world, ROOM))
    promise(len(found.text) <= 2000, "more words than a call may bring")
    for _, times, height, width in WORLD.looks:
        promise(len(times) <= ROOM, f"{len(times)} frames asked of the world")
        promise(len(times) * height * width <= ROOM * 28 * 28, "more pixels than there is room for")
        promise(all(-100 <= time <= 200 for time in times), "a time beyond the clip")
    promise(found.frames_cut <= 1_000_000, "more frames cut than can be asked for")
    return found


def scored(one: Task, text: str) -> Iterator[Any]:
    """An answer, against a gold one."""
    verdict = score(one, text)
    promise(math.isfinite(verdict.value) and 0 <= verdict.value <= 1, f"a value of {verdict.value}")
    promise(len(verdict.reason) < 300, "a reason of more than a line")
    yield from ()


def rewarded(text: str) -> Iterator[Any]:
    """Every reward that computes, of one kind of answer after the other."""
    one = trajectory(task=TASKS[len(text) % len(TASKS)], answer=whole(text))
    for reward in REWARDS:
        given = reward.score(one)
        if given is not None:
            yield given


def judged(text: str) -> Iterator[Any]:
    """A reply of a judge."""
    reading = ANSWER.read(text)
    if reading is not None:
        promise(reading.word in ANSWER.values, "a word that the rubric does not know")
        yield Ruling(key="k", verdict=reading.word, reason=reading.reason, judge="j", rubric="r")


def commissioned(options: bool, text: str) -> Iterator[Any]:
    """A reply of a teacher that was asked for questions."""
    commission = Commission(clip=CLIPS[0], shown=(10.0, 20.0), count=2, options=options, source="", cause="")
    read = read_rows(whole(text), commission)
    for one in read:
        if isinstance(one, Task):
            promise(all(span.start < span.end for span in one.evidence), "evidence that was not shown")
        else:
            promise(len(one.reason) < 1000, "a reason of more than a line")
        yield one
    made = checked([one for one in read if isinstance(one, Task)], (), lambda clip: 100.0)
    yield from made.rejected


AUDITOR = Auditor(AuditRules(), EvaDialect(), WORLD.describe)


def audited(text: str) -> Iterator[Any]:
    """A message of a teacher, held against the rules."""
    before = (Message(role="assistant", parts=(text[:1000],)),)
    objection = AUDITOR.object_to(text, before, CLIPS)
    if objection is not None and whole(text) == text:
        yield objection
    leaked(text, "What colour?")


INLET = Inlet(
    reader=Reader(dialect=EvaDialect(), world=WORLD, root=Path(), image_tokens=None), root=".", source="s"
)
OURS = to_row(conversation_of(trajectory(), EvaDialect()))


def imported(text: str) -> Iterator[Any]:
    """Words of others in a row: what was said, a call apart from it, our own column, the row itself."""
    told = whole(text)
    asked = {"from": "human", "value": "What colour?"}
    rows: list[Any] = [
        {"conversations": [asked, {"from": "gpt", "value": told}]},
        {"conversations": [asked, {"from": "function_call", "value": told}]},
        {"prompt": "What colour?", "completion": told, "label": True},
        OURS | {"eva": told},
    ]
    with suppress(ValueError, RecursionError):
        row = json.loads(told)
        if isinstance(row, dict) and is_whole(json.dumps(row, ensure_ascii=False)):  # as tables refuse it
            rows.append(row)
    for row in rows:
        try:
            yield INLET.trajectory(row, 0)
        except FieldError as problem:
            promise(len(str(problem)) < len(told) + 1000, "a problem of more words than the row")


class Everywhere(VideoFolder):
    """A folder in which every video is."""

    def find(self, name: str) -> str:
        return "v.mp4"


FOOTAGE = Footage(looks=looks_of(VitalDialect(), ClipFrames(), None), videos=Everywhere("."))


def filmed(text: str) -> Iterator[Any]:
    """Words of others in a row about a video: question, options, answer, what was written, the row itself."""
    told = whole(text)
    asked = {"role": "user", "content": "Why?"}
    rows: list[Any] = [
        {"messages": [asked, {"role": "assistant", "content": told}], "videos": ["v"]},
        {"messages": [asked, {"role": "tool_call", "content": told}, {"role": "assistant", "content": ""}]},
        {"messages": [{"role": "user", "content": told}]},
        {"question": told, "video": told, "answer": told},
        {"problem": "Why?", "options": [told, "b"], "solution": told, "videos": [{"url": told}]},
        {"question": "Why?", "options": told, "answer": "A", "video": "v", "clue": told},
    ]
    with suppress(ValueError, RecursionError):
        row = json.loads(told)
        if isinstance(row, dict) and is_whole(json.dumps(row, ensure_ascii=False)):  # as tables refuse it
            rows += [row, {"question": "Why?", "video": "v"} | row]
    for row in rows:
        try:
            yield FOOTAGE.task(row, "s", 1)
        except FieldError as problem:
            promise(len(str(problem)) < len(told) + 1000, "a problem of more words than the row")


def kept(cls: type[Any], text: str) -> Iterator[Any]:
    """A line of a file of ours."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return
    with suppress(FieldError):
        yield decode(cls, row)


def told(text: str) -> Iterator[Any]:
    """Words as reports and other teachers are told them."""
    try:
        promise(math.isfinite(parse_seconds(text)), "a time without end")
    except ValueError as problem:
        promise(len(str(problem)) < 200, "a problem of more than a line")
    one = trajectory(turns=[Turn(text=text)], answer=text[:500])
    promise(len(markdown(tables(one)).encode()) < 100_000, "a table longer than its bound")
    transcript(one), story_of(one)
    yield from ()


ALWAYS: dict[str, Callable[[str], Iterator[Any]]] = {
    "turn": partial(turn_of, EvaDialect(), FrameSelect()),
    "official turn": partial(turn_of, OfficialEvaDialect(), OfficialFrameSelect()),
    "vital turn": partial(turn_of, VitalDialect(), ClipFrames()),
    "react turn": partial(turn_of, ReActDialect(), Observe()),
    "react turn that listens": partial(turn_of, ReActDialect(), Listen()),
}
"""What reads every text."""
IN_TURN: dict[str, Callable[[str], Iterator[Any]]] = {
    **{
        f"score {one.answer.kind} {number}": partial(scored, one)
        for number, one in enumerate(TASKS)
        if one.answer
    },
    "record": partial(finished, EvaDialect()),
    "official record": partial(finished, OfficialEvaDialect()),
    "vital record": partial(finished, VitalDialect()),
    "react record": partial(finished, ReActDialect()),
    "rewards": rewarded,
    "judge": judged,
    "teacher": partial(commissioned, False),
    "teacher with options": partial(commissioned, True),
    "audit": audited,
    "import": imported,
    "film": filmed,
    "task": partial(kept, Task),
    "trajectory": partial(kept, Trajectory),
    "reports": told,
}
"""What reads some of them: two of these each time."""
