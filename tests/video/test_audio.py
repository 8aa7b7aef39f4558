import numpy as np
import pytest

from eva_lightning.faults import VideoError
from eva_lightning.video.audio import read_audio
from tests.video import footage

RATE = 16000


def tone(seconds, pitch=440):
    return np.sin(np.arange(round(seconds * RATE)) * 2 * np.pi * pitch / RATE) * 0.5


def loudness(sound):
    return float(np.sqrt((sound**2).mean()))


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """6 s of pictures on a clock that begins at 7.5 s; 4 s of sound, with a tone from 2 s to 3 s."""
    sound = np.concatenate([np.zeros(2 * RATE), tone(1), np.zeros(RATE)])
    return footage.write(tmp_path_factory.mktemp("sound") / "spoken.mkv", begin=7.5, sound=sound).path


def test_half_a_second_is_8000_values_and_the_tone_is_where_it_was_put(spoken):
    for start, level in ((0.5, 0.0), (2.25, 0.35), (3.25, 0.0)):
        sound = read_audio(spoken, start, start + 0.5)
        assert sound.shape == (8000,) and sound.dtype == np.float32
        assert loudness(sound) == pytest.approx(level, abs=0.03)


def test_the_tone_begins_within_ten_milliseconds_of_its_second(spoken):
    for start in (0.0, 1.0, 1.7):
        sound = read_audio(spoken, start, 3.0)
        loud = np.flatnonzero(np.abs(sound) > 0.2)[0] / RATE
        assert start + loud == pytest.approx(2.0, abs=0.01)


def test_any_piece_is_a_piece_of_the_whole(spoken):
    whole = read_audio(spoken, 0.0, 6.0)
    piece = read_audio(spoken, 2.3, 2.7)
    assert np.abs(whole[round(2.3 * RATE) : round(2.7 * RATE)] - piece).max() < 0.02


def test_a_range_is_clipped_to_the_stream(spoken):
    assert 4 * RATE <= len(read_audio(spoken, -3.0, 1e9)) < 4.2 * RATE
    assert len(read_audio(spoken, 0.0, float("inf"))) == len(read_audio(spoken, 0.0, 6.0))
    assert len(read_audio(spoken, 5.0, 6.0)) == 0
    assert len(read_audio(spoken, 1.0, 1.0)) == 0


def test_another_rate(spoken):
    assert len(read_audio(spoken, 1.0, 2.0, rate=8000)) == 8000


def test_sound_that_begins_after_the_pictures_is_preceded_by_silence(tmp_path):
    path = footage.write(tmp_path / "late.mkv", sound=tone(2), sound_begin=1.5).path
    sound = read_audio(path, 1.0, 2.5)
    assert len(sound) == 1.5 * RATE
    assert loudness(sound[: int(0.45 * RATE)]) < 0.01 and loudness(sound[int(0.6 * RATE) :]) > 0.3


def test_a_file_of_sound_alone_counts_from_its_own_begin(tmp_path):
    import av

    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w") as container:
        footage.mux_sound(container, container.add_stream("aac", rate=RATE, layout="mono"), tone(3), 0)
    assert loudness(read_audio(path, 1.0, 2.0)) == pytest.approx(0.35, abs=0.02)


def test_no_sound_is_a_clear_error(video, tmp_path):
    with pytest.raises(VideoError, match=r"h264\.mp4: has no sound"):
        read_audio(video.path, 0.0, 1.0)
    with pytest.raises(VideoError, match="none"):
        read_audio(tmp_path / "none.mp4", 0.0, 1.0)


def test_a_range_that_runs_backwards_is_refused(spoken):
    with pytest.raises(ValueError, match="range 3"):
        read_audio(spoken, 3.0, 1.0)


def test_sound_of_no_known_kind_is_named_and_no_crash(tmp_path):
    path = tmp_path / "odd.mp4"
    footage.write(path, times=[i / 25 for i in range(25)], sound=np.zeros(16000, dtype=np.float32))
    content = path.read_bytes()
    kind = content.index(b"\x04\x80\x80\x80", content.index(b"esds")) + 5  # 0x40 says AAC
    assert content[kind] == 0x40
    path.write_bytes((content[:kind] + b"\xee" + content[kind + 1 :]).replace(b"mp4a", b"mpXa"))
    with pytest.raises(VideoError, match="no codec here for its sound; rewrite it"):
        read_audio(path, 0, 1)
