"""The spelling of VITAL: the length in the opening, true times on frames, a thought before every deed."""

import json
import random
import time

import pytest

from eva_lightning.agent.dialects.vital import VitalDialect
from eva_lightning.agent.tools.base import Findings
from eva_lightning.agent.tools.clip_frames import ClipFrames
from eva_lightning.agent.worlds.base import ClipFacts, Glimpse
from eva_lightning.records import Clip, Span
from tests.making import frame, task

FACTS = ClipFacts(duration=227.347, height=360, width=640, fps=25.0)
DIALECT = VitalDialect()
CALL = DIALECT.call("get_video_clip_frame", start_time=30.0, end_time=45.5)


def glimpses(*times, **fields):
    return Findings(glimpses=tuple(Glimpse(time=t, content=frame(time=t)) for t in times), **fields)


def test_the_opening_shows_frames_with_their_times_and_says_the_length_rounded_down():
    system, user = DIALECT.opening(
        task(options=()), [FACTS], tools=[ClipFrames()], shown=[glimpses(0.0, 113.5)]
    )
    assert user.parts == (
        "0.00 seconds: ",
        frame(time=0.0),
        "\n113.50 seconds: ",
        frame(time=113.5),
        "\nThis is a video with duration 227.34 seconds.\nWhat colour?",
    )
    assert system.text.startswith("Think first, between <think> and </think>. Then either call a tool")
    assert CALL in system.text and "This tool can be called once." in system.text


@pytest.mark.parametrize(
    ("duration", "decimals", "said"),
    [(60.0, 2, "60.00"), (227.3, 2, "227.30"), (9.999, 2, "9.99"), (59.9, 0, "59"), (60.0, 0, "60")],
)
def test_a_stated_length_is_never_past_the_end(duration, decimals, said):
    _, user = VitalDialect(decimals).opening(task(), [ClipFacts(duration=duration)])
    assert user.text.startswith(f"This is a video with duration {said} seconds.\n")
    assert float(said) <= duration


def test_without_a_tool_the_system_message_names_none():
    system, _ = DIALECT.opening(task(), [FACTS])
    assert system.text == (
        "Think first, between <think> and </think>. "
        "Then give the final answer between <answer> and </answer>."
    )


def test_a_policy_that_knows_its_tools_needs_no_manual_and_a_system_message_may_be_another():
    system, _ = VitalDialect(system="Look.", explain_tools=False).opening(
        task(), [FACTS], tools=[ClipFrames()]
    )
    assert system.text == "Look."


def test_several_clips_are_named_in_the_opening_and_in_what_was_found():
    two = task(options=(), clips=(Clip(id="left"), Clip(id="right")))
    _, user = DIALECT.opening(two, [FACTS, FACTS], shown=[glimpses(1.0), Findings()])
    assert user.text == (
        "left:\n1.00 seconds: \nleft is a video with duration 227.34 seconds.\n"
        "right:\nright is a video with duration 227.34 seconds.\nWhat colour?"
    )
    found = Findings(text="A dog.", spans=(Span(clip="right", start=3, end=7.5),))
    assert DIALECT.observation(two, [found], []) == (
        "<tool_response>\nVideo clip of right from 3.00 to 7.50 seconds.\nA dog.\n</tool_response>",
    )


def test_what_was_found_says_its_range_and_the_true_time_of_each_frame():
    found = glimpses(30.04, 30.52, spans=(Span(clip="v", start=30, end=31.5),))
    assert DIALECT.observation(task(), [found], []) == (
        "<tool_response>\nVideo clip from 30.00 to 31.50 seconds.\n30.04 seconds: ",
        frame(time=30.04),
        "\n30.52 seconds: ",
        frame(time=30.52),
        "\n</tool_response>",
    )


def test_a_moment_a_note_and_a_mistake_are_told():
    seen = Glimpse(time=7.0, content="a red circle", note="repeated")
    found = Findings(glimpses=(seen,), spans=(Span(clip="v", start=7, end=7),))
    assert VitalDialect(decimals=0).observation(task(), [found], ["end_time is missing"]) == (
        "<tool_response>\nVideo clip at 7 seconds.\n7 seconds: a red circle (repeated)\n"
        "Error: end_time is missing\n</tool_response>",
    )


def test_what_the_dialect_writes_it_reads():
    (call,) = DIALECT.parse(f"<think>Look.</think>{CALL}").calls
    assert (call.name, call.arguments) == ("get_video_clip_frame", {"start_time": 30.0, "end_time": 45.5})
    assert DIALECT.parse(f"<think>Seen.</think>{DIALECT.reply('B')}").answer == "B"


@pytest.mark.parametrize(
    ("text", "answer", "calls"),
    [
        ("<answer>B</answer>", "B", 0),
        (f"<think>I could {CALL} or say <answer>A</answer></think><answer>B</answer>", "B", 0),
        (f"<think><answer>A</answer></think>{CALL}", None, 1),
        ("<think>a</think><think><answer>A</answer></think>", None, 0),
        ("so: <think><answer>A</answer></think> <answer> 3 to 4 </answer>", "3 to 4", 0),
        ("<think>it goes on and on", None, 0),
        ("<answer> </answer>", None, 0),
        (f"<answer></answer>{CALL}{CALL}", None, 2),
        ("The answer: C", None, 0),
        ("<answer>B", None, 0),
        ("", None, 0),
    ],
)
def test_what_stands_in_a_thought_does_nothing_and_an_answer_stands_in_its_tags(text, answer, calls):
    parsed = DIALECT.parse(text)
    assert (parsed.answer, len(parsed.calls), parsed.problem) == (answer, calls, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"<think>hm {CALL}", "the thought is not closed with </think>"),
        ("<think>hm <answer>B</answer>", "the thought is not closed with </think>"),
        (
            '<tool_call>{"tool": "x", "arguments": {}}</tool_call>',
            'name its tool: {"name": ..., "arguments": {...}}',
        ),
        ('<tool_call>{"name": "x", "parameters": {}}</tool_call>', "x has no arguments"),
        ('<tool_call>{"name": "x", "arguments": "{}"}</tool_call>', "x has no arguments"),
        ('<tool_call>["x"]</tool_call>', 'must be an object: {"name": ..., "arguments": {...}}'),
        ("<tool_call>{broken</tool_call>", "not JSON"),
        (CALL * 40, "more than 32 calls"),
    ],
)
def test_a_malformed_turn_says_what_to_mend(text, problem):
    assert problem in DIALECT.parse(text).problem


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        (f"<think>Look.</think>\n{CALL}", None),
        (f" <think>Look.</think>{CALL} {CALL}\n", None),
        ("<think>Seen.</think><answer>B</answer>", None),
        ("<answer>B</answer>", "does not begin with a thought"),
        ("<think> </think><answer>B</answer>", "does not begin with a thought"),
        ("Well. <think>a</think><answer>B</answer>", "does not begin with a thought"),
        ("<think>a</think>so <answer>B</answer>", "something else than"),
        ("<think>a</think><answer>B</answer><answer>B</answer>", "something else than"),
        (f"<think>a</think>{CALL}<answer>B</answer>", "something else than"),
        ("<think>a</think><think>b</think><answer>B</answer>", "something else than"),
        ("<think>a</think><answer>B", "something else than"),
        ("<think>a</think>", "something else than"),
        ("<think>a</think><answer> </answer>", "neither a call nor an answer"),
        ("<think>a</think><tool_call>{</tool_call>", "not JSON"),
    ],
)
def test_a_turn_is_well_formed_if_it_is_a_thought_and_then_a_deed(text, flaw):
    said = DIALECT.flaw(text)
    assert said is None if flaw is None else flaw in said


@pytest.mark.parametrize(
    "text",
    [
        "<think>" * 9000,
        "<think></think>" * 4300,
        "<think>" + "</think><answer>" * 4000,
        "<think>a</think>" + "<tool_call>" * 6000,
        "<think>a</think>" + "<tool_call></tool_call>" * 2800,
        "<tool_call>" + '{"name": "x", "arguments": {' * 1600 + "</tool_call>",
    ],
    ids=range(6),
)
def test_a_turn_of_64_kilobytes_is_read_in_no_time(text):
    began = time.process_time()
    DIALECT.parse(text), DIALECT.flaw(text)
    assert time.process_time() - began < 1.0


def test_ten_thousand_mutated_turns_never_raise_and_never_invent_an_answer():
    dice = random.Random(0)
    seeds = [f"<think>Look.</think>{CALL}", "<think>So.</think><answer>3.5 to 7</answer>", json.dumps(CALL)]
    bits = [
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "<answer>",
        "</answer>",
        "{",
        '"',
        "\\",
        "\x00",
    ]
    for _ in range(10_000):
        text = dice.choice(seeds)
        for _ in range(dice.randrange(6)):
            at, to = sorted(dice.randrange(len(text) + 1) for _ in range(2))
            text = dice.choice(
                [text[:at] + text[to:], text[:at] + dice.choice(bits) + text[at:], text[to:] + text[:at]]
            )
        parsed, flaw = DIALECT.parse(text), DIALECT.flaw(text)
        assert parsed.answer is None or (parsed.answer in text and parsed.answer)
        assert all(call.text in text for call in parsed.calls)
        assert flaw is not None or parsed.answer or parsed.calls
