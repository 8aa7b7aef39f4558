"""Conversations of other people's agents, as trajectories to learn from.

An image file is a clip of one frame; calls and answers are read by the dialect. Nobody sampled these words,
so there are no ids: SFT gives them ids, as it does with a teacher's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.worlds.base import World
from eva_lightning.data.exchange.conversation import Conversation, Said
from eva_lightning.faults import VideoError
from eva_lightning.files.encoding import FieldError
from eva_lightning.records import Clip, FrameRef, Message, Observation, Part, Task, Trajectory, Turn
from eva_lightning.video.sampling import fitted

NO_IMAGE = Clip(id="no image")
"""The clip of a conversation about words alone."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What it takes to read the conversations of a file."""

    dialect: Dialect
    """How calls and answers are spelled."""
    world: World
    """Opens the images."""
    root: Path
    """Folder from which relative paths of images count."""
    image_tokens: int | None
    """Visual tokens of an image at most; None takes any size."""

    def trajectory(self, conversation: Conversation, source: str, number: int) -> Trajectory:
        """The trajectory of a conversation, the `number`th of a file.

        FieldError says which field can not be read. Several attempts at one question are attempts at one
        task, which KTO must know: tasks are told apart by what was asked, for ids of rows name an attempt in
        some files and a video in others.
        """
        begin = conversation.begin
        opening, rest = conversation.said[:begin], conversation.said[begin:]
        if not rest or rest[-1].role != "assistant":
            raise FieldError("messages: the last one is not of the model; there is nothing to learn from")
        clips, frames = self._images(conversation)
        shown = iter(frames)
        prompt = tuple(Message(role=one.role, parts=_filled(one, shown)) for one in opening)
        turns = _turns(rest, shown, self.dialect)
        said = self.dialect.parse(turns[-1].text)
        acted = bool(said.calls or said.problem)
        answer = said.answer if said.answer is not None or acted else turns[-1].text.strip() or None
        return Trajectory(
            task=Task(
                id=f"{source}/{_digest(opening, conversation.images or ())}",
                source=source,
                clips=clips,
                question=_question(opening),
            ),
            prompt=prompt,
            turns=turns,
            stop="answered" if answer is not None else "turn_limit" if acted else "no_action",
            answer=answer,
            desirable=conversation.mark,
            replica=number,
        )

    def _images(self, conversation: Conversation) -> tuple[tuple[Clip, ...], list[FrameRef]]:
        images = conversation.images or ()
        if conversation.placeholders != len(images):
            raise FieldError(
                f"images: {len(images)} files, but the messages speak of {conversation.placeholders} images"
            )
        clips: dict[str, Clip] = {}
        frames = []
        for place, name in enumerate(images):
            path = str(self.root / name)
            clip = clips.setdefault(path, Clip(id=f"image {len(clips) + 1}", path=path))
            try:
                facts = self.world.describe(clip)
            except VideoError as problem:
                raise FieldError(f"images[{place}]: {problem}") from None
            if facts.size is None:
                raise FieldError(f"images[{place}]: {path} has no pictures")
            height, width = fitted(*facts.size, self.image_tokens)
            frames.append(FrameRef(clip=clip.id, time=0.0, height=height, width=width))
        return tuple(clips.values()) or (NO_IMAGE,), frames


def _question(opening: Sequence[Said]) -> str:
    """The words of the first user turn."""
    asked = next((one for one in opening if one.role == "user"), None)
    words = asked.words.strip() if asked else ""
    if not words:
        raise FieldError("messages: no question; the first turn of the user has no words")
    return words


def _digest(opening: Sequence[Said], images: Sequence[str]) -> str:
    """The same for what was asked in the same words about the same images."""
    shown = images[: sum(piece is None for one in opening for piece in one.pieces)]
    asked = repr(([(one.role, one.spelled) for one in opening], list(shown)))
    return hashlib.blake2b(asked.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _turns(rest: Sequence[Said], shown: Iterator[FrameRef], dialect: Dialect) -> list[Turn]:
    """Turns and what they saw; several observations in a row are one."""
    turns: list[Turn] = []
    for one in rest:
        if one.role == "system":
            raise FieldError("messages: a system message stands among the turns")
        if one.role != "assistant":
            before, parts = turns[-1].observation, _filled(one, shown)
            turns[-1].observation = Observation(parts=(*before.parts, "\n", *parts) if before else parts)
            continue
        if turns and turns[-1].observation is None:
            raise FieldError("messages: two turns of the model in a row; want what it saw in between")
        if None in one.pieces:
            raise FieldError("messages: a turn of the model holds an image; a model here writes words")
        text = _words(one, dialect)
        turns.append(Turn(text=text, calls=dialect.parse(text).calls))
    return turns


def _words(one: Said, dialect: Dialect) -> str:
    """A turn as this dialect would have it: its words, then its calls."""
    calls = [dialect.call(call.name, **call.arguments) for call in one.calls]
    return "\n".join([*([one.words] if one.pieces else []), *calls])


def _filled(one: Said, shown: Iterator[FrameRef]) -> tuple[Part, ...]:
    return tuple(next(shown) if piece is None else piece for piece in one.pieces)
