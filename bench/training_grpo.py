"""GRPO in bench/training.py: CPU seconds of an iteration in ours and in TRL, generation included.

The case that TRL's trainer can do: two pictures and a question, one turn, no tool. Both write with
transformers' weights in this process, equally many tokens a turn (neither may end one early), equally many
attempts, and reward the length of the text. All weights but the tower's are trained in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from PIL import Image
from torch.utils.data import DataLoader
from training_material import SIDE, WORDS, Pictures, picture
from training_sides import BANNED, STEPS, Clock, Ticking, quiet, scored

from eva_lightning.agent.config import AgentConfig
from eva_lightning.agent.dialects.base import Parsed
from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.rollout import Limits
from eva_lightning.agent.worlds.base import ClipFacts
from eva_lightning.modules import GRPOModule
from eva_lightning.modules.optimizing import OptimizerConfig
from eva_lightning.policy.loading import PolicyConfig
from eva_lightning.records import Clip, FrameRef, Message, Score, Task, Trajectory
from eva_lightning.rewards.base import Reward

ATTEMPTS = 8
WRITTEN = 64
"""Tokens of every turn."""
FRAMES = 2


class Shown(Pictures):
    """Still frames of which the facts are known."""

    def describe(self, clip: Clip) -> ClipFacts:
        return ClipFacts(duration=8.0, height=SIDE, width=SIDE, fps=1.0)


class Asking(EvaDialect):
    """Two pictures and a question; whatever is said is the answer."""

    def opening(self, task: Task, facts: Sequence[ClipFacts], **_: Any) -> tuple[Message, ...]:
        shown = tuple(
            FrameRef(clip="v", time=float(time), height=SIDE, width=SIDE) for time in task.extra["times"]
        )
        return (Message(role="user", parts=(*shown, task.question)),)

    def parse(self, text: str) -> Parsed:
        return Parsed(answer=text)


def worth(text: str) -> float:
    """Something that attempts differ in, and that costs nothing to compute."""
    return float(len(text) % 7)


class Length(Reward):
    """What both sides are rewarded for."""

    name = "length"

    def score(self, trajectory: Trajectory) -> Score:
        return self.give(worth(trajectory.turns[0].text), "its length")


class Cutting(Ticking):
    """Turns end where they must, on both sides."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ban the ends of a turn, beside as many rows without a word as real checkpoints have."""
        assert isinstance(pl_module, GRPOModule)
        renderer = pl_module.policy.renderer
        renderer.banned_ids = [*renderer.banned_ids[:BANNED], *renderer.end_ids]


def questions(count: int, seed: int) -> list[Task]:
    """Of 100 to 600 words, each with two of eight pictures."""
    dice = np.random.default_rng(seed)
    lengths = dice.permutation(np.linspace(100, 600, count).astype(int))
    return [
        Task(
            id=str(number),
            clips=(Clip(id="v", path="v.mp4"),),
            question=" ".join(dice.choice(WORDS, size=length)),
            extra={"times": dice.choice(8, size=FRAMES, replace=False).tolist()},
        )
        for number, length in enumerate(lengths)
    ]


def ours(folder: Path, tasks: Sequence[Task]) -> float:
    """CPU seconds of an iteration of ours, with our defaults."""
    clock = Clock()
    module = GRPOModule(
        policy=PolicyConfig(path=str(folder), dtype="float32"),
        optimizer=OptimizerConfig(lr=1e-6),
        agent=AgentConfig(
            dialect=Asking(), tools=[], world=Shown(), limits=Limits(turns=1, turn_tokens=WRITTEN)
        ),
        rewards=[Length()],
        attempts=ATTEMPTS,
    )
    with quiet():
        trainer = Trainer(
            accelerator="cpu",
            devices=1,
            logger=False,
            max_epochs=1,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            callbacks=[Cutting(clock)],
        )
        trainer.fit(module, DataLoader([list(tasks)] * STEPS, batch_size=None, collate_fn=lambda one: one))
    written = [len(turn.token_ids) for one in module.rollouts for turn in one.turns]
    assert written == [WRITTEN] * ATTEMPTS * len(tasks)
    return clock.seconds


def trl(folder: Path, tasks: Sequence[Task], size: int) -> float:
    """CPU seconds of an iteration of TRL, with `size` trajectories in a pass."""
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    clock = Clock()
    lengths: list[int] = []

    class Ticks(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.tick()

    def length(completions: Any, completion_ids: Any, **_: Any) -> list[float]:
        lengths.extend(map(len, completion_ids))
        return [worth(one[0]["content"]) for one in completions]

    rows = [
        {
            "prompt": [{"role": "user", "content": task.question}],
            "images": [Image.fromarray(picture(time)) for time in task.extra["times"]],
        }
        for task in tasks
    ]
    with quiet(), scored(compact=True):
        from datasets import Dataset

        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype="float32")
        model.model.visual.requires_grad_(False)
        trainer = GRPOTrainer(
            model,
            length,
            GRPOConfig(
                output_dir=str(folder / "trl"),
                per_device_train_batch_size=size,
                gradient_accumulation_steps=ATTEMPTS * len(tasks) // size,
                num_generations=ATTEMPTS,
                max_completion_length=WRITTEN,
                generation_kwargs={"min_new_tokens": WRITTEN},
                max_steps=STEPS,
                learning_rate=1e-6,
                bf16=False,
                gradient_checkpointing=False,
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoProcessor.from_pretrained(folder, padding_side="left"),
            callbacks=[Ticks()],
        )
        trainer.train()
    assert lengths == [WRITTEN] * ATTEMPTS * len(tasks) * STEPS
    return clock.seconds
