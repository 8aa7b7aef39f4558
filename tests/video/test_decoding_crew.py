import threading

import numpy as np

from eva_lightning.video.decoder_pool import DecoderPool
from eva_lightning.video.decoding_crew import DecodingCrew, _parts
from eva_lightning.video.packet_index import file_identity, packet_index
from eva_lightning.video.pyav_decoder import PyAVDecoder

SIZE = 56, 84


def test_a_group_of_pictures_is_never_cut(video):
    index = packet_index(video.path)  # 25 frames a group
    assert _parts(index, [30, 1, 2, 24, 26, 149], 9) == [[1, 2, 24], [26, 30], [149]]
    assert _parts(index, [30, 1, 2, 24, 26, 149], 2) == [[1, 2, 24], [26, 30, 149]]
    assert _parts(index, [7], 6) == [[7]]


def test_three_helpers_give_the_same_frames_as_none(videos, sequential):
    video = videos["h264 long gop"]
    for helpers in (0, 3):
        crew = DecodingCrew(DecoderPool(PyAVDecoder, 4), helpers)
        numbers = [299, 5, 250, 249, 100, 251]
        shown, seconds = crew.decode(file_identity(video.path), packet_index(video.path), numbers, *SIZE)
        assert sorted(shown) == sorted(numbers) and seconds > 0
        for number in numbers:
            assert np.array_equal(shown[number].pixels, sequential(video.path, *SIZE)[number])


def test_the_caller_does_what_a_busy_crew_has_not_begun(video):
    crew = DecodingCrew(DecoderPool(PyAVDecoder, 4), 1)
    release = threading.Event()
    crew._threads.submit(release.wait, 30)  # the one helper is busy
    shown, _ = crew.decode(file_identity(video.path), packet_index(video.path), [0, 30, 60, 90], *SIZE)
    release.set()
    assert sorted(shown) == [0, 30, 60, 90]


def test_a_closed_crew_still_finishes_what_is_asked(video):
    crew = DecodingCrew(DecoderPool(PyAVDecoder, 4), 2)
    crew.close()
    shown, _ = crew.decode(file_identity(video.path), packet_index(video.path), [0, 60], *SIZE)
    assert sorted(shown) == [0, 60]
