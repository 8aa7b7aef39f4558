"""Listings say what rows of frames show as the searcher says it, in the message that it would read."""

import re

from eva_lightning.agent.config import default_dialect
from eva_lightning.data.synthesis.listings import listings, plates, signs
from eva_lightning.data.synthesis.questions import ask
from eva_lightning.data.synthesis.script import ScriptSettings, write_script
from eva_lightning.data.synthesis.searcher import Searcher
from tests.data.synthesis.told import attempts

SCRIPTS = [
    write_script(seed, ScriptSettings(duration=(60, 300), event=(8, 40), height=112, width=112))
    for seed in range(4)
]
BY_ID = {script.id: script for script in SCRIPTS}
DIALECT = default_dialect(seconds=True)


def shown(row):
    """The background at every label, read off the frames and not off the words."""
    frames = row.prompt[0].frames
    labels = [int(label) for label in re.findall(r"at (\d+) seconds:", row.prompt[0].text)]
    assert labels == [int(frame.time) for frame in frames]
    return {
        label: BY_ID[frame.clip].at(frame.time).see.background
        for label, frame in zip(labels, frames, strict=True)
    }


def told(words):
    """What a listing says of every second."""
    said = re.sub(r"[=>]\d+", "", words).split()
    seconds, colours = said[::2], said[1::2]
    return dict(zip(map(int, seconds), colours, strict=True))


def test_a_row_tells_of_every_frame_what_it_shows():
    made = list(listings(SCRIPTS, "world", DIALECT, 60))
    assert {len(row.prompt[0].frames) for row in made} == set(range(1, 13))
    for row in made:
        assert {frame.width for frame in row.prompt[0].frames} == {28}
        assert told(re.fullmatch(r"Summary: (.*)\.", row.answer)[1]) == shown(row)


def test_an_asked_row_ends_with_when_the_background_of_its_question_is_seen_or_with_what_follows():
    nowhere = followed = 0
    for row in listings(SCRIPTS, "world", DIALECT, 200, asked=True):
        kind, asked = re.findall(r"(is|after the) (\w+)(?: one)?\?", row.prompt[0].text)[0]
        seen = shown(row)
        hits = [second for second, colour in seen.items() if colour == asked]
        _, end = row.answer.partition(" Reflection")[0].split("; ")
        if kind == "is":
            assert end == (f"{asked}={hits[0]}." if hits else f"{asked} nowhere.")
            nowhere += not hits
            continue
        later = [second for second in seen if second > hits[-1]]
        then = f"{seen[later[0]]}>{later[0]}" if later else "to the end"
        assert end == f"{asked}={hits[0]} {then}."
        if later and len(row.prompt[0].frames) <= 4:
            assert answered(row) == seen[later[0]]
        else:
            assert "<answer>" not in row.answer
        followed += 1
    assert 20 < nowhere < 60 and 40 < followed < 100


def answered(row):
    """What the last turn answers, one of the options if there are any."""
    said = DIALECT.parse(row.answer).answer
    assert said in row.task.options or not row.task.options
    return said


def test_a_plate_tells_the_background_and_the_pattern_of_a_large_frame():
    made = list(plates(SCRIPTS, "world", DIALECT, 40))
    for row in made:
        (frame,) = row.prompt[0].frames
        see = BY_ID[frame.clip].at(frame.time).see
        assert (frame.height, frame.width) == (112, 112)
        second = int(frame.time)
        assert row.answer.startswith(f"Summary: {second} {see.background}={second}; {see.mark}. ")
        assert answered(row) == see.mark
    assert len({answered(row) for row in made}) == 4
    assert 8 < sum(bool(row.task.options) for row in made) < 32
    assert len({row.prompt[0].frames[0].clip for row in made}) == 4


def test_the_lesson_is_a_word_for_word_beginning_of_what_the_searcher_writes():
    tasks = [task for script in SCRIPTS for task in ask(script, 1, ["plate_while"])]
    for one in attempts(Searcher(SCRIPTS, tasks, DIALECT), SCRIPTS, tasks):
        scan, close = one.turns[1].text, one.turns[-1].text
        assert re.match(r"Summary: (\d+ \w+([=>]\d+)?[ ;])+ \w+(=\d+| nowhere)\. Plan: ", scan)
        assert re.match(r"Summary: (\d+) \w+=\1; (rows|columns|checks|slants)\. Reflection: ", close)
        message = one.turns[0].observation.parts
        assert message[0].startswith("<tool_response>") and message[-1].endswith("</tool_response>")
    row = next(listings(SCRIPTS, "world", DIALECT, 1, asked=True))
    assert row.prompt[0].parts[0].startswith("<tool_response>")


def test_the_same_seed_makes_the_same_rows():
    first, again, other = (list(listings(SCRIPTS, "w", DIALECT, 9, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_a_sign_is_a_small_frame_and_the_second_that_its_background_means():
    for row in signs(SCRIPTS, "world", DIALECT, 60):
        (frame,) = row.prompt[0].frames
        (background,) = shown(row).values()
        means = dict(re.findall(r"(\w+) means (\d+)", row.prompt[0].text))
        assert frame.width == 28 and len(means) == 2
        assert row.answer == f"Summary: {background} means {means[background]}."
