"""The field's way to fetch frames, for comparison: one process a call, decord, cv2, PNG files.

Not used by eva_lightning. `python reference_frame_tool.py VIDEO START END NFRAMES RESIZE OUT_DIR` opens the
video, cuts the range to it (what is empty then, a reversed range too, becomes the whole video), decodes the
full-size frames nearest to evenly spread times, resizes each by RESIZE (sides rounded to multiples of 28),
writes them as PNG and prints one line of JSON: paths and times.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from decord import VideoReader, cpu


def main(video: str, start: float, end: float, nframes: int, resize: float, out: Path) -> None:
    reader = VideoReader(video, ctx=cpu(0))
    fps, last = reader.get_avg_fps(), len(reader) - 1
    if nframes < 1 or resize <= 0:
        raise ValueError(f"nframes {nframes} and resize {resize} must be above 0")
    start, end = max(start, 0.0), min(end, (last + 1) / fps)
    if end <= start:
        start, end = 0.0, (last + 1) / fps
    epsilon = min(1e-3, (end - start) / (4 * nframes))
    times = [(start + end) / 2] if nframes == 1 else np.linspace(start, end - epsilon, nframes).tolist()
    frames = reader.get_batch([min(round(time * fps), last) for time in times]).asnumpy()
    height, width = (max(28, round(side * resize / 28) * 28) for side in frames.shape[1:3])
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, frame in enumerate(frames):
        small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC)
        paths.append(str(out / f"frame_{number:04d}.png"))
        cv2.imwrite(paths[-1], cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
    print(json.dumps({"frames": paths, "times": times}))


if __name__ == "__main__":
    name, begin, finish, count, scale, folder = sys.argv[1:]
    main(name, float(begin), float(finish), int(count), float(scale), Path(folder))
