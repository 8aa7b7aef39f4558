"""A few of the damaged videos of `make fuzz`: each ends in frames or in a fault, and in nothing else."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench"


def fuzz(*words):
    run = subprocess.run(
        [sys.executable, str(BENCH / "fuzz_videos.py"), "--json", *words],
        capture_output=True,
        text=True,
        timeout=300,
    )
    return run.returncode, json.loads(run.stdout.splitlines()[-1]), run.stderr


def test_sixty_damaged_videos_end_in_frames_or_in_a_fault_that_names_them():
    code, found, said = fuzz("--files", "60", "--seed", "1")
    assert code == 0, said
    assert found["frames"] + found["fault"] == 60 and found["frames"] > 15 and found["fault"] > 15
    assert found["noted"] > 0  # some of those frames stand in for damaged ones
    never = ("crash", "hang", "bug", "nameless", "wrong size", "isolated_differs")
    assert not any(found[name] for name in never)


def test_the_same_dice_do_the_same_damage(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    from mutated_footage import mutated

    files = {"a.mp4": bytes(range(256)) * 20, "b.mkv": bytes(3000)}
    assert [mutated(files, 0, n) for n in range(20)] == [mutated(files, 0, n) for n in range(20)]
    assert [mutated(files, 0, n) for n in range(20)] != [mutated(files, 1, n) for n in range(20)]
    assert all(content for _, content in (mutated(files, 0, n) for n in range(200)))
