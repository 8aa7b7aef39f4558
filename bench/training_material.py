"""Material of bench/training.py: a policy with random weights, and trajectories for both sides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from eva_lightning.agent.worlds.base import World
from eva_lightning.policy.renderer import Renderer
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.records import Clip, FrameRef, Message, Task, Trajectory, Turn
from eva_lightning.video.decoder import Pixels

WORDS = "a red ball rolls behind the box and a blue lamp blinks twice before someone opens the door".split()
SIDE = 224
SIZES = {"tiny": (128, 2, 704), "large": (256, 6, 151_936)}
"""Width, layers and vocabulary: 0.6 and 83 million weights."""


class Pictures(World):
    """A world of still frames, each made of its time."""

    def pixels(self, clip: Clip, frame: FrameRef) -> Pixels:
        return picture(int(frame.time))

    def describe(self, clip: Clip) -> object:  # type: ignore[override]
        raise NotImplementedError

    look = listen = tell = describe  # type: ignore[assignment]


def picture(number: int) -> Pixels:
    coarse = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE)))


def policy_folder(size: str, folder: Path) -> Path:
    """A checkpoint of this size, made once."""
    made = folder / size
    if not (made / "config.json").exists():
        width, layers, vocabulary = SIZES[size]
        corpus = [" ".join(WORDS)]
        build_tiny(made, corpus=corpus, hidden=width, layers=layers, vocab=400, rows=vocabulary)
    return made


def trajectories(renderer: Renderer, count: int, seed: int, frames: int = 0) -> list[Trajectory]:
    """Of 250 to 1,470 tokens, a fifth of them written, in random order; every second one is good."""
    dice = np.random.default_rng(seed)
    lengths = dice.permutation(np.linspace(250, 1470, count).astype(int))
    return [_trajectory(renderer, number, int(length), dice, frames) for number, length in enumerate(lengths)]


def _trajectory(
    renderer: Renderer, number: int, length: int, dice: np.random.Generator, frames: int
) -> Trajectory:
    shown = tuple(
        FrameRef(clip="v", time=float(place), height=SIDE, width=SIDE)
        for place in dice.choice(8, size=frames, replace=False)
    )
    seen = sum(frame.visual_tokens for frame in shown)
    question = _words(renderer, max(8, length - length // 5 - seen - 30), dice)
    answer = _words(renderer, length // 5, dice)
    prompt = (Message(role="user", parts=(*shown, question)),)
    task = Task(id=str(number), clips=(Clip(id="v", path="v.mp4"),), question=question)
    ids = renderer.turn_ids(answer)
    made = Trajectory(
        task=task,
        prompt=prompt,
        prompt_ids=renderer.opening(prompt),
        turns=[Turn(text=answer, token_ids=ids, logprobs=[-6.0] * len(ids))],
    )
    return replace(made, desirable=number % 2 == 0)


def _words(renderer: Renderer, tokens: int, dice: np.random.Generator) -> str:
    """About so many tokens of words."""
    text = " ".join(dice.choice(WORDS, size=tokens))
    return renderer.decode(renderer.turn_ids(text)[:tokens])
