"""Real files: decoded again, they show and sound what the script says, and no finer than the size allows."""

import os
import subprocess
import sys
from dataclasses import replace

import av
import numpy as np
import pytest

from eva_lightning.data.synthesis.picture import PAINT, draw
from eva_lightning.data.synthesis.render import render
from eva_lightning.data.synthesis.script import (
    BACKGROUNDS,
    INKS,
    MARKS,
    SHAPES,
    Scene,
    ScriptSettings,
    write_script,
)
from eva_lightning.data.synthesis.tones import NOTES, RATE

BICUBIC = av.video.reformatter.Interpolation.BICUBIC


def shrunk(frame, height, width):
    return frame.to_ndarray(format="rgb24", width=width, height=height, interpolation=BICUBIC).astype(float)


def middles(path, script, *sizes):
    """The frame in the middle of each event, at each size: one list of pictures a size."""
    wanted = {(event.start + event.end) * script.fps // 2 for event in script.events}
    with av.open(str(path)) as container:
        frames = [frame for n, frame in enumerate(container.decode(video=0)) if n in wanted]
    return [np.stack([shrunk(frame, *size) for frame in frames]) for size in sizes]


def nearest(pixels, templates):
    """For each row of pixels the name of the template that is closest."""
    names, stack = list(templates), np.stack([templates[name].ravel() for name in templates])
    rows = pixels.reshape(len(pixels), -1)
    return [names[int(np.argmin(((stack - row) ** 2).sum(1)))] for row in rows]


def plate(pictures):
    """The brightness of the last eighth of the picture, where the plate is."""
    side = pictures.shape[-2] // 8
    return pictures[..., -side:, -side:, :].mean(-1)


def right(read, script, trait):
    return np.mean(
        [value == getattr(event.see, trait) for value, event in zip(read, script.events, strict=True)]
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A clip of 10 minutes at 2 frames a second, with about a hundred events."""
    script = write_script(1, ScriptSettings(duration=(600, 600), event=(4, 8), fps=2))
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    render(script, path)
    return script, path


def test_the_background_is_read_from_one_visual_token(clip):
    script, path = clip
    (pictures,) = middles(path, script, (28, 28))
    colours = pictures[:, :5].mean((1, 2))
    assert right(nearest(colours, {c: np.array(PAINT[c]) for c in BACKGROUNDS}), script, "background") == 1


def test_shape_and_ink_are_read_at_56_pixels(clip):
    script, path = clip
    (pictures,) = middles(path, script, (56, 56))
    read = []
    for picture, event in zip(pictures, script.events, strict=True):
        templates = {}
        for shape in SHAPES:
            for ink in INKS:
                scene = replace(event.see, shape=shape, ink=ink)
                frame = av.VideoFrame.from_ndarray(draw(scene, 224, 224), format="rgb24")
                templates[shape, ink] = shrunk(frame, 56, 56)[10:46, 10:46]
        read += nearest(picture[None, 10:46, 10:46], templates)
    assert read == [(event.see.shape, event.see.ink) for event in script.events]


def test_the_mark_is_read_at_full_size_but_is_a_guess_at_a_quarter(clip):
    script, path = clip
    for size, pictures in zip((224, 56), middles(path, script, (224, 224), (56, 56)), strict=True):
        templates = {}
        for mark in MARKS:
            scene = replace(script.events[0].see, mark=mark)
            drawn = [draw(scene, 224, 224, grain) for grain in range(32)]
            frames = [av.VideoFrame.from_ndarray(picture, format="rgb24") for picture in drawn]
            templates[mark] = np.mean([plate(shrunk(frame, size, size)) for frame in frames], axis=0)
        score = right(nearest(plate(pictures), templates), script, "mark")
        assert score >= 0.99 if size == 224 else score <= 0.40  # chance is 0.25, one standard error 0.04


def test_even_a_trained_linear_reader_finds_the_mark_only_in_large_frames():
    """Not through a file, to have enough plates: 600 to learn from, 600 to be judged by."""
    marks = [MARKS[n % 4] for n in range(1200)]
    scene = Scene(background="red", shape="cross", ink="black", mark="rows")
    frames = [
        av.VideoFrame.from_ndarray(draw(replace(scene, mark=mark), 112, 112, grain), format="rgb24")
        for grain, mark in enumerate(marks)
    ]
    targets = np.eye(4)[[MARKS.index(mark) for mark in marks]]
    scores = {}
    for size in (112, 28):
        rows = np.stack([shrunk(frame, size, size)[-size // 4 :, -size // 4 :, 0] for frame in frames])
        rows = (rows - rows.mean((1, 2), keepdims=True)).reshape(1200, -1)
        learn, judge = rows[:600], rows[600:]
        weights = np.linalg.solve(learn.T @ learn + 3e3 * np.eye(rows.shape[1]), learn.T @ targets[:600])
        scores[size] = np.mean((judge @ weights).argmax(1) == targets[600:].argmax(1))
    assert scores[112] >= 0.98
    assert scores[28] <= 0.40


@pytest.mark.parametrize("size", [(252, 448), (180, 320)])
def test_other_native_sizes_show_the_same_things(size, tmp_path):
    height, width = size
    script = write_script(2, ScriptSettings(duration=(60, 60), height=height, width=width))
    render(script, tmp_path / "clip.mp4")
    small, large = (28, 28), (round(height / 28) * 28, round(width / 28) * 28)
    coarse, fine = middles(tmp_path / "clip.mp4", script, small, large)
    colours = coarse[:, :5].mean((1, 2))
    assert right(nearest(colours, {c: np.array(PAINT[c]) for c in BACKGROUNDS}), script, "background") == 1
    for picture, event in zip(fine, script.events, strict=True):
        templates = {}
        for mark in MARKS:
            drawn = [draw(replace(event.see, mark=mark), height, width, grain) for grain in range(16)]
            frames = [av.VideoFrame.from_ndarray(one, format="rgb24") for one in drawn]
            corner = [shrunk(frame, *large)[-70:, -70:].mean(-1) for frame in frames]
            templates[mark] = np.mean(corner, axis=0)
        assert nearest(picture[None, -70:, -70:].mean(-1), templates) == [event.see.mark]


def test_a_scene_changes_exactly_at_its_second(tmp_path):
    script = write_script(3, ScriptSettings(duration=(60, 60)))
    render(script, tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        frames = [(frame.time, shrunk(frame, 28, 28)[:5].mean((0, 1))) for frame in container.decode(video=0)]
    assert [time for time, _ in frames] == pytest.approx([n / 5 for n in range(300)])
    read = nearest(np.stack([colour for _, colour in frames]), {c: np.array(PAINT[c]) for c in BACKGROUNDS})
    assert read == [script.at(n / 5).see.background for n in range(300)]


def test_the_same_script_gives_the_same_bytes_and_no_part_is_left(tmp_path):
    script = write_script(4)
    render(script, tmp_path / "a.mp4")
    render(script, tmp_path / "b.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_the_bytes_do_not_depend_on_what_was_in_memory_before(tmp_path):
    """MALLOC_PERTURB_ fills fresh memory with a value: x264's macroblock tree read it, so it is off."""
    code = (
        "import sys; from eva_lightning.data.synthesis.render import render;"
        "from eva_lightning.data.synthesis.script import write_script; render(write_script(4), sys.argv[1])"
    )
    for fill in ("1", "165"):
        environment = {**os.environ, "MALLOC_PERTURB_": fill}
        subprocess.run([sys.executable, "-c", code, tmp_path / f"{fill}.mp4"], env=environment, check=True)
    assert (tmp_path / "1.mp4").read_bytes() == (tmp_path / "165.mp4").read_bytes()


def test_a_render_that_fails_leaves_no_file(tmp_path, monkeypatch):
    def broken(*_: object, **__: object):
        raise RuntimeError("no paint")

    monkeypatch.setattr("eva_lightning.data.synthesis.render.draw", broken)
    with pytest.raises(RuntimeError, match="no paint"):
        render(write_script(4), tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_key_frames_come_every_gop_and_b_frames_are_used(tmp_path):
    script = write_script(5, ScriptSettings(duration=(60, 60), gop=20))
    render(script, tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        key_times = [float(packet.pts * packet.time_base) for packet in packets if packet.is_keyframe]
    assert key_times == [4.0 * n for n in range(15)]
    assert any(packet.pts != packet.dts for packet in packets)


def test_each_cue_sounds_at_its_second_and_everything_else_is_silent(clip):
    script, path = clip
    with av.open(str(path)) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert len(sound) == pytest.approx(script.duration * RATE, abs=2048)
    cues = [event.hear for event in script.events if event.hear]
    assert {cue.name for cue in cues} == set(NOTES)
    silent = np.ones(script.duration * RATE, bool)
    for cue in cues:
        silent[int((cue.at - 0.2) * RATE) : (cue.at + 1) * RATE] = False
        for note in NOTES[cue.name]:
            begin = int((cue.at + note.begin + 0.02) * RATE)
            tone = sound[begin : begin + int((note.length - 0.04) * RATE)]
            spectrum = np.abs(np.fft.rfft(tone * np.hanning(len(tone))))
            assert spectrum.argmax() * RATE / len(tone) == pytest.approx(note.pitch, abs=10)
            assert np.sqrt((tone**2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.15)
    quiet = sound[: len(silent)][silent[: len(sound)]]
    assert np.abs(quiet).max() < 0.02
