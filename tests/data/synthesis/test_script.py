"""Scripts: seeded, tiled without holes, and readable from JSON."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eva_lightning.data.synthesis.script import MARGIN, Script, ScriptSettings, write_script
from eva_lightning.files.encoding import decode, encode


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**9), st.integers(4, 12), st.integers(0, 40), st.integers(12, 400))
def test_events_tile_the_clip_and_neighbours_differ_in_every_trait(seed, shortest, extra, duration):
    duration = max(duration, 2 * shortest)
    wanted = ScriptSettings(duration=(duration, duration), event=(shortest, 2 * shortest + extra))
    script = write_script(seed, wanted)
    seconds = [second for event in script.events for second in range(event.start, event.end)]
    assert seconds == list(range(duration))
    assert all(shortest <= event.end - event.start <= 2 * shortest + extra for event in script.events)
    for one, other in zip(script.events, script.events[1:], strict=False):
        for trait in ("background", "shape", "ink", "mark"):
            assert getattr(one.see, trait) != getattr(other.see, trait)
    for event in script.events:
        assert event.hear is None or event.start + MARGIN <= event.hear.at <= event.end - MARGIN


def test_the_same_seed_gives_the_same_script_and_another_seed_another_name():
    assert write_script(7) == write_script(7)
    names = {write_script(seed).id for seed in range(100)}
    assert len(names) == 100
    assert write_script(7).id != write_script(7, ScriptSettings(height=252)).id


def test_a_script_survives_json():
    script = write_script(7)
    assert decode(Script, encode(script)) == script


def test_the_event_at_a_second_is_the_one_that_covers_it():
    script = write_script(7)
    first, second = script.events[:2]
    assert script.at(first.end - 0.1) is first
    assert script.at(first.end) is second
    assert script.at(-5) is first and script.at(10_000) is script.events[-1]


def test_a_script_with_a_hole_is_refused_with_the_second_in_the_message():
    script = write_script(7)
    with pytest.raises(ValueError, match=f"follows second {script.events[0].end}"):
        replace(script, events=(script.events[0], *script.events[2:]))
    with pytest.raises(ValueError, match="want even sizes"):
        replace(script, width=225)


def test_settings_that_can_not_be_tiled_are_refused():
    with pytest.raises(ValueError, match="at least 4 s"):
        ScriptSettings(event=(3, 20))
    with pytest.raises(ValueError, match="2x the shortest"):
        ScriptSettings(event=(10, 15))


def test_an_event_reads_as_a_sentence():
    event = next(event for seed in range(50) for event in write_script(seed).events if event.hear)
    assert f"{event.see.ink} {event.see.shape}" in event.sentence
    assert f"at second {event.hear.at}." in event.sentence
