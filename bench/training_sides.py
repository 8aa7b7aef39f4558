"""Two sides of bench/training.py: CPU seconds of an optimizer step in ours and in TRL, from end to end.

Both train all weights but the tower's in float32, without recomputed activations, on the same trajectories.
"""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image
from torch.utils.data import DataLoader
from training_material import Pictures, picture

from eva_lightning.agent.config import AgentConfig
from eva_lightning.modules import KTOModule, SFTModule
from eva_lightning.modules.base import PolicyModule
from eva_lightning.modules.optimizing import OptimizerConfig
from eva_lightning.objectives.kto import KTOSettings
from eva_lightning.policy.loading import PolicyConfig
from eva_lightning.policy.packing import PackingConfig
from eva_lightning.records import Trajectory

STEPS = 2
"""Optimizer steps of a run; the first one warms up."""


BANNED = 271
"""Ids of Qwen2.5-VL that stand for no word."""


class Clock:
    """CPU seconds at the end of each step."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def tick(self) -> None:
        self.ends.append(time.process_time())

    @property
    def seconds(self) -> float:
        """Of a step, without the first."""
        return median(end - begin for begin, end in zip(self.ends, self.ends[1:], strict=False))


class Ticking(Callback):
    """Notes the end of each step."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ban as many rows without a word as real checkpoints have; TRL bans none.

        The vocabulary here is nearly all such rows.
        """
        assert isinstance(pl_module, PolicyModule)
        renderer = pl_module.policy.renderer
        renderer.banned_ids = renderer.banned_ids[:BANNED]

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.clock.tick()


def ours(
    stage: str, folder: Path, batch: Sequence[Trajectory], packing: PackingConfig | None = None
) -> float:
    """CPU seconds of a step of ours, with our defaults."""
    settings: dict[str, Any] = {
        "policy": PolicyConfig(path=str(folder), dtype="float32"),
        "optimizer": OptimizerConfig(lr=1e-6),
        "agent": AgentConfig(world=Pictures()),
        "packing": packing,
    }
    module: PolicyModule
    if stage == "kto":
        module = KTOModule(objective=KTOSettings(desirable_weight=1.0), **settings)
    else:
        module = SFTModule(**settings)
    clock = Clock()
    with quiet():
        trainer = Trainer(
            accelerator="cpu",
            devices=1,
            logger=False,
            max_epochs=1,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            callbacks=[Ticking(clock)],
        )
        trainer.fit(module, DataLoader([list(batch)] * STEPS, batch_size=None, collate_fn=lambda one: one))
    return clock.seconds


def trl(
    stage: str, folder: Path, batch: Sequence[Trajectory], size: int, *, sort: bool, compact: bool
) -> float:
    """CPU seconds of a step of TRL.

    Args:
        stage: sft or kto.
        folder: Of the policy.
        batch: Trajectories of a step.
        size: How many share a forward pass.
        sort: By length, or as they come.
        compact: Score written tokens alone, which TRL does on a GPU; on a CPU it scores them all.
    """
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration, TrainerCallback
    from trl import KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

    clock = Clock()

    class Ticks(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.tick()

    rows = sorted(batch, key=lambda one: one.ledger.total) if sort else list(batch)
    settings: dict[str, Any] = {
        "output_dir": str(folder / "trl"),
        "per_device_train_batch_size": size,
        "gradient_accumulation_steps": len(rows) // size,
        "max_steps": STEPS,
        "learning_rate": 1e-6,
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "max_length": None,
        "train_sampling_strategy": "sequential",
    }
    with quiet(), scored(compact):
        from datasets import Dataset

        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype="float32")
        model.model.visual.requires_grad_(False)
        processor = AutoProcessor.from_pretrained(folder)
        if stage == "sft":
            data = Dataset.from_list([_labelled(one) for one in rows])
            trainer: Any = SFTTrainer(
                model,
                SFTConfig(**settings, dataset_kwargs={"skip_prepare_dataset": True}),
                train_dataset=data,
                processing_class=processor.tokenizer,
                callbacks=[Ticks()],
            )
        else:
            reference = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype="float32")
            data = Dataset.from_list([_judged(one) for one in rows])
            trainer = KTOTrainer(
                model,
                reference,
                KTOConfig(**settings),
                train_dataset=data,
                processing_class=processor,
                callbacks=[Ticks()],
            )
        trainer.train()
    return clock.seconds


def _labelled(one: Trajectory) -> dict[str, list[int]]:
    ids = one.token_ids
    labels = [token if written else -100 for token, written in zip(ids, one.loss_mask, strict=True)]
    return {"input_ids": ids, "labels": labels}


def _judged(one: Trajectory) -> dict[str, Any]:
    images = [Image.fromarray(picture(int(frame.time))) for frame in one.frames]
    question = "".join(part for part in one.prompt[0].parts if isinstance(part, str))
    marks = "<|vision_start|><|image_pad|><|vision_end|>" * len(images)
    prompt = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\n{marks}{question}<|im_end|>\n<|im_start|>assistant\n"
    )
    return {
        "prompt": prompt,
        "completion": one.turns[0].text + "<|im_end|>",
        "label": bool(one.desirable),
        "images": images,
    }


@contextlib.contextmanager
def scored(compact: bool) -> Iterator[None]:
    """TRL scores written tokens alone, or as it does here."""
    with contextlib.ExitStack() as stack:
        if compact:
            stack.enter_context(mock.patch("trl.trainer.utils._use_triton", lambda device: True))
        yield


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No words of either side."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
