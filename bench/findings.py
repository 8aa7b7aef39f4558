"""Findings: what papers say of training, tried in the tunnel: `python bench/findings.py [--json] [--rerun]`.

`eva tunnel` tries each of them on three seeds (`--only csv --seeds 0` for one of them on one); what was
tried is kept beside this file, by finding, seed and way, and printed: levels, effects with intervals over
seeds and questions, and whether each holds (`--only stages --seeds 1`: one seed of one). Three findings have
benches of their own, whose records are read here: mining.json (6), grounding.json and together.json (9) and
scripts.json (10); but for together.json, their intervals are over seeds alone.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import together

from eva_lightning.commands.findings.finding import shipped
from eva_lightning.commands.findings.report import headline, told
from eva_lightning.commands.findings.trial import Trial, trial_of

HERE = Path(__file__).parent
RECORD = HERE / "findings.json"
TRIED = ("stages", "kto", "choice", "csv", "format", "planning", "frontier", "objectives", "staleness")
"""The configs of the tunnel, in the order of the findings."""

STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}
"""Of a mean of so many seeds: half its 95 % interval in units of its standard error."""

BESIDE: dict[str, tuple[str, Callable[[dict[str, Any]], float]]] = {
    "mining": ("mining.json", lambda run: run["with"]["rare"] - run["without"]["rare"]),
    "dgrpo": ("grounding.json", lambda run: run["dgrpo"]["miou_hard"] - run["grpo"]["miou_hard"]),
    "scripts": (
        "scripts.json",
        lambda run: run["grpo"]["script"]["accuracy"] - run["sft"]["script"]["accuracy"],
    ),
    "scripts_transfer": (
        "scripts.json",
        lambda run: run["grpo"]["rendered"]["accuracy"] - run["grpo"]["script"]["accuracy"],
    ),
}
"""Findings of other benches: record, effect of one seed. Transfer holds if next to nothing is lost."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line: a JSON object")
    parser.add_argument("--rerun", action="store_true", help="try anew what the folder does not hold")
    parser.add_argument("--only", nargs="+", default=list(TRIED), choices=TRIED, help="findings")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="dice")
    parser.add_argument("--folder", type=Path, default=Path("runs/tunnel"), help="where it runs")
    words = parser.parse_args()
    if words.rerun:
        for seed in words.seeds:
            for name in words.only:
                rerun(name, seed, words.folder)
    held = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    lines: dict[str, Any] = {}
    missing = []
    for name in words.only:
        finding, found = shipped(name), trials(held.get(name, {}))
        found = {seed: ways for seed, ways in found.items() if seed in words.seeds}
        if not found or any(finding.ways.keys() - ways.keys() for ways in found.values()):
            missing.append(name)  # or recorded with other ways than its config has now
            continue
        lines[name] = headline(finding, found)
        print(f"\n{told(finding, found)}")
    lines |= {name: beside(name) for name in BESIDE if (HERE / BESIDE[name][0]).exists()}
    lines |= trained_together(HERE / "together.json")
    if missing:
        print(f"\nnot tried yet: {', '.join(missing)} (--rerun; some minutes a way and seed)")
    if words.json:
        print(json.dumps(lines))


def rerun(name: str, seed: int, folder: Path) -> None:
    """`eva tunnel` on one seed, into the record."""
    command = [sys.executable, "-m", "eva_lightning", "tunnel", "--config", f"tunnel/{name}.yaml"]
    command += [f"--seeds=[{seed}]", f"--out={folder}"]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    held = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    held.setdefault(name, {}).update(json.loads((folder / f"{name}.json").read_text()))
    RECORD.write_text(_compact(held))


def _compact(held: dict[str, Any]) -> str:
    """A line for each way and seed."""
    rows = [
        f"  {json.dumps(name)}: {{\n" + ",\n".join(_seeds(seeds)) + "\n  }" for name, seeds in held.items()
    ]
    return "{\n" + ",\n".join(rows) + "\n}\n"


def _seeds(seeds: dict[str, Any]) -> list[str]:
    return [
        f"   {json.dumps(seed)}: {{\n"
        + ",\n".join(
            f"    {json.dumps(way)}: {json.dumps(one, separators=(',', ':'))}" for way, one in ways.items()
        )
        + "\n   }"
        for seed, ways in sorted(seeds.items())
    ]


def trials(held: dict[str, Any]) -> dict[int, dict[str, Trial]]:
    """The record of a finding, as trials by seed and way."""
    return {int(seed): {way: trial_of(one) for way, one in ways.items()} for seed, ways in held.items()}


def beside(name: str) -> dict[str, Any]:
    """The effect of another bench's record, with Student's interval over its seeds."""
    file, effect = BESIDE[name]
    runs = json.loads((HERE / file).read_text())
    values = [effect(run) for run in runs]
    found: dict[str, Any] = {"effect": round(mean(values), 4), "low": None, "high": None, "holds": False}
    if len(values) > 1:
        half = STUDENT[len(values)] * stdev(values) / math.sqrt(len(values))
        low, high = mean(values) - half, mean(values) + half
        found |= {"low": round(low, 4), "high": round(high, 4)}
        found["holds"] = low > -0.05 if name == "scripts_transfer" else low > 0
    minutes = [run.get("minutes", run.get("cpu_minutes")) for run in runs]
    found["minutes"] = None if None in minutes else round(sum(minutes), 1)  # of mining nobody took them down
    return {**found, "seeds": [run["seed"] for run in runs]}


def trained_together(record: Path) -> dict[str, Any]:
    """What each kind of question gains from the other one, where that was tried."""
    if not record.exists():
        return {}
    found = together.combined(json.loads(record.read_text()))
    spent = {"seeds": found["seeds"], "minutes": found["minutes"]}
    return {f"together_{kind}": {**found[f"{kind}_gain"], **spent} for kind in together.KINDS}


if __name__ == "__main__":
    main()
