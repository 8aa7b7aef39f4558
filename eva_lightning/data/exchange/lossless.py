"""Trajectories as conversations, and back without loss.

What chat formats can not hold (frames, token ids, log-probs, scores, the task) goes into one column of ours,
as a text; what the words say does not.

A fingerprint of the words goes with it. Where somebody changed them since, the words win: ids, log-probs,
scores and the advantage are dropped, and the answer is read anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from eva_lightning.agent.dialects.base import Dialect, Parsed
from eva_lightning.data.exchange.conversation import Conversation, Piece, Said, bend, cut
from eva_lightning.data.exchange.pictures import frame_name
from eva_lightning.files.encoding import FieldError, decode, encode
from eva_lightning.files.foreign_json import json_problem
from eva_lightning.records import FrameRef, Message, StopReason, Trajectory

VERSION = 1
"""Of the layout of our column."""


def conversation_of(
    trajectory: Trajectory, dialect: Dialect, images: Sequence[str] | None = None
) -> Conversation:
    """A trajectory as a conversation. `images` are the files of its frames in order, if there are any."""
    original = trajectory.messages
    said = tuple(
        Said(role=one.role, pieces=tuple(bend(p) if isinstance(p, str) else None for p in one.parts))
        for one in original
    )
    conversation = Conversation(said=said)
    opening = len(trajectory.prompt)
    added = {
        "frames": encode(trajectory.frames),
        "pictures": {
            frame.clip: PurePath(path).parent.name
            for frame, path in zip(trajectory.frames, images or (), strict=images is not None)
        },
        "parts": {str(place): held for place, held in _not_plain(original, said)},
        "opening": opening if opening != conversation.begin else None,
    }
    extra = {"version": VERSION, "words": _fingerprint(said)} | _without_words(trajectory, dialect)
    extra |= {key: value for key, value in added.items() if value}
    return Conversation(
        said=said,
        opening=opening,
        images=None if images is None else tuple(images),
        mark=trajectory.desirable,
        extra=json.dumps(extra, ensure_ascii=False, separators=(",", ":"), allow_nan=False),
    )


def trajectory_of(conversation: Conversation, dialect: Dialect) -> tuple[Trajectory, bool]:
    """The trajectory that `conversation_of` wrote, and whether its words were changed since."""
    row = _read_extra(conversation.extra or "")
    frames = decode(list[FrameRef], row.pop("frames"))
    words, folders = row.pop("words", None), row.pop("pictures")
    parts, opening = row.pop("parts"), row.pop("opening", None)
    edited = words != _fingerprint(conversation.said)
    said = [one.pieces for one in conversation.said]
    if not edited:
        said = [tuple(parts.get(str(place), held)) for place, held in enumerate(said)]
    shown = _shown(conversation, said, frames, folders)
    messages = [tuple(next(shown) if piece is None else piece for piece in held) for held in said]
    begin = Conversation(said=conversation.said, opening=opening).begin
    row["prompt"] = [
        encode(Message(role=one.role, parts=held))
        for one, held in zip(conversation.said[:begin], messages[:begin], strict=True)
    ]
    if conversation.mark is not None:
        row["desirable"] = conversation.mark
    after = conversation.said[begin:]
    if edited:
        _without_what_is_stale(row, sum(one.role == "assistant" for one in after))
    row["turns"] = _turns(row["turns"], after, messages[begin:])
    return _finished(row, dialect, edited), edited


def _without_words(trajectory: Trajectory, dialect: Dialect) -> dict[str, Any]:
    """What a trajectory holds beside its words, its frames and its mark."""
    row: dict[str, Any] = encode(trajectory)
    for field in ("prompt", "desirable"):
        row.pop(field, None)
    for turn, held in zip(trajectory.turns, row.get("turns", ()), strict=True):
        held.pop("text")
        if encode(dialect.parse(turn.text).calls) == held.get("calls", []):
            held.pop("calls", None)
        else:
            held.setdefault("calls", [])
        if "observation" in held:
            held["observation"].pop("parts")
            if not held["observation"]:
                held.pop("observation")
    if trajectory.answer == _answer(trajectory, dialect):
        row.pop("answer", None)
    else:
        row.setdefault("answer", None)
    return row


def _answer(trajectory: Trajectory, dialect: Dialect) -> str | None:
    return dialect.parse(trajectory.turns[-1].text).answer if trajectory.turns else None


def _not_plain(original: Sequence[Message], said: Sequence[Said]) -> Iterator[tuple[int, list[Piece]]]:
    """Messages whose pieces can not be cut out of their spelling again.

    They are texts that speak of <image>, or that were in several pieces.
    """
    for place, (message, spoken) in enumerate(zip(original, said, strict=True)):
        pieces: list[Piece] = [part if isinstance(part, str) else None for part in message.parts]
        again: list[Piece] = list(cut(spoken.spelled))
        whole = ["".join(piece or "" for piece in again)] if message.role == "assistant" else again
        if pieces not in (again, whole):
            yield place, pieces


def _fingerprint(said: Sequence[Said]) -> str:
    """Of the words and of who says them, the same in every form."""
    spoken = [(one.role if one.role in ("assistant", "system") else "world", one.spelled) for one in said]
    text = json.dumps(spoken, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _read_extra(text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise FieldError(f"eva: not JSON ({json_problem(problem)})") from None
    if not isinstance(row, dict) or row.pop("version", None) != VERSION:
        raise FieldError(f"eva: not of version {VERSION}; take the column out to read the words alone")
    for field, kind in (("frames", list), ("turns", list), ("pictures", dict), ("parts", dict)):
        if not isinstance(row.setdefault(field, kind()), kind):
            raise FieldError(f"eva.{field}: want {'a list' if kind is list else 'an object'}")
    opening = row.get("opening")
    if not isinstance(opening, int | None) or isinstance(opening, bool) or (opening or 0) < 0:
        raise FieldError("eva.opening: want a number of messages")
    for clip, name in row["pictures"].items():
        if not isinstance(name, str):
            raise FieldError(f"eva.pictures.{clip}: want the name of a folder")
    for place, held in row["parts"].items():
        if not isinstance(held, list) or not all(isinstance(one, str | None) for one in held):
            raise FieldError(f"eva.parts.{place}: want a list of texts and nulls")
    for place, turn in enumerate(row["turns"]):
        if not isinstance(turn, dict) or not isinstance(turn.get("observation", {}), dict):
            raise FieldError(f"eva.turns[{place}]: want an object")
    return row


def _shown(
    conversation: Conversation,
    said: Sequence[Sequence[Piece]],
    frames: Sequence[FrameRef],
    folders: Mapping[str, str],
) -> Iterator[FrameRef]:
    """The frames where the messages speak of images: by the names of the files, or else in order."""
    wanted = sum(piece is None for held in said for piece in held)
    if folders and conversation.images is not None:
        known = {(folders.get(frame.clip), frame_name(frame)): frame for frame in frames}
        frames = []
        for place, image in enumerate(map(PurePath, conversation.images)):
            frame = known.get((image.parent.name, image.stem))
            if frame is None:
                raise FieldError(
                    f"images[{place}]: {image} is none of the frames in the column `eva`; "
                    "take that column out to read the images instead"
                )
            frames.append(frame)
    if wanted != len(frames):
        raise FieldError(
            f"messages: speak of {wanted} images, but there are {len(frames)} frames; "
            "change <image> and images alike"
        )
    return iter(frames)


def _turns(
    held: Sequence[Mapping[str, Any]], said: Sequence[Said], messages: Sequence[Sequence[str | FrameRef]]
) -> list[dict[str, Any]]:
    """Turns and what they saw: what was held of each, with its words put back."""
    turns: list[dict[str, Any]] = []
    for one, parts in zip(said, messages, strict=True):
        if one.role == "assistant":
            text = "".join(part for part in parts if isinstance(part, str))
            turns.append({**(held[len(turns)] if len(turns) < len(held) else {}), "text": text})
        elif not turns or "parts" in turns[-1].get("observation", {}):
            raise FieldError("messages: turns of the model and what it sees must alternate")
        else:
            turns[-1]["observation"] = {**turns[-1].get("observation", {}), "parts": encode(list(parts))}
    for turn in turns:
        if "parts" not in turn.get("observation", {"parts": ()}):
            del turn["observation"]
    return turns


def _without_what_is_stale(row: dict[str, Any], turns: int) -> None:
    """Take out what held for the words as they were."""
    for field in ("prompt_ids", "scores", "advantage", "answer"):
        row.pop(field, None)
    held = row["turns"] if len(row["turns"]) == turns else []
    row["turns"] = [{"observation": one.get("observation", {})} for one in held]


def _finished(row: dict[str, Any], dialect: Dialect, edited: bool) -> Trajectory:
    """The record, with what was left out because the words say it."""
    for turn in row["turns"]:
        if "calls" not in turn:
            turn["calls"] = encode(dialect.parse(turn["text"]).calls)
    told = "answer" in row
    trajectory = decode(Trajectory, row)
    if not told:
        trajectory.answer = _answer(trajectory, dialect)
    if edited and trajectory.stop != "fault":
        last = dialect.parse(trajectory.turns[-1].text) if trajectory.turns else Parsed()
        acted = bool(last.calls or last.problem)
        unanswered: StopReason = "turn_limit" if acted else "no_action"
        trajectory.stop = unanswered if trajectory.answer is None else "answered"
    return trajectory
