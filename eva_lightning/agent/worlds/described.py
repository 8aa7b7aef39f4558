"""A world of pictures and sound, told in words: one model sees for the agent, another hears for it.

To the agent it is a world of words like a `ScriptWorld`, so that what is learned there acts here with the
same tools, dialect and rewards. What was told of the same frames with the same question, and heard in the
same seconds of the same file, is not asked again. A model that does not reply is our failure and a `Fault`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from eva_lightning.agent.worlds.base import ClipFacts, Glimpse, Look, Sound, World
from eva_lightning.agent.worlds.script_world import spoken
from eva_lightning.engines.base import Engine, Sampling
from eva_lightning.engines.frame_names import frame_names
from eva_lightning.engines.single_turn import ask, caption
from eva_lightning.engines.transcriber import Recogniser, Recording, Speech
from eva_lightning.faults import EngineFault, Fault, NoSound, UsageError
from eva_lightning.files.memo import Memo
from eva_lightning.records import Clip, Part
from eva_lightning.video.identity import identity
from eva_lightning.video.quarantine import Quarantine
from eva_lightning.video.sampling import snap

NO_WORDS = "(no words came back)"
GLIMPSE = "What does this frame show?"


@dataclass(frozen=True, kw_only=True)
class Remark:
    """What a model said of frames or sound."""

    key: str
    """Hash of what it was shown and asked, and of who it is."""
    words: str
    """What it said."""
    model: str
    """Its name."""


@dataclass(kw_only=True)
class Asked:
    """What a described world took so far."""

    told: int = 0
    """Questions that were put to the one who sees."""
    heard: int = 0
    """Stretches that were put to the one who hears."""
    recalled: int = 0
    """Questions and stretches that were answered from memory or file."""


class Described(World):
    """What another world shows, in words of models that see and hear it."""

    has_pictures = False

    def __init__(
        self,
        world: World,
        seer: Engine,
        hearer: Recogniser | None = None,
        side: int = 360,
        max_tokens: int = 512,
        timeout: float = 300.0,
        cache: str | None = None,
    ) -> None:
        """
        Args:
            world: What is seen and heard, as a rule a VideoWorld.
            seer: Who sees the frames and tells of them: a ServerEngine, a CheckpointEngine.
            hearer: Who writes down what is said; None where no tool listens.
            side: Pixels of the longer side of a frame as it is seen; larger ones are shrunk.
            max_tokens: Tokens of what is told in one call.
            timeout: Seconds to wait for a reply of either.
            cache: JSONL file of what was told and heard, to go on with; None keeps it in memory only.
        """
        if min(side, max_tokens) < 1 or timeout <= 0:
            raise UsageError(
                f"a described world with side {side}, max_tokens {max_tokens}, timeout {timeout:g}: want 1 "
                "or more, and more than 0 seconds"
            )
        if not world.has_pictures:
            raise UsageError(f"{type(world).__name__} has no pictures to be told of; give it as it is")
        self.world, self.seer, self.hearer = world, seer, hearer
        if seer.renderer is not None and seer.renderer.square is not None:
            world.square = seer.renderer.square
        self.side, self.max_tokens, self.timeout, self.cache = side, max_tokens, timeout, cache
        self.asked = Asked()
        self._memo = Memo(Remark, cache)
        self._coming: dict[tuple[int, str], asyncio.Future[str]] = {}

    def facts(self) -> dict[str, Any]:
        inner = {"class": type(self.world).__name__} | self.world.facts()
        told = {"seer": type(self.seer).__name__, "side": self.side, "max_tokens": self.max_tokens}
        return {"of": inner} | told | {"hearer": self.hearer and type(self.hearer).__name__}

    def describe(self, clip: Clip) -> ClipFacts:
        return ClipFacts(duration=self.world.describe(clip).duration)

    def viewing(self, clip: Clip, times: Sequence[float]) -> Look:
        """As large as the one who sees is shown them, in squares of its own."""
        facts = self.world.describe(clip)
        if facts.size is None:
            raise Fault(f"clip {clip.id!r} has no pictures to be told of; leave it out")
        square = self.world.square
        height, width = snap(*facts.size, min(1.0, self.side / max(facts.size)), square)
        return Look(clip=clip, times=tuple(times), height=height, width=width, square=square)

    async def look(self, clip: Clip, times: Sequence[float], height: int, width: int) -> list[Glimpse]:
        """One description for each moment: what a size costs is decided by `side`."""
        views = [await asyncio.to_thread(self.viewing, clip, (time,)) for time in times]
        shown = await asyncio.gather(*map(self._shown, views))
        said = await asyncio.gather(
            *(self._told([view], [one], GLIMPSE) for view, one in zip(views, shown, strict=True))
        )
        return [
            Glimpse(time=one[0].time, content=words, note=one[0].note)
            for one, words in zip(shown, said, strict=True)
        ]

    async def tell(self, looks: Sequence[Look], focus: str) -> str:
        shown = await asyncio.gather(*map(self._shown, looks))
        return await self._told(looks, shown, focus)

    async def listen(self, clip: Clip, start: float, end: float) -> Sound:
        hearer = self.hearer
        if hearer is None:
            raise Fault("Described has no hearer; give one, or leave out the tools that listen")
        facts = await asyncio.to_thread(self.world.describe, clip)
        start, end = max(start, 0.0), min(end, facts.duration)
        model = await asyncio.to_thread(hearer.model_name)
        begin = clip.begin or 0.0
        file = identity(clip.path) if clip.path else None
        stretch = [round(begin + start, 6), round(begin + end, 6), begin]
        key = None if file is None or model is None else _key("heard", model, [*file], stretch)
        text = await self._kept(key, model, lambda: self._heard(hearer, clip, start, end))
        return Sound(start=start, end=end, text=text)

    @property
    def quarantine(self) -> Quarantine | None:
        return self.world.quarantine

    @property
    def proxies(self) -> str | None:
        return self.world.proxies

    def close(self) -> None:
        self._memo.close()
        self.seer.close()
        if self.hearer is not None:
            self.hearer.close()
        self.world.close()

    async def _shown(self, look: Look) -> list[Glimpse]:
        if look.height is None or look.width is None:
            look = await asyncio.to_thread(self.viewing, look.clip, look.times)
        assert look.height is not None and look.width is not None
        return await self.world.look(look.clip, look.times, look.height, look.width)

    async def _told(self, looks: Sequence[Look], shown: Sequence[Sequence[Glimpse]], focus: str) -> str:
        """What the frames show, asked once for the same frames and the same question."""
        clips = tuple({look.clip.id: look.clip for look in looks}.values())
        parts: list[Part] = []
        seen = [
            (look.clip.id, glimpse) for look, found in zip(looks, shown, strict=True) for glimpse in found
        ]
        for number, (clip, glimpse) in enumerate(seen):
            note = f" ({glimpse.note})" if glimpse.note else ""
            parts += [caption(number, glimpse.time, clip), glimpse.content, *([note] if note else [])]
        parts.append(_request(focus, len(clips)))
        model = await asyncio.to_thread(self.seer.model_name)
        key = None
        if model is not None and all(clip.path for clip in clips):
            name = frame_names(clips)
            named = [part if isinstance(part, str) else name(part) for part in parts]
            key = _key("told", model, named, self.max_tokens)
        return await self._kept(key, model, lambda: self._answer(parts, clips))

    async def _answer(self, parts: Sequence[Part], clips: Sequence[Clip]) -> str:
        self.asked.told += 1
        with self.seer.seat():
            said = await ask(
                self.seer,
                parts,
                self.world.reader(clips),
                Sampling(temperature=0.0, max_tokens=self.max_tokens),
                clips=clips,
                timeout=self.timeout,
            )
        _, closed, words = said.text.partition("</think>")
        return (words if closed else said.text).strip() or NO_WORDS

    async def _heard(self, hearer: Recogniser, clip: Clip, start: float, end: float) -> str:
        self.asked.heard += 1
        try:
            sound = await self.world.listen(clip, start, end)
        except NoSound:
            return ""
        if sound.waveform is None:
            return sound.text
        recording = Recording(waveform=sound.waveform, rate=sound.rate, clip=clip.id, start=sound.start)
        try:
            said = await asyncio.wait_for(hearer.transcribe(recording), self.timeout)
        except TimeoutError:
            raise EngineFault(f"{type(hearer).__name__} did not reply in {self.timeout:g} s") from None
        return "\n".join(_line(piece, sound.start) for piece in said)

    async def _kept(self, key: str | None, model: str | None, make: Callable[[], Awaitable[str]]) -> str:
        """What was said before, or is being said to somebody else, or is said now. No failure is kept."""
        if key is None or model is None:
            return await make()
        known = self._memo.find([key])
        if known:
            self.asked.recalled += 1
            return known[key].words

        async def made() -> str:
            words = await make()
            self._memo.add(Remark(key=key, words=words, model=model))
            return words

        # A loop's futures are its own, and a world may be asked from several.
        place = (id(asyncio.get_running_loop()), key)
        coming = self._coming.get(place)
        if coming is None:
            coming = self._coming[place] = asyncio.ensure_future(made())
            coming.add_done_callback(lambda _: self._coming.pop(place, None))
        else:
            self.asked.recalled += 1
        return await asyncio.shield(coming)


def _request(focus: str, clips: int) -> str:
    """What is asked of the frames that stand before it."""
    which = "These are frames of one video" if clips == 1 else f"These are frames of {clips} videos"
    return (
        f"\n\n{which}, each with its name and its second. {focus.strip()}\nAnswer from them alone, in a few "
        "sentences. Say of which video and which seconds you speak, and say so where they do not show it."
    )


def _line(piece: Speech, begin: float) -> str:
    return spoken(begin + piece.start, begin + piece.end, piece.words)


def _key(*asked: object) -> str:
    return blake2b(json.dumps(asked, ensure_ascii=False).encode(), digest_size=16).hexdigest()
