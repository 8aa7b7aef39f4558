"""Frames: how fast they come, side by side with others: `python bench/frames.py [--json] [--rounds 3]`.

Every ratio is the median over rounds in which both sides run one after the other, warm, on the same seconds
of the same file; ours are checked bit for bit against sequential decoding. Ratios are of wall clock; those of
processor time stand beside them, for a machine that is busy with other things. The cache is off except for
the group of rollouts. Against a process per call both sides use the threads they use by default, against
torchcodec both may use all cores (one thread each is printed beside it); all others are one thread each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from bench_footage import FPS, LongVideo, long_video
from numpy.typing import NDArray

from eva_lightning.data.intake.proxy_folder import fill
from eva_lightning.faults import UsageError
from eva_lightning.video.frame_store import FrameStore
from eva_lightning.video.sampling import snap, spread

Times = Sequence[float]
TOOL = Path(__file__).with_name("reference_frame_tool.py")
TARGETS = {
    "call_8f_10s_vs_process": 8.0,
    "call_32f_1h_vs_process": 4.0,
    "spread_vs_torchcodec": 1.7,
    "over_floor": 1.3,
    "coarse_vs_exact": 10.0,
    "group_decode_saving": 3.0,
    "proxy_vs_exact": 10.0,
}


@dataclass(frozen=True)
class Pair:
    """Medians of two sides that ran in turn."""

    ours: float
    """Milliseconds of wall clock."""
    theirs: float
    """Milliseconds of wall clock."""
    ratio: float
    """Theirs / ours, wall clock."""
    busy: float
    """Theirs / ours, processor time."""


def cost(call: Callable[[int], object], turn: int) -> tuple[float, float]:
    """Seconds of wall clock and of processor, child processes included."""
    wall, before = time.perf_counter(), os.times()
    call(turn)
    after = os.times()
    return time.perf_counter() - wall, sum(after[:4]) - sum(before[:4])


def side_by_side(ours: Callable[[int], object], theirs: Callable[[int], object], rounds: int) -> Pair:
    """Run both in turn, changing who is first; round 0 warms up."""
    pairs = []
    for turn in range(rounds + 1):
        if turn % 2:
            mine, other = cost(ours, turn), cost(theirs, turn)
        else:
            other, mine = cost(theirs, turn), cost(ours, turn)
        pairs.append((mine, other))
    del pairs[0]
    return Pair(
        ours=1000 * median(mine[0] for mine, _ in pairs),
        theirs=1000 * median(other[0] for _, other in pairs),
        ratio=median(other[0] / mine[0] for mine, other in pairs),
        busy=median(other[1] / max(mine[1], 0.01) for mine, other in pairs),
    )


def process_call(
    video: LongVideo, start: float, end: float, count: int, resize: float
) -> list[NDArray[np.uint8]]:
    """The field's way: a process, PNG files, and reading them back."""
    import cv2

    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(video.path), *map(str, (start, end, count, resize)), folder]
        run = subprocess.run(
            [sys.executable, str(TOOL), *arguments], capture_output=True, text=True, check=True
        )
        return [cv2.imread(path)[:, :, ::-1] for path in json.loads(run.stdout)["frames"]]


def torchcodec_call(video: LongVideo, height: int, width: int, threads: int = 1) -> Callable[[Times], object]:
    """torchcodec with one decoder reused: full-size frames, resized as uint8 (its quickest way)."""
    import torch
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(video.path), num_ffmpeg_threads=threads, seek_mode="exact")

    def call(times: Times) -> object:
        full = decoder.get_frames_played_at(list(times)).data
        small = torch.nn.functional.interpolate(full, size=(height, width), mode="bicubic", antialias=True)
        return small.permute(0, 2, 3, 1).numpy()

    return call


class Floor:
    """Decoding what must be decoded and no more: no colours, no resizing, no checks, no records."""

    def __init__(self, video: LongVideo) -> None:
        self.container = av.open(str(video.path))
        self.stream = self.container.streams.video[0]
        self.context = self.stream.codec_context
        self.context.thread_count, self.context.thread_type = 1, "SLICE"
        rows = sorted((p.pts, p.is_keyframe) for p in self.container.demux(self.stream) if p.size)
        self.pts = np.array([pts for pts, _ in rows])
        self.keys = np.array([pts for pts, key in rows if key])

    def __call__(self, times: Times) -> None:
        tick = float(self.stream.time_base)
        wanted = self.pts[np.searchsorted(self.pts, np.array(times) / tick + 1e-6, side="right") - 1]
        groups = self.keys[np.searchsorted(self.keys, wanted, side="right") - 1]
        for key in np.unique(groups):
            left = {int(pts) for pts in wanted[groups == key]}
            self.container.seek(int(key), stream=self.stream)
            for packet in self.container.demux(self.stream):
                self.context.skip_frame = "DEFAULT" if packet.pts in left else "NONREF"
                self.context.decode(packet)
                left.discard(packet.pts)
                if not left:
                    self.context.decode(None)
                    break


def assert_bits(video: LongVideo, store: FrameStore, times: Times, height: int, width: int) -> None:
    """What the store gives is what decoding the piece from begin to end gives."""
    shown = {round(frame.time * FPS): frame for frame in store.frames(video.path, times, height, width)}
    wanted = {number % video.piece_frames: [] for number in shown}
    for number in shown:
        wanted[number % video.piece_frames].append(number)
    scaler, checked = VideoReformatter(), 0
    with av.open(str(video.piece)) as container:
        for place, picture in enumerate(container.decode(video=0)):
            for number in wanted.get(place, ()):
                truth = scaler.reformat(picture, width, height, "rgb24", interpolation="BICUBIC").to_ndarray()
                assert np.array_equal(shown[number].pixels, truth), (
                    f"{video.path.name}: frame {number} differs"
                )
                checked += 1
    assert checked == len({int(np.floor(t * FPS + 1e-4)) for t in times}), "frames are missing"


def group_saving(video: LongVideo, height: int, width: int, seed: int) -> tuple[float, float]:
    """Eight rollouts of one question: each scans the video (32 frames), then zooms into three places.

    The zooms (8 frames of 10 s) begin where the model writes them: at a whole second, up to two seconds off.
    Returns how many times fewer frames, and how much less decoding time, than without the cache.
    """
    dice = np.random.default_rng(seed)
    spots = dice.integers(10, video.seconds - 30, 3)
    calls = []
    for _ in range(8):
        calls.append(spread(0.0, float(video.seconds), 32))
        calls += [spread(s, s + 10.0, 8) for s in (spots + dice.integers(-2, 3, 3)).astype(float)]
    decoded, busy = [], []
    for cache_bytes in (0, 512 << 20):
        with FrameStore(device="pyav", cache_bytes=cache_bytes) as store:
            for times in calls:
                store.frames(video.path, times, height, width)
            decoded.append(store.stats.decoded_frames)
            busy.append(store.stats.decode_seconds)
    return decoded[0] / decoded[1], busy[0] / busy[1]


def missing_packages() -> list[str]:
    from eva_lightning.video.torchcodec_decoder import load_torchcodec

    missing = []
    if not find_spec("decord") or not find_spec("cv2"):
        missing.append("call_*_vs_process: pip install decord opencv-python-headless")
    try:
        load_torchcodec("cpu")
    except UsageError as error:
        missing.append(f"spread_vs_torchcodec: {error}")
    return missing


class Bench:
    """Runs the comparisons, prints a line for each and keeps the ratios."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.results: dict[str, float] = {}
        print("footage: one hour of 360p and ten minutes of 720p (made once, under the temporary directory)")
        self.hour, self.ten = long_video(360), long_video(720)
        self.tool = FrameStore(device="pyav", cache_bytes=0, coarse="never")
        self.exact = FrameStore(device="pyav", cache_bytes=0, coarse="never", threads=0)
        self.coarse = FrameStore(device="pyav", cache_bytes=0, coarse="always", threads=0)
        self.missing = missing_packages()
        print(f"\n{'what':46s} {'ours ms':>9s} {'theirs ms':>10s} {'ratio':>7s} {'cpu':>7s}")

    def line(self, what: str, pair: Pair) -> float:
        print(
            f"{what:46s} {pair.ours:9.1f} {pair.theirs:10.1f} {pair.ratio:7.2f} {pair.busy:7.2f}", flush=True
        )
        return pair.ratio

    def tool_calls(self) -> None:
        if any(line.startswith("call") for line in self.missing):
            return
        for name, video, length, count, rounds in (
            ("call_8f_10s_vs_process", self.hour, 10.0, 8, 10 * self.rounds),  # short, and so more often
            ("call_32f_1h_vs_process", self.hour, 3600.0, 32, self.rounds),
            ("", self.ten, 10.0, 8, self.rounds),
        ):
            size = snap(video.height, video.width, 0.5)

            def window(turn: int, video: LongVideo = video, length: float = length) -> tuple[float, float]:
                start = (turn * 97.0 + 31.0) % max(video.seconds - length, 1.0)
                return (start, start + length) if length < video.seconds else (0.0, length - turn)

            result = side_by_side(
                lambda n, v=video, c=count, s=size: self.tool.frames(v.path, spread(*window(n), c), *s),
                lambda n, v=video, c=count: process_call(v, *window(n), c, 0.5),
                rounds,
            )
            ratio = self.line(f"{count} frames of {length:g} s at {video.height}p, vs a process", result)
            if name:
                self.results[name] = ratio

    def decoding(self) -> None:
        ratios, single, floors = [], [], []
        for video in (self.hour, self.ten):
            size = snap(video.height, video.width, 0.5)
            scan = [spread(float(turn), video.seconds - 1.0, 32) for turn in range(self.rounds + 1)]
            near = [spread(turn * 31.0, turn * 31.0 + 10, 8) for turn in range(self.rounds + 1)]
            assert_bits(video, self.exact, scan[0] + near[1], *size)
            if not any(line.startswith("spread") for line in self.missing):
                other = torchcodec_call(video, *size)
                result = side_by_side(
                    lambda n, v=video, s=size, t=scan: self.exact.frames(v.path, t[n], *s),
                    lambda n, t=scan, o=other: o(t[n]),
                    self.rounds,
                )
                single.append(self.line(f"32 frames over {video.height}p, vs torchcodec, 1 thread", result))
                other = torchcodec_call(video, *size, threads=0)
                result = side_by_side(
                    lambda n, v=video, s=size, t=scan: self.tool.frames(v.path, t[n], *s),
                    lambda n, t=scan, o=other: o(t[n]),
                    self.rounds,
                )
                ratios.append(self.line(f"32 frames over {video.height}p, vs torchcodec, all cores", result))
            floor = Floor(video)
            for what, times in (("32 frames over", scan), ("8 frames of 10 s of", near)):
                result = side_by_side(
                    lambda n, f=floor, t=times: f(t[n]),
                    lambda n, v=video, s=size, t=times: self.exact.frames(v.path, t[n], *s),
                    self.rounds,
                )
                floors.append(self.line(f"{what} {video.height}p: floor vs ours", result))
        if ratios:
            self.results["spread_vs_torchcodec"] = min(ratios)
            self.results["spread_vs_torchcodec_1_thread"] = min(single)
        self.results["over_floor"] = max(floors)

    def coarse_scans(self) -> None:
        ratios = []
        for video in (self.hour, self.ten):
            size = snap(video.height, video.width, 0.5)
            scan = [spread(float(turn), video.seconds - 1.0, 32) for turn in range(self.rounds + 1)]
            result = side_by_side(
                lambda n, v=video, s=size, t=scan: self.coarse.frames(v.path, t[n], *s),
                lambda n, v=video, s=size, t=scan: self.exact.frames(v.path, t[n], *s),
                self.rounds,
            )
            ratios.append(self.line(f"32 frames over {video.height}p, coarse vs exact", result))
        self.results["coarse_vs_exact"] = min(ratios)

    def proxies(self) -> None:
        """The same call of a smaller copy and of the video, here a piece of a minute or two."""
        folder, rounds = self.hour.path.parent / "proxies", 10 * self.rounds
        fill(folder, [str(video.piece) for video in (self.hour, self.ten)], 57_600)
        for video, resize in ((self.hour, 0.5), (self.ten, 0.25)):
            size, last = snap(video.height, video.width, resize), video.piece_frames / FPS - 10.0
            near = [spread(turn * 7.3 % last, turn * 7.3 % last + 10, 8) for turn in range(rounds + 1)]
            with FrameStore("pyav", 0, coarse="never", threads=0, proxies=folder) as quick:
                assert all(frame.proxy for frame in quick.frames(video.piece, near[0], *size))
                result = side_by_side(
                    lambda n, v=video, s=size, t=near, q=quick: q.frames(v.piece, t[n], *s),
                    lambda n, v=video, s=size, t=near: self.exact.frames(v.piece, t[n], *s),
                    rounds,
                )
            ratio = self.line(f"8 frames of 10 s of {video.height}p, proxy vs exact", result)
            if video is self.hour:
                self.results["proxy_vs_exact"] = ratio

    def groups(self) -> None:
        size = snap(360, 640, 0.5)
        savings = [group_saving(self.hour, *size, seed) for seed in range(3)]
        fewer, less = (median(column) for column in zip(*savings, strict=True))
        self.results["group_decode_saving"] = fewer
        print(f"{'8 rollouts with the store: fewer frames decoded':46s} {'':9s} {'':10s} {fewer:7.2f}")
        print(f"{'8 rollouts with the store: less time decoding':46s} {'':9s} {'':10s} {less:7.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="end with one line: a JSON object of the ratios")
    parser.add_argument("--rounds", type=int, default=3, help="pairs measured for each ratio")
    arguments = parser.parse_args()
    bench = Bench(arguments.rounds)
    bench.tool_calls()
    bench.decoding()
    bench.coarse_scans()
    bench.proxies()
    bench.groups()
    print("\nframes are bit-identical to sequential decoding")
    for name, target in TARGETS.items():
        if name in bench.results:
            value = bench.results[name]
            good = value <= target if name == "over_floor" else value >= target
            bound = f"{'at most' if name == 'over_floor' else 'at least'} {target:g}"
            print(f"{name:26s} {value:7.2f}  {bound:12s} {'ok' if good else 'MISSED'}")
    for line in bench.missing:
        print(f"not measured: {line}")
    if arguments.json:
        print(json.dumps({name: round(value, 2) for name, value in bench.results.items()}))


if __name__ == "__main__":
    main()
