"""Runs in each of several processes: a policy in shards that stops and goes on, writes, and is handed over.

A program of test_shards.py: `python -m tests.modules.shards_at_work PART TINY WORLD FOLDER`.
"""

import faulthandler
import sys
import warnings
from pathlib import Path

import torch

from eva_lightning.callbacks import HuggingFaceExport, IterationCheckpoint, RolloutRefresh
from eva_lightning.data.synthesis.world import load_world
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.modules import FSDP2Strategy
from tests.modules.copied import Shelf
from tests.modules.stages import Batches, Coin, Watching, make, teach, trainer
from tests.modules.strategy_cases import STRATEGIES, whole_weights


def school(
    taught, tiny, strategy, *, epochs=4, ranks=1, go_on=None, folder=None, dtype="bfloat16", **settings
):
    """SFT, one iteration an epoch: the weights at the end, or where it was stopped."""
    optimizer = {"weight_decay": 0.1, "decay": "linear", "warmup_steps": 2, "total_steps": 8}
    module = make("sft", tiny, dtype=dtype, lr=1e-4, optimizer=optimizer, **settings)
    kept = [IterationCheckpoint(folder=str(folder), every=1, keep=1)] if folder else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitting = trainer(
            strategy=strategy,
            devices=ranks,
            max_epochs=epochs,
            callbacks=kept,
            enable_checkpointing=bool(kept),
        )
        fitting.fit(module, Batches(taught), ckpt_path=go_on)
    assert module.iteration == epochs
    return whole_weights(module)


def stop_and_go_on(tiny, world, folder):
    """Two ranks: straight through, with a stop (folder, one file), and on from what one process wrote."""
    taught = teach(world, tiny)

    def two(one_file=False, **more):
        how = FSDP2Strategy(save_distributed_checkpoint=not one_file)
        return school(taught, tiny, how, ranks=2, **more)

    found = {"straight": two()}
    for name, one_file in (("folder", False), ("file", True)):
        two(one_file, epochs=2, folder=folder / name)
        found[name] = two(one_file, folder=folder / name, go_on="last")
        two(one_file, epochs=2, folder=folder / f"half {name}", dtype="float32")
    found["judged"] = judged(tiny, world, folder / "folder" / "last.ckpt")
    found["from one process"] = two(go_on=folder / "single" / "last.ckpt", dtype="float32")
    adapter = {"lora": True, "freeze_vision": True}
    found["adapter, straight"] = two(**adapter)
    two(epochs=2, folder=folder / "adapter", **adapter)
    found["adapter"] = two(folder=folder / "adapter", go_on="last", **adapter)
    return found


def judged(tiny, world, checkpoint):
    """A checkpoint is evaluated by a new trainer: its weights there."""
    module = make("sft", tiny, dtype="bfloat16")
    judging = trainer(strategy=FSDP2Strategy(), devices=2)
    judging.validate(module, Batches(questions=world.tasks), ckpt_path=checkpoint, verbose=False)
    assert len(module.evaluated) == 4
    return whole_weights(module)


def under_deepspeed(tiny, world, folder):
    """ZeRO-2 and ZeRO-3 on two ranks: straight through, with a stop, an engine that is handed weights."""
    taught, found = teach(world, tiny), {}
    for name in ("zero2", "zero3"):

        def two(name=name, **more):
            return school(taught, tiny, STRATEGIES[name](), ranks=2, **more)

        found[name, "straight"] = two()
        two(epochs=2, folder=folder / name)
        found[name, "rest"] = two(folder=folder / name, go_on="last")
        found[name, "shelf"] = roll_out(tiny, world, folder / f"{name} shelf", STRATEGIES[name](), Shelf)
    return found


def go_on_alone(tiny, world, folder):
    """One rank goes on with what two wrote."""
    taught = teach(world, tiny)
    return {
        name: school(
            taught, tiny, FSDP2Strategy(), go_on=folder / f"half {name}" / "last.ckpt", dtype="float32"
        )
        for name in ("folder", "file")
    }


def write_and_hand_over(tiny, world, folder):
    """The policy's own weights write, or an engine that is handed them."""
    engines = {"own": TransformersEngine, "shelf": Shelf}
    return {
        name: roll_out(tiny, world, folder / name, FSDP2Strategy(), engine, questions=world.tasks)
        for name, engine in engines.items()
    }


def roll_out(tiny, world, folder, strategy, engine, questions=()):
    """Two iterations of GRPO and an export: metrics, weights, what the engine took, questions answered."""
    folder.mkdir(exist_ok=True)
    Shelf.file, watching = folder / "shelf.pt", Watching()
    module = make("grpo", tiny, attempts=2, rewards=[Coin()], engine=engine, lr=1e-2)
    callbacks = [watching, RolloutRefresh(), HuggingFaceExport(folder=str(folder))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitting = trainer(strategy=strategy, devices=2, callbacks=callbacks)
        fitting.fit(module, Batches(*[list(world.tasks)] * 2, questions=questions))
    here = sum(getattr(one, "_local_tensor", one).numel() for one in module.model.parameters())
    return {
        "metrics": watching.metrics,
        "weights": whole_weights(module),
        "weights here": here,
        "taken": getattr(module.engine, "taken", None),
        "evaluated": len(module.evaluated),
    }


PARTS = {"stop": stop_and_go_on, "alone": go_on_alone, "write": write_and_hand_over, "zero": under_deepspeed}

if __name__ == "__main__":
    part, tiny, world, folder = sys.argv[1:]
    faulthandler.dump_traceback_later(380, exit=True)
    found = PARTS[part](tiny, load_world(world), Path(folder))
    torch.save(found, Path(folder) / f"{part}-{torch.distributed.get_rank()}.pt")
