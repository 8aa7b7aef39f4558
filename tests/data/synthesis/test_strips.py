"""Strips say of every colour in a row of labelled frames from when to when it is shown."""

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
        for said in row.answer.split(", "):
            colour, first, past, before = re.fullmatch(
                r"(\w+) from (\d+) to (\d+) after (\d+)", said
            ).groups()
            hits = [label for label in labels if shown[label] == colour]
            assert int(first) == hits[0]
            assert int(past) == min([one for one in labels if one > hits[-1]], default=labels[-1])
            assert int(before) == max([one for one in labels if one < hits[0]], default=labels[0])


def test_colours_are_told_as_they_are_seen_so_that_each_has_to_be_read():
    for row in ROWS:
        firsts = [int(first) for first in re.findall(r"from (\d+) to", row.answer)]
        assert firsts == sorted(firsts)
    assert {len(row.prompt[0].frames) for row in ROWS} >= {1, 2, 3}


def test_few_seconds_of_a_clip_are_decoded_for_many_rows():
    times = {(frame.clip, frame.time) for row in ROWS for frame in row.prompt[0].frames}
    assert len(times) <= 3 * MARKS
    many = {str(row.prompt) for row in islice(strips(SCRIPTS, "world", VitalDialect(), 300, seed=1), 300)}
    assert len(many) >= 250


def test_a_row_that_asks_names_the_colours_in_the_order_of_its_answer():
    for row in strips(SCRIPTS, "world", VitalDialect(decimals=0), 20, frames=(7, 10), asked=True):
        question = row.prompt[0].text.rpartition("</tool_response>")[2]
        assert re.findall(r"an? (\w+) background", question) == re.findall(r"(\w+) from", row.answer)
        assert question.startswith("When is a") and question.endswith("background shown?")
