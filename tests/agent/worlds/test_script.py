"""A script says what is shown and heard at each second, and refuses what can not be so."""

import pytest

from eva_lightning.agent.worlds.script import ClipScript, ScriptEvent, read_scripts
from eva_lightning.faults import UsageError
from eva_lightning.files.store import write

KETTLE = ClipScript(
    clip="kettle",
    duration=20,
    events=(
        ScriptEvent(start=0, end=5, see="a kettle is filled"),
        ScriptEvent(start=3, end=8, hear="two cups, please"),
        ScriptEvent(start=9, end=20, see="steam rises", hear="a whistle"),
    ),
)


def words(event):
    return event and event.see


def test_a_second_shows_one_event_and_a_border_the_one_that_begins_there():
    assert [words(KETTLE.at(second)) for second in (0, 4.99, 5, 8.99, 9, 20, 20.01)] == [
        "a kettle is filled", "a kettle is filled", None, None, "steam rises", "steam rises", None
    ]  # fmt: skip


def test_what_overlaps_a_range_is_heard_in_it():
    assert [event.hear for event in KETTLE.heard(0, 20)] == ["two cups, please", "a whistle"]
    assert [event.hear for event in KETTLE.heard(7.9, 9)] == ["two cups, please"]
    assert [event.hear for event in KETTLE.heard(8, 9.1)] == ["a whistle"]
    assert [event.hear for event in KETTLE.heard(9, 9)] == ["a whistle"]
    assert not KETTLE.heard(0, 3)


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ({"start": 5, "end": 5, "see": "x"}, "from 5 to 5 s: want 0 <= start < end"),
        ({"start": -1, "end": 5, "see": "x"}, "from -1 to 5 s"),
        ({"start": 0, "end": float("nan"), "see": "x"}, "from 0 to nan s"),
        ({"start": 0, "end": 5, "see": " "}, "from 0 to 5 s shows and says nothing"),
    ],
)
def test_an_event_that_can_not_be_is_refused(event, why):
    with pytest.raises(ValueError, match=why):
        ScriptEvent(**event)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"clip": ""}, "give its id"),
        ({"duration": float("inf")}, "lasts inf s"),
        ({"duration": 19}, "from 9 to 20 s, but the clip ends at 19 s"),
        ({"events": KETTLE.events[::-1]}, "at 3 s after one at 9 s"),
        ({"events": (*KETTLE.events, ScriptEvent(start=19, end=20, see="x"))}, "two things from 19 s on"),
    ],
)
def test_a_script_that_can_not_be_is_refused(changed, why):
    said = {"clip": "kettle", "duration": 20, "events": KETTLE.events} | changed
    with pytest.raises(ValueError, match=why):
        ClipScript(**said)


def test_scripts_come_back_from_a_file_by_clip(tmp_path):
    other = ClipScript(clip="pan", duration=4.5)
    write(tmp_path / "scripts.jsonl", [KETTLE, other])
    assert read_scripts(tmp_path / "scripts.jsonl") == {"kettle": KETTLE, "pan": other}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ('{"clip": "p", "duration": 9, "events": [{"start": 3, "end": 2, "see": "x"}]}', ":2: .*3 to 2"),
        ('{"clip": "pan", "duration": "9"}', ":2: duration: '9' is not float"),
        ('{"clip": "pan", "length": 9}', ":2: length: unknown field"),
        ('{"clip": "kettle", "duration": 9}', "script 2 is the second of clip 'kettle'"),
    ],
)  # fmt: skip
def test_a_bad_script_is_named_by_file_line_and_field(tmp_path, row, why):
    path = tmp_path / "scripts.jsonl"
    write(path, [KETTLE])
    path.write_text(path.read_text() + row + "\n")
    with pytest.raises(UsageError, match=f"scripts.jsonl.*{why}"):
        read_scripts(path)


def test_a_file_without_a_script_is_refused(tmp_path):
    (tmp_path / "scripts.jsonl").write_text("\n")
    with pytest.raises(UsageError, match="no script in it"):
        read_scripts(tmp_path / "scripts.jsonl")
