"""How many frames, where and how large: all of it decided before decoding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eva_lightning.video.sampling import Budget, plan, snap, spread

FREE = Budget(tokens=10**9, label_tokens=0)


def test_times_run_from_the_start_to_just_before_the_end():
    assert spread(0.0, 90.0, 4) == pytest.approx((0.0, 29.9997, 59.9993, 89.999), abs=1e-3)
    assert spread(0.0, 90.0, 1) == (45.0,)


def test_a_360p_frame_at_half_size_is_6_by_11_squares():
    assert snap(360, 640, 0.5) == (6 * 28, 11 * 28)


def test_a_request_within_its_budget_is_left_alone():
    asked = plan(0, 10, 8, 0.5, height=360, width=640, budget=Budget(label_tokens=0), room=10**6)
    assert (len(asked.times), asked.height, asked.width, asked.tokens) == (8, 168, 308, 8 * 66)


def test_an_expensive_request_is_first_capped_at_720p():
    # 1440p: 51 x 91 squares a frame; capped by half it is 26 x 46 = 1196, and 8 of them fit
    asked = plan(0, 10, 8, 1.0, height=1440, width=2560, budget=Budget(label_tokens=0), room=10**6)
    assert (len(asked.times), asked.height // 28, asked.width // 28) == (8, 26, 46)


def test_what_is_still_too_much_shrinks_in_number_and_size_together():
    # 64 frames of 26 x 46 are 76,544 tokens; r = (12000 / 76544) ^ (1/3) = 0.539: 34 frames of 14 x 25
    asked = plan(0, 10, 64, 1.0, height=720, width=1280, budget=Budget(label_tokens=0), room=10**6)
    assert (len(asked.times), asked.height // 28, asked.width // 28) == (34, 14, 25)
    assert asked.tokens == 34 * 14 * 25 <= 12_000
    assert asked.frames_cut == 30


def test_labels_count_so_a_thousand_tiny_frames_do_not_slip_through():
    # one square and 16 label tokens each: 17 tokens a frame
    asked = plan(0, 10, 1000, 0.01, height=280, width=280, budget=Budget(), room=10**6)
    assert asked.tokens == 17 * len(asked.times) <= 12_000


def test_a_full_conversation_cuts_whole_frames_and_keeps_their_size():
    asked = plan(0, 10, 8, 0.5, height=360, width=640, budget=Budget(label_tokens=0), room=200)
    assert (len(asked.times), asked.height, asked.frames_cut) == (3, 168, 5)


def test_no_room_means_no_frame():
    asked = plan(0, 10, 8, 0.5, height=360, width=640, budget=Budget(), room=-5)
    assert (asked.times, asked.tokens, asked.frames_cut) == ((), 0, 8)


@given(
    count=st.integers(1, 10**6),
    resize=st.floats(1e-6, 100),
    height=st.integers(16, 4320),
    width=st.integers(16, 7680),
    tokens=st.integers(100, 50_000),
    room=st.integers(-10, 50_000),
)
def test_no_request_exceeds_its_budget_or_the_room(count, resize, height, width, tokens, room):
    budget = Budget(tokens=tokens)
    asked = plan(0, 10, count, resize, height=height, width=width, budget=budget, room=room)
    assert asked.tokens <= min(tokens, max(room, 0))
    assert len(asked.times) + asked.frames_cut == count
    assert asked.height % 28 == asked.width % 28 == 0
