"""Parts of our speed in bench/training.py: what each gives alone, in CPU seconds of a pass there and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from training_material import Pictures

from eva_lightning.policy.inputs import TrajectoryInputs, lay_out, trajectory_inputs
from eva_lightning.policy.loading import PolicyConfig, load_policy
from eva_lightning.policy.logprobs import Scorer
from eva_lightning.policy.packing import PackingConfig, pack
from eva_lightning.policy.seen_frames import SeenFrames
from eva_lightning.policy.token_scores import TokenScores, rows_of
from eva_lightning.records import Trajectory

BUDGET = PackingConfig().budget(torch.device("cpu"))


def parts(folder: Path, plain: Sequence[Trajectory], with_frames: Sequence[Trajectory]) -> dict[str, float]:
    """How many times as long a pass takes without one part: above 1 the part is worth it."""
    policy = load_policy(PolicyConfig(path=str(folder), dtype="float32"))
    policy.model.train()
    scorer = Scorer(policy.model)
    world = Pictures()

    def read(one: Trajectory, tower: SeenFrames | None = None) -> TrajectoryInputs:
        return trajectory_inputs(one, policy, world.reader(one.task.clips), tower)

    texts = [read(one) for one in plain]
    everywhere = [
        replace(one, loss_mask=torch.arange(len(one.ids)) > 0)  # nothing comes before the first
        for one in texts
    ]
    tower = SeenFrames(policy, 2**30)

    def packed(inputs: Sequence[TrajectoryInputs], budget: int = BUDGET, entropy: bool = False) -> None:
        for places in pack([len(one.ids) for one in inputs], budget):
            scorer(lay_out([inputs[place] for place in places]), entropy=entropy)[0].sum().backward()

    def looking(kept: SeenFrames | None) -> None:
        packed([read(one, kept) for one in with_frames])

    def spent(call: Callable[[], None]) -> float:
        began = time.process_time()
        call()
        policy.model.zero_grad()
        return time.process_time() - began

    looking(tower)  # both sides are warm
    usual = spent(lambda: packed(texts))
    return {
        "packed_vs_padded": spent(lambda: _padded(policy.model, texts, 4)) / usual,
        "packed_vs_padded_sorted": spent(lambda: _padded(policy.model, sorted(texts, key=_length), 4))
        / usual,
        "packed_vs_one_by_one": spent(lambda: packed(texts, 1)) / usual,
        "loss_positions": spent(lambda: packed(everywhere)) / usual,
        "no_entropy": spent(lambda: packed(texts, entropy=True)) / usual,
        "tower_once": spent(lambda: looking(None)) / spent(lambda: looking(tower)),
    }


def _length(one: TrajectoryInputs) -> int:
    return len(one.ids)


def _padded(model: nn.Module, texts: Sequence[TrajectoryInputs], size: int) -> None:
    """Rows of one trajectory each, as wide as the widest, in passes of so many."""
    for start in range(0, len(texts), size):
        rows = texts[start : start + size]
        widest = max(len(one.ids) for one in rows)
        ids, mask, written = (torch.zeros(len(rows), widest, dtype=torch.int64) for _ in range(3))
        for number, one in enumerate(rows):
            ids[number, : len(one.ids)], mask[number, : len(one.ids)] = one.ids, 1
            written[number, : len(one.ids)] = one.loss_mask.long()
        hidden: Tensor = model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        row, column = written.nonzero(as_tuple=True)
        head: nn.Linear = model.lm_head
        nobody = torch.tensor([], dtype=torch.int64)
        given = (hidden[row, column - 1], head.weight, None, ids[row, column], nobody, 1.0, False)
        TokenScores.apply(*given, rows_of(head.out_features))[0].sum().backward()
