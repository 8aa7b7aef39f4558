"""Strategies: do two ranks make the steps of one process: `python bench/strategies.py [--json] [--rerun]`.

Four optimizer steps of every case with warm-up, weight decay and clipping, on a tiny Qwen2.5-VL in float32
and two gloo ranks on CPU. Printed is the largest difference of any weight after the last step, and in
brackets of any gradient of any step, against one process. A case that hangs ends the bench.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from eva_lightning.agent.small_talk import agent_text  # noqa: E402
from eva_lightning.data.synthesis.script import ScriptSettings  # noqa: E402
from eva_lightning.data.synthesis.world import build_world  # noqa: E402
from eva_lightning.policy.tiny import build_tiny  # noqa: E402
from eva_lightning.reports.summary import table  # noqa: E402
from tests.modules.launching import launch  # noqa: E402

RECORD = Path(__file__).with_suffix(".json")
STEPS = 4
CLIP = 0.5
LIMIT = 1e-6
CASES = (
    "sft",
    "sft, uneven",
    "sft, uneven, frozen tower",
    "grpo",
    "grpo, a rank without data",
    "grpo, two optimizer steps",
    "grpo, lora, kl",
    "grpo, kl",
    "kto",
    "kto, lora",
    "kto, a rank without data",
)
STRATEGIES = (
    "ddp",
    "fsdp2",
    "fsdp2, gathered once",
    "zero2",
    "zero2, offload",
    "zero3",
    "zero3, read into shards",
    "ddp, rows shared",
    "fsdp2, rows shared",
    "zero2, rows shared",
    "zero3, rows shared",
)
IMPOSSIBLE = {
    *(("zero3, read into shards", case) for case in ("grpo, kl", "kto", "kto, a rank without data")),
    *(("fsdp2, gathered once", case) for case in ("grpo, lora, kl", "kto, lora")),
}
"""What is refused: a copy of full weights that are in shards, an adapter that is not cut again."""

Found = tuple[list[dict[str, torch.Tensor]], list[dict[str, torch.Tensor]], list[dict[str, float]]]
"""Gradients, weights, metrics."""


def run(folder: Path) -> list[dict[str, Any]]:
    """A row for each case and strategy."""
    tiny = build_tiny(folder / "tiny", corpus=agent_text())
    small = ScriptSettings(duration=(30, 30), height=112, width=112, fps=2)
    world = build_world(folder / "world", 2, small, families=["colour_at", "when"])

    def made(ranks: int, *wanted: str) -> dict[tuple[str, str], Found]:
        out = folder / "out.pt"
        words = (tiny, world.folder, out, STEPS, *wanted)
        launch("tests.modules.strategy_cases", *words, ranks=ranks, folder=folder, limit=3600)
        found: dict[tuple[str, str], Found] = torch.load(out, weights_only=False)
        return found

    right = made(1, *(f"one process:{case}" for case in CASES))
    rows = []
    for strategy in STRATEGIES:
        cases = [case for case in CASES if (strategy, case) not in IMPOSSIBLE]
        found = made(2, *(f"{strategy}:{case}" for case in cases))
        for case in cases:
            mine, theirs = right["one process", case], found[strategy, case]
            row = {"case": case, "strategy": strategy, "weights": apart(mine[1][-1], theirs[1][-1])}
            rows.append(row | {"gradients": gradients_apart(mine, theirs, strategy.startswith("zero"))})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def gradients_apart(mine: Found, theirs: Found, clipped_later: bool) -> float | None:
    """Of all steps; None where DeepSpeed clips by a norm that is not told, for there were several steps."""
    if clipped_later and len(mine[0]) != len(mine[2]):
        return None
    found = 0.0
    for number, (here, there) in enumerate(zip(mine[0], theirs[0], strict=True)):
        cut = min(1.0, CLIP / mine[2][number]["train/grad_norm"]) if clipped_later else 1.0
        found = max(found, apart(here, {name: one * cut for name, one in there.items()}))
    return found


def apart(mine: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """The largest difference of two sets of tensors."""
    return max(float((mine[name] - theirs[name]).abs().max()) for name in mine)


def combined(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The worst of each strategy."""
    names = list(dict.fromkeys(row["strategy"] for row in rows))
    worst = {name: max(row["weights"] for row in rows if row["strategy"] == name) for name in names}
    slopes = [row["gradients"] for row in rows if row["gradients"] is not None]
    return {"weights": worst, "gradients": max(slopes), "cases": len(rows), "limit": LIMIT}


def show(rows: list[dict[str, Any]]) -> None:
    """The table, and whether all of it is within the limit."""
    told = {(row["case"], row["strategy"]): row for row in rows}

    def cell(row: dict[str, Any] | None) -> str:
        if row is None:
            return "-"
        slope = "" if row["gradients"] is None else f" ({row['gradients']:.0e})"
        return f"{row['weights']:.1e}{slope}"

    print(table(["case", *STRATEGIES], [[c, *(cell(told.get((c, s))) for s in STRATEGIES)] for c in CASES]))
    worst = max(row["weights"] for row in rows)
    print(f"\nlargest difference {worst:.1e}, limit {LIMIT:.0e}: {'ok' if worst < LIMIT else 'MISSED'}")


def main() -> None:
    """Read the words, run or read the record, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line: a JSON object")
    parser.add_argument(
        "--rerun", action="store_true", help="run anew (10 minutes) instead of reading the record"
    )
    words = parser.parse_args()
    if words.rerun:
        with tempfile.TemporaryDirectory() as folder:
            RECORD.write_text(json.dumps(run(Path(folder)), indent=1) + "\n")
    rows = json.loads(RECORD.read_text())
    show(rows)
    if words.json:
        print(json.dumps(combined(rows)))


if __name__ == "__main__":
    main()
