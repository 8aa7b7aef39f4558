"""Times as agents write them."""

import pytest

from eva_lightning.timecode import clock, parse_seconds


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (0, 0),
        (12.5, 12.5),
        ("75", 75),
        ("03:20", 200),
        ("1:00:00.5", 3600.5),
        (" 90 s", 90),
        ("2 seconds", 2),
        ("61:01", 3661),
    ],
)
def test_a_time_is_seconds_or_a_clock(written, seconds):
    assert parse_seconds(written) == seconds


@pytest.mark.parametrize(
    "written",
    ["", "soon", "1:2:3:4", None, True, [1], float("inf"), "nan", "-1:00", 10**400, "9" * 400 + ":00"],
)
def test_what_is_no_time_is_named(written):
    with pytest.raises(ValueError, match="is not a"):
        parse_seconds(written)


@pytest.mark.parametrize("written", ["9" * 60_000, "x" * 60_000, [1] * 60_000, int("9" * 4000)])
def test_what_is_no_time_is_named_in_a_line(written):
    with pytest.raises(ValueError) as problem:
        parse_seconds(written)
    assert len(str(problem.value)) < 120


def test_minutes_run_past_59():
    assert clock(3725.9) == "62:05"
