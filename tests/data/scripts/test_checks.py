"""What is refused of a story, and under which cause; and what a sound one becomes."""

import json

import pytest

from eva_lightning.data.scripts.kinds import KINDS
from eva_lightning.data.scripts.spec import Order
from eva_lightning.data.scripts.story import Refused
from eva_lightning.data.scripts.writing import sound, with_clips


def event(start, end, see, **more):
    return {"start": start, "end": end, "see": see, **more}


def cooks(*endings):
    """Four clips of 40 s; the first is right."""
    ways = endings or ("with a fork", "with a whisk", "with a spoon", "by hand")
    return [
        [event(0, 10, "eggs lie on a table"), event(10, 40, f"eggs are beaten {way}", key=not place)]
        for place, way in enumerate(ways)
    ]


def story(clips=None, **changed):
    row = {"clips": clips or cooks(), "question": "Which cook uses a fork?", "detail": "beaten with a fork"}
    return json.dumps(row | changed)


ORDER = Order(kind="CC", number=7, case={"dish": "omelette", "differs": "tool"}, places=(2, 0, 3, 1))


def test_the_right_clip_stands_where_it_was_dealt():
    task, scripts = with_clips(*sound(story(), KINDS["CC"], ORDER), ORDER)
    assert task.answer.value == "C" and task.options == ("Video 1", "Video 2", "Video 3", "Video 4")
    assert [clip.id for clip in task.clips] == ["video 1", "video 2", "video 3", "video 4"]
    assert [one.clip for one in scripts] == ["CC-0-7-1", "CC-0-7-2", "CC-0-7-3", "CC-0-7-4"]
    assert [one.events[1].see.split("beaten ")[1] for one in scripts] == [
        "with a whisk",
        "by hand",
        "with a fork",
        "with a spoon",
    ]
    assert [(one.clip, one.start, one.end) for one in task.evidence] == [("video 3", 10.0, 40.0)]


def spoilt(place, **changed):
    clips = cooks()
    clips[place[0]][place[1]] |= changed
    return clips


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("I can not do that", "not JSON"),
        (story(answer="A"), "not a story"),
        (story(cooks()[:3]), "not a story"),
        (story(spoilt((0, 1), start=12)), "times"),
        (story(spoilt((0, 1), start=8)), "times"),
        (story(spoilt((1, 1), end=400)), "times"),
        (story(spoilt((1, 1), end=float("inf"))), "not JSON"),
        (story(spoilt((2, 1), key=True)), "several answers"),
        (story(spoilt((0, 1), key=False)), "several answers"),
        (story(detail="beaten by nobody"), "several answers"),
        (story(cooks("with a fork", "with a fork, too", "by hand", "with a spoon")), "leaked"),
        (story(question="Which cook uses a fork, as video 1 does?"), "leaked"),
        (story(spoilt((3, 0), see="as in the first clip")), "leaked"),
    ],
)
def test_a_story_is_refused_by_cause(text, cause):
    with pytest.raises(Refused) as problem:
        sound(text, KINDS["CC"], ORDER)
    assert problem.value.cause == cause


PLOT = Order(kind="PI", number=0, case={}, places=(0, 1), place=5)
ENDS = [
    [event(0, 50, "two thieves wait", key=True)],
    [event(0, 50, "one thief stands behind a fallen gate", key=True)],
]
TURNS = [
    "a gate was let down",
    "a fire broke out",
    "a guard woke",
    "a window broke",
    "rain came",
    "they quarrelled",
]


def test_a_plot_must_be_inferred():
    row = {"clips": ENDS, "question": "What happened in between?", "options": TURNS}
    _, asked = sound(json.dumps(row), KINDS["PI"], PLOT)
    assert asked.answer.value == "F" and asked.options[5] == "a gate was let down"
    for spoilt in (
        row | {"question": "Why was it that a gate was let down?"},
        row | {"clips": [ENDS[0], [event(0, 50, "they quarrelled, it seems", key=True)]]},
    ):
        with pytest.raises(Refused) as problem:
            sound(json.dumps(spoilt), KINDS["PI"], PLOT)
        assert problem.value.cause == "leaked"


def test_two_options_that_say_the_same_are_two_answers():
    row = {"clips": ENDS, "question": "What happened?", "options": [*TURNS[:5], "A gate was let down."]}
    with pytest.raises(Refused, match="two options") as problem:
        sound(json.dumps(row), KINDS["PI"], PLOT)
    assert problem.value.cause == "several answers"


def test_a_step_is_aligned_without_its_name_and_not_where_the_question_says_it():
    order = Order(kind="FSA", number=0, case={}, places=(0, 1))
    first = [event(0, 11, "water runs"), event(11, 23, "a knife cuts", key=True), event(23, 40, "oil")]
    second = [event(0, 7, "oil"), event(7, 15, "a machine cuts", key=True), event(15, 31, "salt")]
    _, asked = sound(json.dumps({"clips": [first, second]}), KINDS["FSA"], order)
    assert asked.answer.value == (7.0, 15.0) and asked.question.startswith(
        "Video 1 shows a step from 11 to 23 seconds."
    )
    assert "cut" not in asked.question
    with pytest.raises(Refused, match="11, 23"):
        sound(json.dumps({"clips": [first, [*first[:2], event(23, 40, "salt")]]}), KINDS["FSA"], order)
    apart = [*second, event(31, 35, "it cuts again", key=True)]
    with pytest.raises(Refused, match="one range"):
        sound(json.dumps({"clips": [first, apart]}), KINDS["FSA"], order)


def test_an_order_is_that_of_the_story_in_the_numbers_that_are_shown():
    order = Order(kind="PSS", number=0, case={"steps": "3"}, places=(2, 0, 1))
    clips = [[event(0, 9, one)] for one in ("rice is rinsed", "rice simmers", "rice is topped")]
    row = {"clips": clips, "question": "Somebody makes congee."}
    task, scripts = with_clips(*sound(json.dumps(row), KINDS["PSS"], order), order)
    assert task.answer.value == ("3", "1", "2")
    assert [one.events[0].see for one in scripts] == ["rice simmers", "rice is topped", "rice is rinsed"]


def test_two_views_show_the_same_time():
    order = Order(kind="MOC", number=0, case={}, places=(0, 1))
    views = [[event(0, 9, "{A1} a red car", key=True), event(9, 30, "nothing")]]
    views += [[event(0, 10, "{B1} a red car", key=True), event(10, 30, "nothing")]]
    row = {"clips": views, "question": "How many cars?", "options": ["1", "2", "3", "4"]}
    with pytest.raises(Refused, match="same times"):
        sound(json.dumps(row), KINDS["MOC"], order)
