"""Describers of embedded clips: one who sees what they show, and the same at the price of a vision model."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eva_lightning.agent.worlds.script_world import Sighting, told
from eva_lightning.data.synthesis.picture import draw
from eva_lightning.data.synthesis.script import BACKGROUNDS, INKS, MARKS, SHAPES, Scene
from eva_lightning.engines.base import Context, Engine, Sampling, Utterance
from eva_lightning.engines.checkpoint_engine import CheckpointEngine
from eva_lightning.records import PATCH
from eva_lightning.video.decoder import Pixels

SIDE = 112
"""Pixels of a frame's side, in the videos and as it is read."""


class Eyes(Engine):
    """Sees what an embedded clip shows: of all pictures that there can be, the nearest to the pixels."""

    def __init__(self) -> None:
        self._names = list(product(BACKGROUNDS, SHAPES, INKS))
        scenes = [Scene(background=b, shape=s, ink=i, mark="rows") for b, s, i in self._names]
        self._pictures = np.stack([self._flat(draw(scene, SIDE, SIDE)) for scene in scenes])
        plates = [[draw(replace(scenes[0], mark=mark), SIDE, SIDE, n) for n in range(16)] for mark in MARKS]
        self._plates = np.stack([np.mean([self._plate(one) for one in drawn], axis=0) for drawn in plates])

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        return Utterance(text=await asyncio.to_thread(self._tell, context))

    def _tell(self, context: Context) -> str:
        frames = context.messages[0].frames
        return told(Sighting(one.clip, one.time, self._words(context.pixels(one))) for one in frames)

    def _words(self, pixels: Pixels) -> str:
        background, shape, ink = self._names[self._nearest(self._pictures, self._flat(pixels))]
        mark = MARKS[self._nearest(self._plates, self._plate(pixels))]
        return Scene(background=background, shape=shape, ink=ink, mark=mark).sentence

    @staticmethod
    def _nearest(rows: NDArray[np.float32], one: NDArray[np.float32]) -> int:
        return int(((rows - one) ** 2).sum(1).argmin())

    @staticmethod
    def _flat(pixels: Pixels) -> NDArray[np.float32]:
        return pixels[::2, ::2].astype(np.float32).ravel()

    @staticmethod
    def _plate(pixels: Pixels) -> NDArray[np.float32]:
        return pixels[-PATCH:, -PATCH:].mean(-1).astype(np.float32).ravel()


class PaidEyes(Engine):
    """Lets a vision model describe the frames as well, to the last of the tokens it may write.

    What it wrote is thrown away.
    """

    def __init__(self, path: str) -> None:
        """`path` is the folder of the vision model."""
        self._eyes, self._model = Eyes(), CheckpointEngine(path, max_batch=64)

    @property
    def renderer(self) -> Any:  # type: ignore[override]  # read with the checkpoint, not before
        return self._model.renderer

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        await self._model.write(context, sampling)
        return await self._eyes.write(context, sampling)

    def model_name(self) -> str:
        return self._model.model_name()

    def close(self) -> None:
        self._model.close()
