"""Runs in each of several processes: a few steps of every case under every strategy, for comparison.

A program of test_strategies.py and of bench/strategies.py: `python -m tests.modules.strategy_cases TINY WORLD
OUT STEPS STRATEGY:CASE...`. Rank 0 saves what came of it. A case that takes too long ends all of them.
"""

import faulthandler
import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from lightning.pytorch import Callback

from eva_lightning.data.synthesis.world import load_world
from eva_lightning.modules import FSDP2Strategy, SFTModule, ZeroStrategy
from eva_lightning.policy.merged_weights import whole
from tests.modules.stages import (
    ALL_IN_ONE,
    ONE_EACH,
    PER_TOKEN,
    STAGES,
    WITH_KL,
    Batches,
    make,
    marked,
    teach,
    trainer,
    weighed,
)

SMALL = {"overlap_comm": False}
STRATEGIES = {
    "one process": lambda: "auto",
    "ddp": lambda: "ddp",
    "fsdp2": FSDP2Strategy,
    "fsdp2, gathered once": lambda: FSDP2Strategy(reshard_after_forward=False),
    "zero2": lambda: ZeroStrategy(2, zero=SMALL),
    "zero3": lambda: ZeroStrategy(3, zero=SMALL | {"stage3_param_persistence_threshold": 0}),
    "zero3, read into shards": lambda: ZeroStrategy(
        3, read_into_shards=True, zero=SMALL | {"stage3_param_persistence_threshold": 0}
    ),
    "ddp, rows shared": lambda: "ddp",
    "fsdp2, rows shared": FSDP2Strategy,
    "zero2, rows shared": lambda: ZeroStrategy(2, zero=SMALL),
    "zero3, rows shared": lambda: ZeroStrategy(3, zero=SMALL | {"stage3_param_persistence_threshold": 0}),
    "zero2, offload": lambda: ZeroStrategy(2, offload_optimizer=True, zero=SMALL),
}
OPTIMIZER = {
    "max_grad_norm": 0.5,
    "weight_decay": 0.1,
    "decay": "linear",
    "warmup_steps": 2,
    "total_steps": 20,
}
PATIENCE = 90
"""Seconds for one case; a hang is none of them."""


def cases(world, folder):
    """Each case: stage, the batch or the share of each rank, more settings. Passes of rank 0 / rank 1."""
    taught, silent = teach(world, folder), teach(world, folder, text_only=True)
    marks, fed = marked(taught), weighed(taught)
    uneven = (fed[:3], weighed(silent)[3:])
    adapter = {"lora": True, "freeze_vision": True}
    return {
        "sft": ("sft", taught, {}),  # 2 / 2
        "sft, uneven": ("sft", (taught[:3], silent[3:]), {}),  # 3 with images / 1 without
        "sft, uneven, frozen tower": ("sft", (taught[:3], silent[3:]), {"freeze_vision": True}),
        "grpo": ("fed", fed, {}),
        "grpo, a rank without data": ("fed", (fed, []), {}),  # 4 / 0
        "grpo, two optimizer steps": ("fed", uneven, {"mini_batches": 2}),
        "grpo, lora, kl": ("fed", uneven, adapter | {"objective": WITH_KL}),
        "grpo, kl": ("fed", uneven, {"objective": WITH_KL}),
        "kto": ("kto", (marks[:3], marks[3:]), {"objective": PER_TOKEN}),
        "kto, lora": ("kto", (marks[:3], marks[3:]), adapter | {"objective": PER_TOKEN}),
        "kto, a rank without data": ("kto", (marks, []), {"objective": PER_TOKEN}),
        "sft, not finite on one rank": ("poisoned", taught, {}),
        "sft, bfloat16": ("sft", (taught[:3], silent[3:]), {"dtype": "bfloat16"}),
    }


class Poisoned(SFTModule):
    """The last rank finds a loss that is no number, in its first pass of all."""

    sound = False

    def logprobs(self, *batch, **how):
        found = super().logprobs(*batch, **how)
        last, first, self.sound = self.global_rank == self.world_size - 1, not self.sound, True
        return replace(found, logprobs=found.logprobs * torch.nan) if last and first else found


STAGES["poisoned"] = Poisoned


class Stepwise(Callback):
    """Keeps whole gradients of every optimizer step, and whole weights and metrics of every iteration."""

    def __init__(self):
        self.gradients, self.weights, self.metrics = [], [], []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        trained = [(name, one) for name, one in module.model.named_parameters() if one.requires_grad]
        self.gradients.append({name: gradient(trainer, one) for name, one in trained})

    def on_train_batch_end(self, trainer, module, *_):
        self.weights.append(whole_weights(module))
        self.metrics.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def gradient(trainer, parameter):
    """That of all ranks, whole. DeepSpeed clips it later than we do."""
    if isinstance(trainer.strategy, ZeroStrategy):
        from deepspeed.utils import safe_get_full_grad

        return safe_get_full_grad(parameter).clone()
    return whole(parameter.grad).clone()


def whole_weights(module):
    """All of it, on every rank; ranks call it together."""
    held = module.model.state_dict(keep_vars=True).items()
    return {name: whole(value).detach().clone() for name, value in held}


def run(case, strategy, folder, steps, devices=1, checkpoint=None, packing=ONE_EACH, **settings):
    """A few steps on one batch: gradients, weights, metrics. Afterwards a checkpoint, if a path is given."""
    stage, batch, more = case
    watching = Stepwise()
    module = make(stage, folder, packing=packing, lr=1e-4, optimizer=OPTIMIZER, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitting = trainer(strategy=strategy, devices=devices, callbacks=[watching])
        fitting.fit(module, Batches(*[batch] * steps), **settings)
        if checkpoint is not None:
            fitting.save_checkpoint(checkpoint, weights_only=False)
    return watching.gradients, watching.weights, watching.metrics


def main(tiny, world, out, steps, *wanted):
    known, found, ranks = cases(load_world(world), tiny), {}, int(os.environ["WORLD_SIZE"])
    for one in wanted:
        strategy, name = one.split(":")
        print(one, file=sys.stderr, flush=True)
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        packing = replace(ALL_IN_ONE, sequence_ranks=ranks) if "rows shared" in strategy else ONE_EACH
        how = STRATEGIES[strategy]()
        found[strategy, name] = run(known[name], how, tiny, int(steps), ranks, packing=packing)
        faulthandler.cancel_dump_traceback_later()
    if os.environ["RANK"] == "0":
        torch.save(found, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
