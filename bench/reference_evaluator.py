"""The field's way to evaluate a video agent, for comparison: chat messages, PNG files, a process a call.

Not used by eva_lightning, and uses nothing of it. It does what EVA's released evaluator is described to do:
30 questions at a time; each turn is one request to /v1/chat/completions with the whole conversation and every
image so far; each tool call is a process that opens the video, decodes, and writes PNG files into a new
folder (`reference_frame_tool.py`), from where the server reads them. Temperature 0, at most 6 turns, 12,000
visual tokens a call, labels from the range that was asked for, the whole answer compared with the letter. An
answer counts wherever it stands; of a turn's call blocks the first is read; a call that can not be run ends
the question if no other of its turn can; a call in the last turn is run.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2

TOOL = Path(__file__).with_name("reference_frame_tool.py")
SYSTEM = "Use Frame Select Tool to Anlysis the video and generate an answer to the question."
AGAIN = "\nIf more information is needed, call the frame selection tool again.\n\nQuestion: "
TAGGED = re.compile(r"<answer>\s*(.*?)\s*</answer>", re.DOTALL)
BARE = re.compile(r"[Aa]nswer[\.:\s]\s*(\w)(\W.{,100}|)$", re.DOTALL)
BLOCK = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
OPENING = r'\{\s*"tool":\s*"frame_select",\s*"(?:arguments|parameters)":\s*'
CALL = re.compile(OPENING + r"(\{.*?\})\s*\}", re.DOTALL)
SIDE = 28


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Who is asked, and how."""

    url: str
    """Base address of the server."""
    model: str
    """Its name for the model."""
    token: str = field(repr=False)
    """What the server wants to be shown."""
    videos: Path
    """Folder of the videos."""
    frames: Path
    """Folder for the PNG files; the server must be allowed to read it."""
    items: int = 30
    """Questions under way at once."""
    turns: int = 6
    """Messages of the model."""
    turn_tokens: int = 2048
    """Tokens in one of them."""
    visual_tokens: int = 12_000
    """Visual tokens of one call."""
    short_side: int = 720
    """Pixels to which the frames of a call over its budget are capped."""


@dataclass(frozen=True)
class Video:
    """What is known of a video before it is looked at."""

    path: Path
    seconds: float
    height: int
    width: int


def evaluate(rows: list[dict[str, Any]], setup: Setup) -> list[dict[str, Any]]:
    """A result for each row, in their order."""
    with ThreadPoolExecutor(setup.items) as threads:
        return list(threads.map(lambda row: answer(row, setup), rows))


def answer(row: dict[str, Any], setup: Setup) -> dict[str, Any]:
    """One question from its opening to its end."""
    video, asked = probe(setup.videos / row["videos"][0]), row["prompt"][0]["content"]
    length, lines = int(max(video.seconds - 0.5, 1)), min(video.width, video.height)
    opening = f"Video Length: {length} seconds. Original video resolution: {lines}p. {asked}"
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": opening},
    ]
    found, why, tokens, rounds = "", "max_turns_exceeded", 0, 0
    while rounds < setup.turns:
        try:
            text, tokens = chat(messages, setup)
        except urllib.error.HTTPError as refusal:
            why = f"openai_bad_request: {refusal.read()[:200]!r}"
            break
        rounds += 1
        found = answer_in(text)
        if found:
            why = "answer_found"
            break
        block = BLOCK.search(text)
        if not block:
            why = "no_answer_no_tool_call"
            break
        try:
            shown = look_all(CALL.findall(block[1]), video, setup)
        except NoCall as problem:
            why = f"no_valid_tool_call: {problem}"
            break
        except (ValueError, TypeError, OverflowError) as problem:
            why, rounds, tokens = f"exception: {problem}", 0, 0
            break
        messages.append({"role": "assistant", "content": text})
        messages.append({"role": "tool", "content": observation(shown, asked)})
    truth = row["reward_model"]["ground_truth"]
    return {
        "index": row["index"],
        "answer": found,
        "gt": truth,
        "correct": found.upper() == truth.upper(),
        "stop_reason": why,
        "num_rounds": rounds,
        "total_tokens": tokens,
    }


def answer_in(text: str) -> str:
    """What is tagged as the answer, or else the letter of a bare one."""
    tagged, bare = TAGGED.search(text), BARE.search(text)
    return (tagged[1] if tagged else "") or (bare[1] if bare else "")


def chat(messages: list[dict[str, Any]], setup: Setup) -> tuple[str, int]:
    """The next message of the model, and the tokens of the whole conversation."""
    body = {
        "model": setup.model,
        "messages": messages,
        "temperature": 0,
        "max_tokens": setup.turn_tokens,
    }
    request = urllib.request.Request(
        f"{setup.url}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {setup.token}"},
    )
    with urllib.request.urlopen(request, timeout=600) as reply:
        told = json.load(reply)
    return told["choices"][0]["message"]["content"] or "", told["usage"]["total_tokens"]


def observation(shown: list[tuple[int, str]], asked: str) -> list[dict[str, Any]]:
    """The tool message: a label before each image, and the question again."""
    parts: list[dict[str, Any]] = []
    text = "<tool_response>"
    for number, (second, path) in enumerate(shown):
        line = "\n" if number else ""
        text += f"{line}Frame {number} at [{second // 60:02d}:{second % 60:02d}]: "
        parts.append({"type": "text", "text": text})
        parts.append({"type": "image_url", "image_url": {"url": f"file://{path}"}})
        text = ""
    return [*parts, {"type": "text", "text": f"{text}{AGAIN}{asked}</tool_response>"}]


class NoCall(Exception):
    """No call of a turn could be run."""


def look_all(calls: list[str], video: Video, setup: Setup) -> list[tuple[int, str]]:
    """What the calls of a turn show that can be run; `calls` are their arguments, as they were written."""
    shown, wrong = [], []
    for call in calls:
        try:
            shown += look(json.loads(call), video, setup)
        except (json.JSONDecodeError, KeyError, subprocess.CalledProcessError) as problem:
            wrong.append(str(problem))
    if len(wrong) == len(calls):
        raise NoCall("; ".join(wrong) or "none is spelled to the letter")
    return shown


def look(words: dict[str, Any], video: Video, setup: Setup) -> list[tuple[int, str]]:
    """Second and file of every frame of a call, fetched by a process of its own."""
    start, end, count, resize = words["start_time"], words["end_time"], words["nframes"], words.get("resize")
    count, resize = affordable(count, 1.0 if resize is None else resize, video, setup)
    folder = setup.frames / uuid4().hex
    line = [sys.executable, str(TOOL), str(video.path), *map(str, (start, end, count, resize)), str(folder)]
    told = subprocess.run(line, capture_output=True, text=True, check=True)
    files = json.loads(told.stdout)["frames"]
    step = (end - start) / max(len(files) - 1, 1)
    return [(int(start + step * number), file) for number, file in enumerate(files)]


def affordable(count: int, resize: float, video: Video, setup: Setup) -> tuple[int, float]:
    """Frames and their size within the budget: first capped, then fewer and smaller together."""

    def tokens(resize: float) -> int:
        sides = (video.height, video.width)
        return int(count) * max(1, round(sides[0] * resize / SIDE)) * max(1, round(sides[1] * resize / SIDE))

    if tokens(resize) > setup.visual_tokens:
        resize = min(resize, 1.0, setup.short_side / min(video.height, video.width))
        if tokens(resize) > setup.visual_tokens:
            ratio = (setup.visual_tokens / tokens(resize)) ** (1 / 3)
            count, resize = max(1, int(count * ratio)), resize * ratio
    return count, resize


def probe(path: Path) -> Video:
    """Length and size, from the header."""
    capture = cv2.VideoCapture(str(path))
    try:
        frames, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        height, width = capture.get(cv2.CAP_PROP_FRAME_HEIGHT), capture.get(cv2.CAP_PROP_FRAME_WIDTH)
    finally:
        capture.release()
    return Video(path, frames / fps, int(height), int(width))
