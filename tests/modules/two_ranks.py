"""Runs in each of two processes (RANK, WORLD_SIZE... in the environment): all cases, what came out to a file.

A program of test_ranks.py, not a test: a rank that waits for ever is killed from there.
"""

import sys
from pathlib import Path

import torch

from eva_lightning.synthesis.world import load_world
from tests.modules.stages import (
    NO_CLIP,
    ONE_EACH,
    PER_TOKEN,
    WITH_KL,
    Coin,
    Watching,
    fit,
    make,
    marked,
    moved,
    teach,
    weighed,
    weights,
)


def cases(folder, world, schooled, **settings):
    """Every case as (gradients of each step, metrics, names of moved weights)."""
    taught = teach(world, folder)
    silent = teach(world, folder, text_only=True)

    def run(stage, batch, begin_with=None, **more):
        module, watching = (
            make(stage, folder, packing=ONE_EACH, optimizer=NO_CLIP, **more),
            Watching(begin_with),
        )
        module.configure_model()
        before = weights(module)
        fit(module, batch, callbacks=[watching], **settings)
        return watching.gradients, watching.metrics, moved(before, weights(module))

    return {
        "sft": run("sft", taught),
        "kto": run("kto", marked(taught), schooled, objective=PER_TOKEN),
        "grpo": run("fed", weighed(taught)),
        "lora": run("fed", weighed(taught), lora=True, objective=WITH_KL),
        "uneven": run("sft", (taught[:3], silent[3:])),
        "one has nothing": run("fed", (weighed(taught), [])),
        "nobody has anything": run("fed", ([], [])),
        "rollouts": run("grpo", list(world.tasks), attempts=2, rewards=[Coin(world.tasks[0].clips[0].id)]),
    }


if __name__ == "__main__":
    tiny, world, schooled, out = sys.argv[1:]
    found = cases(tiny, load_world(world), torch.load(schooled), accelerator="cpu", devices=2, strategy="ddp")
    torch.save(found, Path(out) / f"{torch.distributed.get_rank()}.pt")
