"""One JSON object a turn: read strictly, with fences and thoughts let pass, and told what is wrong."""

import pytest

from eva_lightning.agent.dialects.react import ReActDialect
from eva_lightning.agent.tools.base import Findings
from eva_lightning.agent.tools.listen import Listen
from eva_lightning.agent.tools.observe import Observe
from eva_lightning.agent.worlds.base import ClipFacts
from eva_lightning.records import Clip, Span
from eva_lightning.scoring import score
from tests.making import task

DIALECT = ReActDialect()
TURN = '{"thought": "the bowls", "action": "listen", "params": {"clip": "pan"}}'
END = '{"thought": "so", "action": "answer", "final_answer": "B"}'


@pytest.mark.parametrize(
    "around",
    ["{}", "```json\n{}\n```", "```\n{}```", "<think>hm {{</think>\n{}", "so.</think>```json\n{}\n```"],
)
def test_a_turn_is_its_object_whatever_is_let_pass_around_it(around):
    parsed = DIALECT.parse(around.format(TURN))
    (call,) = parsed.calls
    assert (call.name, call.arguments, call.text) == ("listen", {"clip": "pan"}, TURN)
    assert DIALECT.parse(around.format(END)).answer == "B"


def test_without_params_everything_else_is_an_argument():
    (call,) = DIALECT.parse('{"action": "listen", "thought": "x", "clip": "pan", "start": 3}').calls
    assert call.arguments == {"clip": "pan", "start": 3}


def test_a_tag_in_a_thought_is_a_word_of_it():
    assert (
        DIALECT.parse('{"thought": "not </think> here", "action": "answer", "final_answer": "B"}').answer
        == "B"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "there is no JSON object"),
        ("<think>only thoughts</think>", "there is no JSON object"),
        (f"I listen. {TURN}", "not one JSON object and nothing beside it"),
        (TURN + TURN, "not one JSON object and nothing beside it .Extra data"),
        (TURN[:-1], "nothing beside it .Expecting"),
        ("[1]", "must be an object"),
        ('{"thought": "x"}', 'names no "action"'),
        ('{"action": "listen", "action": "answer"}', "'action' stands there twice"),
        ('{"action": "listen", "params": [1]}', '"params" of listen is no object'),
        ('{"action": "answer"}', '"final_answer" is None'),
        ('{"action": "answer", "final_answer": " "}', '"final_answer" is empty'),
        ('{"action": "answer", "final_answer": {"a": 1}}', "must be the answer, in words or numbers"),
        ('{"action": "' + "x" * 101 + '"}', "the action has 101 characters; at most 100"),
        ('{"action": "' + "x" * 70_000 + '"}', "at most 65536 are read"),
    ],
)  # fmt: skip
def test_anything_else_is_told(text, problem):
    parsed = DIALECT.parse(text)
    assert (parsed.answer, parsed.calls) == (None, ())
    assert problem.replace(".Ex", "(Ex") in parsed.problem


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ('"B"', task(value="B")),
        ('["A", "C"]', task("multi", ("A", "C"))),
        ("[12, 30.5]", task("interval", (12.0, 30.5))),
        ('"[12.0, 30.5]"', task("interval", (12.0, 30.5))),
        ('"C -> A -> B"', task("order", ("C", "A", "B"))),
        ("3", task("number", 3.0)),
    ],
)
def test_an_answer_of_any_kind_is_scored_as_it_is_spelled(answer, gold):
    said = DIALECT.parse(f'{{"action": "answer", "final_answer": {answer}}}').answer
    assert score(gold, said).value == 1


@pytest.mark.parametrize("answer", ["B", 'a "red" car', "caf\u00e9\nau lait", "\\"])
def test_what_it_spells_it_reads(answer):
    assert DIALECT.parse(DIALECT.reply(answer)).answer == answer
    thought = DIALECT.thinking(f"it is {answer}", DIALECT.reply(answer))
    assert DIALECT.parse(thought).answer == answer and DIALECT.flaw(thought) is None


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        (TURN, None),
        (f"<think>x</think>{END}", None),
        (f"```json\n{TURN}\n```", "the object stands in a fence"),
        (DIALECT.reply("B"), 'does not begin with a "thought"'),
        ('{"thought": " ", "action": "answer", "final_answer": "B"}', 'does not begin with a "thought"'),
        ("B", "not one JSON object"),
    ],
)
def test_a_turn_of_good_form_is_a_thought_and_an_action_and_nothing_around_it(text, flaw):
    said = DIALECT.flaw(text)
    assert said is None if flaw is None else flaw in said


def test_the_opening_names_every_video_and_its_length_rounded_down_and_no_answer():
    clips = (Clip(id="pan"), Clip(id="pot"))
    facts = [ClipFacts(duration=20.19), ClipFacts(duration=7.0)]
    system, user = DIALECT.opening(task(clips=clips, value="C"), facts, tools=[Observe(), Listen()])
    assert user.text == (
        "Videos:\n- pan: 20.1 seconds\n- pot: 7.0 seconds\n\nWhat colour?\nA. red\nB. blue\nC. green"
    )
    assert '"action": "observe"' in system.text and "out of pan, pot" in system.text


def test_an_observation_says_where_each_piece_is_from():
    found = Findings(
        text="pan, 2.0 s: rice",
        spans=(Span(clip="pan", start=0, end=4), Span(clip="pot", start=1, end=1.5)),
    )
    assert DIALECT.observation(task(), [found], ["no such tool"]) == (
        "pan from 0.0 to 4.0 s; pot from 1.0 to 1.5 s:\npan, 2.0 s: rice\nError: no such tool\n",
    )
