"""The spelling of the released EVA checkpoint, to the letter."""

import json
import random
import time

import pytest

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.dialects.eva_official import OfficialEvaDialect
from eva_lightning.agent.tools.base import Findings
from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.agent.worlds.base import ClipFacts, Glimpse
from eva_lightning.files.encoding import decode
from eva_lightning.files.store import line
from eva_lightning.records import Turn
from tests.making import frame, task

FACTS = ClipFacts(duration=227.3, height=360, width=640, fps=25.0)
DIALECT = EvaDialect()


def test_the_opening_says_length_and_resolution_and_shows_no_frame():
    system, user = DIALECT.opening(task(), [FACTS], tools=[FrameSelect()])
    assert system.text == "Use Frame Select Tool to Anlysis the video and generate an answer to the question."
    assert user.text == (
        "Video Length: 226 seconds. Original video resolution: 360p. What colour?\nA. red\nB. blue\nC. green"
    )
    assert user.frames == ()


def glimpses(*times):
    return Findings(glimpses=tuple(Glimpse(time=t, content=frame(time=t)) for t in times))


def test_frames_are_numbered_from_zero_and_labelled_with_their_true_time():
    parts = DIALECT.observation(task(options=()), [glimpses(3.0, 75.5)], [])
    assert parts == (
        "<tool_response>Frame 0 at [00:03]: ",
        frame(time=3.0),
        "\nFrame 1 at [01:15]: ",
        frame(time=75.5),
        "\nIf more information is needed, call the frame selection tool again.\n\n"
        "Question: What colour?</tool_response>",
    )


def test_frames_of_several_calls_are_counted_through():
    parts = DIALECT.observation(task(), [glimpses(1.0), glimpses(2.0)], [])
    assert [part for part in parts if isinstance(part, str)][1] == "\nFrame 1 at [00:02]: "


def test_a_frame_on_show_from_just_before_a_second_carries_that_second():
    for seconds, second in ((36.97, 37), (36.90, 36)):
        parts = EvaDialect("seconds").observation(task(), [glimpses(seconds)], [])
        assert f"\nFrame 0 at {second} seconds:" in str(parts[0])


def test_a_mistake_is_told_inside_the_response():
    (text,) = DIALECT.observation(task(), [], ["nframes is missing"])
    assert text.startswith("<tool_response>\nError: nframes is missing\nIf more information")


def test_words_of_a_world_without_pictures_stand_where_the_frame_would():
    found = Findings(glimpses=(Glimpse(time=1.0, content="a red circle", note="repeated"),))
    (text,) = DIALECT.observation(task(), [found], [])
    assert "Frame 0 at [00:01]: a red circle (repeated)\n" in text


ARGUMENTS = {"start_time": 1, "end_time": 2, "nframes": 3, "resize": 0.5}


@pytest.mark.parametrize("key", ["arguments", "parameters"])
@pytest.mark.parametrize("name", ["tool", "name"])
def test_a_call_may_be_spelled_in_four_ways(key, name):
    body = json.dumps({name: "frame_select", key: ARGUMENTS})
    (call,) = DIALECT.parse(f"I look.\n<tool_call>\n{body}\n</tool_call>").calls
    assert (call.name, call.arguments, call.text) == ("frame_select", ARGUMENTS, body)


def test_what_the_dialect_writes_it_reads():
    (call,) = DIALECT.parse(DIALECT.call("frame_select", **ARGUMENTS)).calls
    assert call.arguments == ARGUMENTS
    assert DIALECT.parse(DIALECT.reply("B")).answer == "B"


def test_several_calls_in_a_turn_keep_their_order():
    one, two = (DIALECT.call("frame_select", start_time=t) for t in (1, 2))
    inner = one.removesuffix("</tool_call>") + "\n" + two.removeprefix("<tool_call>")
    for text in (one + two, inner, one + "\nthen\n" + two):
        assert [call.arguments["start_time"] for call in DIALECT.parse(text).calls] == [1, 2]


def test_arguments_may_be_json_inside_a_string():
    body = json.dumps({"tool": "frame_select", "arguments": json.dumps(ARGUMENTS)})
    assert DIALECT.parse(f"<tool_call>{body}</tool_call>").calls[0].arguments == ARGUMENTS


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<tool_call>{broken</tool_call>", "not JSON"),
        ("<tool_call></tool_call>", "is empty"),
        ("<tool_call>[]</tool_call>", "is empty"),
        ("<tool_call>" + "[]" * 30_000 + "</tool_call>", "more than 32 calls"),
        ('<tool_call>{"tool": "frame_select"}</tool_call>', "frame_select has no arguments"),
        ('<tool_call>{"arguments": {}}</tool_call>', "does not name its tool"),
        ("<tool_call>[1]</tool_call>", "must be an object"),
        ('<tool_call>{"tool": "x", "arguments": "{"}</tool_call>', "are not JSON"),
        ('<tool_call>{"tool": "x", "arguments": {}}', "not closed"),
        ("<tool_call>" + "[" * 60_000 + "</tool_call>", "nested too deeply"),
        ("<tool_call>" + "1" * 5000 + "</tool_call>", "a whole number of 5000 digits"),
        ('<tool_call>{"tool": "x", "arguments": {"a": NaN}}</tool_call>', "NaN is no number"),
        ('<tool_call>{"tool": "x", "arguments": "{\\"a\\": 1e999}"}</tool_call>', "1e999 is too large"),
        ('<tool_call>{"tool": "x", "arguments": {"a": "\\ud83d"}}</tool_call>', "half a character"),
        ('<tool_call>{"tool": "x", "arguments": {}, "\\ud83d": 1}</tool_call>', "half a character"),
        ('<tool_call>{"tool": "x", "arguments": {"a": 1, "a": 2}}</tool_call>', "'a' stands there twice"),
        ('<tool_call>{"tool": "x", "arguments": {"a": 9223372036854775808}}</tool_call>', "19 digits"),
        (f'<tool_call>{{"tool": "{"x" * 101}", "arguments": {{}}}}</tool_call>', "name of 101 characters"),
        (f"<tool_call>{' ' * 65_537}</tool_call>", "65537 characters; at most 65536 are read"),
    ],
)
def test_a_malformed_call_says_what_to_mend(text, problem):
    parsed = DIALECT.parse(text)
    assert parsed.calls == ()
    assert problem in parsed.problem


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>B</answer>", "B"),
        ("so <answer>\n a red\ncar </answer> done", "a red\ncar"),
        ("The answer: C", "C"),
        ("Answer. D because it is seen", "D"),
        ("<answer></answer>", None),
        ("no idea", None),
        ("<answer>B", None),
        ("<answer> </answer><answer>B</answer>", None),
        ("<answer>B</answer><answer>C</answer>", "B"),
        ("</answer><answer><answer>B</answer>", "<answer>B"),
    ],
)
def test_an_answer_stands_in_tags_or_at_the_very_end(text, answer):
    assert DIALECT.parse(text).answer == answer


def test_a_tagged_answer_wins_over_calls_and_calls_over_a_bare_answer():
    call = DIALECT.call("frame_select", start_time=1)
    assert DIALECT.parse(f"{call}<answer>B</answer>").answer == "B"
    assert DIALECT.parse(f"{call} Answer: B").calls


def test_an_empty_first_answer_leaves_the_word_to_the_calls():
    call = DIALECT.call("frame_select", start_time=1)
    assert DIALECT.parse(f"<answer>\n</answer>{call}<answer>B</answer>").calls[0].arguments == {
        "start_time": 1
    }


def nested(levels):
    return '<tool_call>{"tool": "x", "arguments": {"a": ' + "[" * levels + "]" * levels + "}}</tool_call>"


@pytest.mark.parametrize(
    ("levels", "read"), [(30, True), (31, False), (450, False), (600, False), (900, False)]
)
def test_what_is_nested_deeper_than_32_is_refused_and_the_rest_can_be_written(levels, read):
    parsed = DIALECT.parse(nested(levels))
    assert [call.name for call in parsed.calls] == ["x"] * read
    assert (parsed.problem is None) == read and (read or "nested more than 32 deep" in parsed.problem)
    turn = Turn(text=nested(levels), calls=parsed.calls)
    assert decode(Turn, json.loads(line(turn))) == turn


def test_of_40_calls_in_a_turn_32_are_read_and_the_model_hears_of_it():
    one = DIALECT.call("frame_select", start_time=1)
    inside = one.removeprefix("<tool_call>").removesuffix("</tool_call>")
    for text in (
        one * 40,
        f"<tool_call>{inside * 40}</tool_call>",
        f"<tool_call>[{inside}{f',{inside}' * 39}]</tool_call>",
    ):
        parsed = DIALECT.parse(text)
        assert len(parsed.calls) == 32
        assert parsed.problem == "more than 32 calls in one turn; the rest was not read"
    assert DIALECT.parse(one * 32).problem is None


@pytest.mark.parametrize("dialect", [EvaDialect(), OfficialEvaDialect()], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize(
    "text",
    [
        "<answer>" + " " * 1600,
        "<answer>" * 16_000,
        "<answer> " * 400 + "\n" * 1200,
        "<tool_call>" * 6000,
        "<tool_call></tool_call>" * 3000,
        "<tool_call>" + "1 " * 30_000 + "</tool_call>",
        '<tool_call>{"tool": "frame_select", "arguments": {' * 1200,
        "<tool_call>" + '{"tool": "frame_select", "arguments": {' * 1600 + "</tool_call>",
        "<tool_call>" + "[" * 60_000 + "</tool_call>",
        "answer " * 9000,
        "Answer: a" * 7000,
        "answer" + " " * 60_000,
    ],
    ids=range(12),
)
def test_a_turn_of_64_kilobytes_is_read_in_no_time(dialect, text):
    began = time.process_time()
    dialect.parse(text)
    assert time.process_time() - began < 1.0


def test_ten_thousand_mutated_turns_never_raise_and_never_invent_an_answer():
    rng = random.Random(0)
    seeds = [
        "I plan.\n" + DIALECT.call("frame_select", **ARGUMENTS),
        DIALECT.call("frame_select", start_time="03:20") * 2 + "<answer>B. a car</answer>",
        "Summary: seen. Answer: C",
        '<tool_call>[{"name": "x", "parameters": "{}"}]</tool_call><answer>12.0 to 20.0</answer>',
    ]
    bits = [
        "<tool_call>",
        "</tool_call>",
        "<answer>",
        "</answer>",
        "{",
        "}",
        '"',
        "\\",
        "[",
        "]",
        ":",
        "\x00",
        "é",
        "Answer: ",
    ]
    for _ in range(10_000):
        text = rng.choice(seeds)
        for _ in range(rng.randrange(6)):
            at, to = sorted(rng.randrange(len(text) + 1) for _ in range(2))
            text = rng.choice(
                [text[:at] + text[to:], text[:at] + rng.choice(bits) + text[at:], text[to:] + text[:at]]
            )
        parsed = DIALECT.parse(text)
        assert parsed.answer is None or (parsed.answer in text and parsed.answer)
        assert all(call.text in text for call in parsed.calls)
