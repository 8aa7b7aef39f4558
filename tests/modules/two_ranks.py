"""Runs in each of two processes (RANK, WORLD_SIZE... in the environment): all cases, what came out to a file.

A program of test_ranks.py, not a test: a rank that waits for ever is killed from there.
"""

import sys
from pathlib import Path

import torch
from lightning.pytorch import Callback

from eva_lightning.callbacks import RolloutRefresh
from eva_lightning.data.synthesis.world import load_world
from eva_lightning.datamodules import TaskData
from tests.modules.copied import Shelf
from tests.modules.paced import Paced, at_once
from tests.modules.stages import (
    DEALT,
    NO_CLIP,
    ONE_EACH,
    PER_TOKEN,
    WITH_KL,
    Batches,
    Coin,
    Watching,
    fit,
    make,
    marked,
    moved,
    teach,
    trainer,
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


def dealt(folder, world, schooled, **settings):
    """What the first rank has, dealt to both: gradients, metrics, tasks of what this rank learned from."""
    taught, found = teach(world, folder), {}
    for case, stage, batch, begin_with, more in (
        ("sft", "sft", taught, None, {}),
        ("kto", "kto", marked(taught), schooled, {"objective": PER_TOKEN}),
        ("grpo", "fed", weighed(taught), None, {}),
    ):
        module = make(stage, folder, packing=DEALT, optimizer=NO_CLIP, **more)
        watching, hands, deal = Watching(begin_with), [], module.dealt
        module.dealt = lambda shares, deal=deal, hands=hands: hands.append(deal(shares)) or hands[-1]
        fit(module, (batch, []), callbacks=[watching], **settings)
        found[case] = watching.gradients[0], watching.metrics[0], {one.task.id for one in hands[0]}
    return found


def one_engine_for_both(folder, world, **settings):
    """Two iterations with an engine that ranks share: what it was handed here, who wrote, what was told."""
    module, watching = make("grpo", folder, attempts=2, rewards=[Coin()], engine=Shelf, lr=1e-2), Watching()
    fit(module, *[list(world.tasks)] * 2, callbacks=[watching, RolloutRefresh()], **settings)
    return module.engine.taken, {one.weight_versions for one in module.rollouts}, watching.metrics


class ForBoth(Paced):
    """One engine for both ranks, that is handed weights while both write."""

    shared = True


def two_batches_ahead(folder, world, **settings):
    """Six iterations over three epochs: events of this rank's engine, what it learned from, what was told."""
    events, watching, made = [], Watching(), []

    class Keeping(Callback):
        def on_train_batch_end(self, trainer, module, *_):
            made.append([(one.task.id, one.replica, one.seed) for one in module.rollouts])

    module = make(
        "grpo", folder, attempts=2, rewards=[Coin()], engine=lambda policy: ForBoth(policy, at_once, events)
    )
    refresh = RolloutRefresh(overlap=True, max_staleness=2)
    file = str(world.folder / "tasks.jsonl")
    fitting = trainer(callbacks=[refresh, watching, Keeping()], max_epochs=3, limit_val_batches=0, **settings)
    fitting.fit(module, TaskData(file, batch_size=2, eval_tasks=file))
    return events, made, watching.metrics


def shared_state(folder, world, file, **settings):
    """Two epochs with the optimizer's state on every rank, and shared out, and shared out with a stop in
    between: all weights, and the number of weights that this rank keeps a state of.
    """
    taught, found = teach(world, folder), {}
    for case, shares, epochs in (
        ("each", False, 2),
        ("shared", True, 2),
        ("half", True, 1),
        ("rest", True, 2),
    ):
        module = make("sft", folder, dtype="bfloat16", lr=1e-4, optimizer={"sharded": shares})
        fitting = trainer(max_epochs=epochs, **settings)
        fitting.fit(module, Batches(taught), ckpt_path=file if case == "rest" else None)
        optimizer = fitting.optimizers[0]
        found[case] = weights(module), len(getattr(optimizer, "optim", optimizer).state)
        if case == "half":
            fitting.save_checkpoint(file)
    return found


if __name__ == "__main__":
    tiny, world, schooled, out = sys.argv[1:]
    world, two = load_world(world), {"accelerator": "cpu", "devices": 2}
    found = cases(tiny, world, torch.load(schooled), strategy="ddp", **two)
    found["dealt"] = dealt(tiny, world, torch.load(schooled), strategy="ddp", **two)
    Shelf.file = Path(out) / "shelf.pt"
    found["one engine"] = one_engine_for_both(tiny, world, strategy="ddp", **two)
    found["ahead"] = two_batches_ahead(tiny, world, strategy="ddp", **two)
    found["state"] = shared_state(tiny, world, Path(out) / "half.ckpt", strategy="ddp", **two)
    torch.save(found, Path(out) / f"{torch.distributed.get_rank()}.pt")
