"""`eva tunnel`: a finding about training, tried on a laptop: several ways from one policy, and what differs.

out/seed_<n>/        a course and the ways beside it: findings/trial.py
out/<finding>.json   what each question came to, by seed and way    out/<finding>.png
"""

from __future__ import annotations

import json as plain
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eva_lightning.commands.arguments import run_command
from eva_lightning.commands.demo_log import DemoLog
from eva_lightning.commands.findings.finding import Finding, refuse
from eva_lightning.commands.findings.report import draw, headline, told
from eva_lightning.commands.findings.trial import Trial, row_of, size, try_ways
from eva_lightning.faults import UsageError
from eva_lightning.files.atomic import appearing
from eva_lightning.files.lock import sole_writer


def main(words: Sequence[str]) -> None:
    run_command(tunnel, words, "eva tunnel")


def tunnel(
    finding: Finding,
    seeds: list[int] | None = None,
    out: str = "runs/tunnel",
    share: float = 1.0,
    verbose: bool = False,
    json: bool = False,
) -> None:
    """Try a finding about training on a laptop: eva tunnel --config tunnel/csv.yaml --seeds "[0, 1, 2]".

    What was trained is kept, and shared by all findings tried in the same folder; whoever was interrupted
    types the same again.

    Args:
        finding: What is tried; the configs in tunnel/ have those of the papers.
        seeds: Dice: a world, a policy and a training each; None is [0].
        out: Folder for everything.
        share: Share of the training and of the questions; 0.02 is a smoke test, and finds nothing.
        verbose: Print the commands and all that they say, as it comes.
        json: End with one line, a JSON object of the first effect.
    """
    dice = [0] if seeds is None else seeds
    if not 0 < share <= 1:
        raise UsageError(f"share is {share}: want more than 0, at most 1")
    if not dice or len(set(dice)) < len(dice):
        raise UsageError(f"seeds are {dice}: want one or more, each once")
    refuse(finding)
    began, folder = time.perf_counter(), Path(out)
    with sole_writer(folder.absolute(), "give another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        log = DemoLog(folder / "tunnel.log", len(dice) * size(finding), verbose)
        try:
            with log.turned():
                found = {seed: try_ways(finding, folder / f"seed_{seed}", seed, share, log) for seed in dice}
        except BaseException:
            if not verbose:
                print(f"what was said is in {log.path}", file=sys.stderr)
            raise
        with appearing(folder / f"{finding.name}.json") as part:
            part.write_text(plain.dumps(_record(found)) + "\n")
        draw(folder / f"{finding.name}.png", finding, found)
    print(f"\n{told(finding, found)}")
    minutes = (time.perf_counter() - began) / 60
    print(f"\nAll of it: {folder / finding.name}.json and .png. {minutes:.1f} minutes.")
    if json:
        print(plain.dumps({finding.name: headline(finding, found)}))


def _record(found: dict[int, dict[str, Trial]]) -> dict[str, Any]:
    """What was found, by seed and way, as plain JSON."""
    return {str(seed): {way: row_of(one) for way, one in ways.items()} for seed, ways in found.items()}
