"""Rows about videos, as tasks: the question, its video, and the turns that somebody wrote to answer it.

The rows of LongVT, Video-o3, verl and ms-swift. Frames are taken from none of them: `eva collect --written
turns` acts the turns out, so that what they look at is seen by our tools. Rows about images are conversations
(imported.py); MTVR's have kinds of answers, which `eva prepare` knows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eva_lightning.agent.dialects.calls import between
from eva_lightning.data.exchange.conversation import Conversation, Said
from eva_lightning.data.exchange.looks import Looks, pair_of
from eva_lightning.data.exchange.messages import messages
from eva_lightning.data.intake.bad_row import BadRow
from eva_lightning.data.intake.cells import cell, is_empty
from eva_lightning.data.intake.options import options_of
from eva_lightning.data.intake.video_folder import VideoFolder
from eva_lightning.data.intake.wording import PLACEHOLDER, find_options, is_a_letter, letter_of
from eva_lightning.files.encoding import FieldError
from eva_lightning.records import Answer, Task

TURNS = "turns"
"""Where a task keeps the turns that were written for it."""

CHATS = ("messages", "conversations", "prompt")
"""Columns of what was said; verl's `prompt` holds the question alone."""

QUESTIONS = ("extra_info.question", "question", "problem")
GOLD = ("reward_model.ground_truth", "extra_info.answer", "solution", "answer", "ground_truth")
EVIDENCE = ("extra_info.video_segment", *(f"{path}.clue" for path in GOLD), "clue")
"""Where the question, its answer and the seconds that show it may stand, the first that does counts."""

_PATH = re.compile(r"The [Vv]ideo path for this video is:\s*(\S+)")
_ADVICE = re.compile(
    r"(?:Think first, call \*\*crop_video|The [Vv]ideo path for|You are advised to first).*", re.DOTALL
)
"""What other projects tell their own agents after the question; ours has its own opening."""
QUOTING = 'according to the content of the video: "'
"""Before Video-o3's question; a quote and a dot end it, and its options follow."""


@dataclass(frozen=True, kw_only=True)
class Footage:
    """What it takes to read rows about videos."""

    looks: Looks
    """How our agent looks where theirs did."""
    videos: VideoFolder
    """Where the videos are."""

    def task(self, row: Mapping[str, Any], source: str, number: int) -> Task:
        """The task of a row, the `number`th of a file; FieldError says which field can not be read."""
        if "text" in row and "solution" in row and not any(column in row for column in CHATS):
            raise FieldError(
                "row: is one of MTVR, whose answers are of several kinds: eva prepare --config "
                "vital/prepare_mtvr.yaml, then eva collect --written solution"
            )
        said, shown = _said(row)
        begin = Conversation(said=tuple(said)).begin
        extra: dict[str, Any] = {TURNS: turns} if (turns := self._turns(said[begin:], begin)) else {}
        if evidence := _evidence(row):
            extra["evidence"] = evidence
        try:
            question, options = _question(row, said[:begin])
            return Task(
                id=f"{source}/{number}",
                source=source,
                clips=self.videos.clips([_video(row, said, shown)], [(None, None)]),
                question=question,
                options=options,
                answer=_answer(row, options),
                extra=extra,
            )
        except BadRow as problem:
            raise FieldError(f"{problem.cause}: {problem.detail}") from None
        except ValueError as problem:
            raise problem if isinstance(problem, FieldError) else FieldError(f"row: {problem}") from None

    def _turns(self, said: Sequence[Said], begin: int) -> list[str]:
        """What was written, with calls as our agent makes them; what was seen is left out."""
        turns: list[str] = []
        for place, one in enumerate(said, start=begin):
            if one.role != "assistant":
                continue
            field = f"message {place + 1}"
            words = self.looks.words(one.words, field)
            calls = [self.looks.call(call.name, call.arguments, field) for call in one.calls]
            turns.append("\n".join([*([words] if words else []), *calls]))
        if turns and said[-1].role != "assistant":
            raise FieldError("messages: the last one is not of the model; there is nothing to learn from")
        return turns


def _said(row: Mapping[str, Any]) -> tuple[list[Said], list[str]]:
    """The messages of a row, and the videos that stand among them."""
    column = next((one for one in CHATS if one in row), None)
    if column is None:
        if any(cell(row, path) is not None for path in QUESTIONS):
            return [], []
        raise FieldError(
            f"row: has columns {', '.join(map(str, row))}; want {', '.join(CHATS)}, or a question under "
            f"{', '.join(QUESTIONS)}"
        )
    held = row[column]
    held = [{"role": "user", "content": held}] if isinstance(held, str) else held
    if not isinstance(held, list):
        raise FieldError(f"{column}: want a list of messages")
    shown: list[str] = []
    return messages([_without_videos(one, shown) for one in held], column), shown


def _without_videos(message: Any, shown: list[str]) -> Any:
    """A message without its parts that are videos, whose names go to `shown`."""
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    parts = []
    for part in message["content"]:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("video", "video_url"):
            shown.append(_name(part.get("video") or part.get("video_url") or part.get("url"), "content"))
        else:
            parts.append(part)
    return {**message, "content": parts}


def _name(held: Any, field: str) -> str:
    """The path that an entry names: a text, or an object with video, url or path."""
    if isinstance(held, dict):
        held = next((held[key] for key in ("video", "url", "path") if held.get(key)), None)
    if not isinstance(held, str) or not held:
        raise FieldError(f"{field}: want the path of a video, or an object with video, url or path")
    return held.removeprefix("file://")


def _video(row: Mapping[str, Any], said: Sequence[Said], shown: Sequence[str]) -> str:
    """The video that a row is about; those behind the first are pieces of it that an agent saw."""
    for column in ("videos", "video"):
        if held := row.get(column):
            first = held[0] if isinstance(held, list) else held
            return _name(first, f"{column}[0]" if isinstance(held, list) else column)
    if shown:
        return shown[0]
    named = (_PATH.search(one.words) for one in said if one.role == "user")
    path = next((found[1] for found in named if found), None)
    if path is None:
        raise FieldError(
            "row: names no video; want videos, video, a part of type video, or its path in words"
        )
    return path


def _question(row: Mapping[str, Any], opening: Sequence[Said]) -> tuple[str, tuple[str, ...]]:
    """The question alone, and its options."""
    words = next((held for path in QUESTIONS if (held := cell(row, path)) is not None), None)
    if words is None:
        words = next((one.words for one in opening if one.role == "user"), "")
    if not isinstance(words, str):
        raise FieldError(f"question: want a text, not {type(words).__name__}")
    words = _ADVICE.sub("", PLACEHOLDER.sub("\n", words)).strip()
    if QUOTING in words:
        quoted, _, listed = words.partition(QUOTING)[2].partition('".')
        words = f"{quoted}\n{listed.strip().removeprefix('Options:')}"
    question, options = find_options(words)
    options = options_of(row.get("options"), "options") or options
    if not question:
        raise FieldError("row: no question; the first turn of the user has no words beside its video")
    return question, options


def _answer(row: Mapping[str, Any], options: tuple[str, ...]) -> Answer | None:
    held = next((value for path in GOLD if not is_empty(value := cell(row, path))), None)
    held = held.get("answer") if isinstance(held, dict) else held
    if held is None:
        return None
    if not isinstance(held, str):
        raise FieldError(f"{GOLD[0]}: want a text, not {type(held).__name__}")
    said = (between(held, "<answer>", "</answer>")[0] or held).strip()
    if options:
        return Answer(kind="choice", value=letter_of(said, options))
    if is_a_letter(said):
        raise BadRow("no options", f"answer {said!r} is a letter, but no options are found")
    return Answer(kind="text", value=said)


def _evidence(row: Mapping[str, Any]) -> list[list[float]]:
    """Where the answer can be seen, in seconds."""
    held = next((value for path in EVIDENCE if (value := cell(row, path)) is not None), None)
    if held is None or held == []:
        return []
    pairs = held if isinstance(held, list) and isinstance(held[0], list | dict) else [held]
    pairs = [one.get("timestamp") if isinstance(one, dict) else one for one in pairs]
    ranges = []
    for pair in pairs:
        if (seconds := pair_of(pair)) is None:
            raise FieldError(f"evidence: {pair!r:.60} is no range; want [from, to] in seconds")
        ranges.append(list(seconds))
    return ranges
