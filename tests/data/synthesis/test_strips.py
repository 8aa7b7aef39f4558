"""Strips read a row of labelled frames one by one, and say from when to when the asked colour is shown."""

import re
from itertools import islice

from eva_lightning.agent.dialects.vital import VitalDialect
from eva_lightning.data.synthesis.script import ScriptSettings, write_script
from eva_lightning.data.synthesis.strips import MARKS, strips

SCRIPTS = [
    write_script(seed, ScriptSettings(duration=(180, 600), event=(70, 150), height=112, width=112))
    for seed in range(3)
]
ROWS = list(strips(SCRIPTS, "world", VitalDialect(decimals=0), 60))


def test_what_is_said_is_what_the_labelled_frames_show():
    scripts = {script.id: script for script in SCRIPTS}
    for row in ROWS:
        frames = row.prompt[0].frames
        labels = [int(label) for label in re.findall(r"(\d+) seconds: ", row.prompt[0].text)]
        assert labels == [int(frame.time) for frame in frames] and 1 <= len(frames) <= 10
        shown = {
            label: scripts[frame.clip].at(frame.time).see.background
            for label, frame in zip(labels, frames, strict=True)
        }
        row_read, _, said = row.answer.partition(": ")
        unmarked = re.sub(" (from|to)", "", row_read)
        assert unmarked == " ".join(f"{label} {colour}" for label, colour in shown.items())
        question = row.prompt[0].text.rpartition("</tool_response>")[2]
        colour, first, past, before = re.fullmatch(r"(\w+) from (\d+) to (\d+) after (\d+)", said).groups()
        assert re.fullmatch(r"When is an? (\w+) background shown\?", question)[1] == colour
        assert len(labels) == 1 or len(set(shown.values())) > 1
        hits = [label for label in labels if shown[label] == colour]
        assert int(first) == hits[0]
        assert int(past) == min([one for one in labels if one > hits[-1]], default=labels[-1])
        assert re.findall(r"(\d+) \w+ from", row_read) == [first] and row_read.count(" to") <= 1
        if " to" in row_read:
            assert re.findall(r"(\d+) \w+ to", row_read) == [past]
        assert int(before) == max([one for one in labels if one < hits[0]], default=labels[0])


def test_rows_of_few_frames_come_before_long_ones():
    assert {len(row.prompt[0].frames) for row in ROWS} >= {1, 2, 3}
    long = strips(SCRIPTS, "world", VitalDialect(decimals=0), 40, frames=(7, 10))
    assert {len(row.prompt[0].frames) for row in long} == {7, 8, 9, 10}


def test_few_seconds_of_a_clip_are_decoded_for_many_rows():
    times = {(frame.clip, frame.time) for row in ROWS for frame in row.prompt[0].frames}
    assert len(times) <= 3 * MARKS
    many = {str(row.prompt) for row in islice(strips(SCRIPTS, "world", VitalDialect(), 300, seed=1), 300)}
    assert len(many) >= 250
