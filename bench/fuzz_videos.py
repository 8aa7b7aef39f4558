"""Damaged videos by the thousand, read as a rollout reads them: `python bench/fuzz_videos.py --files 2000`.

They are read in a child process with limits of memory and time. Each must end in frames of the size asked for
or in a fault that names the file; a child that dies or hangs of one is replaced, and that file must then cost
an isolated store one fault and nothing else. Counts, and how memory grew in the child that read most files.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mutated_footage import mutated, seeds

from eva_lightning.faults import Fault
from eva_lightning.video.frame_store import FrameStore

SIZE = 28, 56
"""Height and width of the frames that are asked for."""

MEMORY_BYTES = {"pyav": 4 << 30, "torchcodec-cpu": 16 << 30}
"""Address space of a child, which torch alone takes a lot of."""

FLAT_MB = 10.0
"""Growth over 1,000 files, in MB, that is still called none: the heap breathes by more."""

ISOLATED_EVERY = 10
"""Of so many files one is read in an isolated store as well, and must give the same."""


def look(store: FrameStore, path: str) -> dict[str, Any]:
    """What comes of reading one file; what is no Fault is a bug and ends the program."""
    try:
        facts = store.facts(path)
        times = [facts.duration * part for part in (0.0, 0.3, 0.31, 0.7, 1.0)]
        frames = store.frames(path, times, *SIZE)
    except Fault as fault:
        named = str(fault).startswith(path) and "\n" not in str(fault)
        return {"end": "fault" if named else "nameless", "said": str(fault)}
    wrong = len(frames) != len(times) or any(frame.pixels.shape != (*SIZE, 3) for frame in frames)
    told = [[frame.time, frame.note, int(frame.pixels.sum())] for frame in frames]
    return {"end": "wrong size" if wrong else "frames", "frames": told}


def hear(store: FrameStore, path: str) -> None:
    """The sound as well: it has decoders of its own."""
    try:
        store.sound(path, 0.2, 0.8)
    except Fault:
        return


def child(decoder: str) -> None:
    """Read files whose paths come on stdin, and say of each what came of it."""
    limit = MEMORY_BYTES[decoder]
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with FrameStore(decoder, cache_bytes=1 << 20, threads=0, coarse="never") as store:
        for line in sys.stdin:
            path = line.strip()
            told = look(store, path)
            hear(store, path)
            status = Path("/proc/self/statm").read_text().split()
            told["rss_mb"] = int(status[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
            told["handles"] = len(os.listdir("/proc/self/fd"))
            print(json.dumps(told), flush=True)


class Child:
    """A process that reads one file after the other."""

    def __init__(self, decoder: str, cpu_seconds: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--child", "--decoder", decoder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds)),
        )
        self.rss: list[float] = []
        """Megabytes after each file."""
        self.handles: list[int] = []
        """Open files after each file."""

    def read(self, path: Path, seconds: float) -> dict[str, Any]:
        """What came of a file; the end may be that of the child."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{path}\n".encode())
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            self.end()
            return {"end": "hang"}
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            return {"end": "crash" if code < 0 else "bug", "said": f"exit {code}"}
        told: dict[str, Any] = json.loads(line)
        self.rss.append(told.pop("rss_mb"))
        self.handles.append(told.pop("handles"))
        return told

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def end(self) -> None:
        """Kill it, if it has not ended."""
        self._process.kill()
        self._process.wait()


def growth(rss: Sequence[float]) -> float:
    """Megabytes over 1,000 files: the slope of the later half, when caches are full."""
    later = np.asarray(rss[len(rss) // 2 :])
    return float(np.polyfit(np.arange(len(later)), later, 1)[0] * 1000) if len(later) > 1 else 0.0


def opened(handles: Sequence[int]) -> int:
    """Files that are open at the end and were not in the middle, when the pool of decoders is full."""
    return handles[-1] - max(handles[: len(handles) // 2 + 1]) if handles else 0


def survives(path: Path, seconds: float) -> bool:
    """Whether an isolated store tells of a file that killed a child, and reads a whole one after it."""
    whole = path.with_name("whole.mp4")
    with FrameStore(isolate=True, deadline=seconds) as store:
        told = look(store, str(path))
        return told["end"] in ("fault", "frames") and look(store, str(whole))["end"] == "frames"


def fuzz(words: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Read all files; the counts."""
    files, ends, children = seeds(), Counter[str](), [Child(words.decoder, 86_400)]
    (folder / "whole.mp4").write_bytes(files["h264.mp4"])
    noted, differing, survived, began, longest = 0, 0, 0, time.monotonic(), 0.0
    # Cut as the child cuts its calls: damage that no codec notices may look otherwise in other parts.
    alike = {"cache_bytes": 1 << 20, "threads": 0, "coarse": "never"}
    with FrameStore(isolate=True, deadline=words.seconds, **alike) as isolated:
        for number in range(words.files):
            name, content = mutated(files, words.seed, number)
            path = folder / name
            path.write_bytes(content)
            started = time.monotonic()
            told = children[-1].read(path, words.seconds)
            longest = max(longest, time.monotonic() - started)
            ends[told["end"]] += 1
            noted += any(note for _, note, _ in told.get("frames", ()))
            if not children[-1].alive:
                children.append(Child(words.decoder, 86_400))
                survived += told["end"] in ("crash", "hang") and survives(path, words.seconds)
            elif words.decoder == "pyav" and number % ISOLATED_EVERY == 0:
                again = look(isolated, str(path))
                differing += any(again.get(key) != told.get(key) for key in ("end", "frames"))
            if told["end"] in ("frames", "fault"):
                path.unlink()
            else:
                print(f"{name}: {told['end']} {told.get('said', '')}", file=sys.stderr)
                if words.keep is not None:
                    path.replace(words.keep / name)
    for one in children:
        one.end()
    longest_lived = max(children, key=lambda one: len(one.rss))
    return {
        "files": words.files,
        "decoder": words.decoder,
        **{end: ends[end] for end in ("frames", "fault", "crash", "hang", "bug", "nameless", "wrong size")},
        "noted": noted,
        "isolated_differs": differing,
        "isolated_survived": survived,
        "mb_per_1000_files": round(growth(longest_lived.rss), 2),
        "peak_mb": round(max(longest_lived.rss, default=0.0), 1),
        "handles_more": opened(longest_lived.handles),
        "slowest_s": round(longest, 2),
        "minutes": round((time.monotonic() - began) / 60, 1),
    }


def sound(found: dict[str, Any]) -> bool:
    """Whether nothing hung, no fault was nameless, and what killed a child did not kill an isolated store."""
    never = ("hang", "bug", "nameless", "wrong size", "isolated_differs")
    flat = found["files"] < 1000 or found["mb_per_1000_files"] < FLAT_MB
    killed = found["crash"] + found["hang"]
    return not any(found[name] for name in never) and found["isolated_survived"] == killed and flat


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=2000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="dice")
    parser.add_argument("--seconds", type=float, default=30.0, help="a file that takes longer hangs")
    parser.add_argument("--decoder", choices=list(MEMORY_BYTES), default="pyav", help="who reads them")
    parser.add_argument("--keep", type=Path, help="an existing folder for the files that end badly")
    parser.add_argument("--json", action="store_true", help="end with one line: a JSON object")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.child:
        child(words.decoder)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = fuzz(words, Path(folder))
    for name, value in found.items():
        print(f"{name:20} {value}")
    if words.json:
        print(json.dumps(found))
    return 0 if sound(found) else 1


if __name__ == "__main__":
    sys.exit(main())
