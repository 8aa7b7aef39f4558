"""Hostile words: `python -m bench.fuzz_words [--json] [--inputs 1000000] [--seed 0]`.

Texts as no sane model writes them, up to 64 kB, through everything that reads words of a model, a teacher or
a judge: parsers of turns, tools, scorers, rewards, verdicts, mined questions, imported rows, reports. Both
dialects read every text, and two others in turn. What is accepted is written to a line and read back.

It ends in an error if anything raises, if a record does not come back equal, or if a reading takes more than
50 ms of processor time; the texts that did are in the folder.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.campaign import Campaign

LONGEST_MS = 50.0
"""Milliseconds that one reading may take of a processor."""


def main() -> int:
    """Run the campaign and tell what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line: a JSON object")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="texts")
    parser.add_argument("--seed", type=int, default=0, help="dice")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs") / "fuzz_words", help="what broke is kept here"
    )
    words = parser.parse_args()
    campaign, began = Campaign(seed=words.seed), time.monotonic()
    while campaign.inputs < words.inputs:
        campaign.run(min(20_000, words.inputs - campaign.inputs))
        keep(campaign, words.folder)
        found = figures(campaign)
        print(f"{time.monotonic() - began:.0f} s: {found}", file=sys.stderr, flush=True)
    show(campaign)
    found = figures(campaign)
    if words.json:
        print(json.dumps(found))
    return int(found["exceptions"] > 0 or found["slowest_ms"] > LONGEST_MS)


def figures(campaign: Campaign) -> dict[str, float]:
    """What was found, in numbers."""
    slowest = max((seconds for seconds, _ in campaign.slowest.values()), default=0.0)
    return {
        "inputs": campaign.inputs,
        "readings": campaign.readings,
        "exceptions": len(campaign.broken),
        "slowest_ms": round(1000 * slowest, 1),
        "not_written_back": campaign.not_written_back,
        "written_back": campaign.accepted - campaign.not_written_back,
        "lines": len(campaign.lines),
    }


def keep(campaign: Campaign, folder: Path) -> None:
    """Write down what broke, and the slowest text of each reader."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"reader": name, "trouble": trouble, "text": text} for name, text, trouble in campaign.broken]
    rows += [
        {"reader": name, "ms": round(1000 * seconds, 1), "text": text}
        for name, (seconds, text) in campaign.slowest.items()
    ]
    (folder / "found.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def show(campaign: Campaign) -> None:
    """The slowest reading of each reader, and how often each trouble was met."""
    for name, (seconds, text) in sorted(campaign.slowest.items(), key=lambda one: -one[1][0]):
        print(f"{1000 * seconds:6.1f} ms  {name}, a text of {len(text)} characters")
    for (name, trouble), count in Counter((name, trouble) for name, _, trouble in campaign.broken).items():
        print(f"{count:6d} times  {name}: {trouble}")


if __name__ == "__main__":
    sys.exit(main())
