"""The grammar: stories from lists of words, one function for each kind, for use without any server.

Deterministic by kind, case and seed. What it writes goes through the same checks as anybody's words. It is a
test bed for looking across clips, not literature: who trains on it alone learns where to look, not to see.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eva_lightning.data.scripts.spec import Order, ScriptSpec

Case = Mapping[str, str]
Row = dict[str, Any]


def written_offline(spec: ScriptSpec, order: Order, seed: int) -> Row:
    """The story of an order, as an author would reply it."""
    dice = random.Random(f"grammar/{order.kind}/{order.number}/{seed}/{sorted(order.case.items())}")
    return _KINDS[spec.kind](spec, order.case, dice)


def _timed(
    events: Sequence[Row], spec: ScriptSpec, dice: random.Random, lengths: Sequence[int] | None = None
) -> list[Row]:
    """Events one after the other, of whole seconds that add up to a length the kind allows."""
    low, high = spec.seconds
    each = lengths or _lengths(len(events), low, high, dice)
    made, now = [], 0
    for event, length in zip(events, each, strict=True):
        made.append({"start": now, "end": now + length, **event})
        now += length
    return made


def _lengths(count: int, low: float, high: float, dice: random.Random) -> list[int]:
    """So many lengths whose sum lies in the shorter half of a range."""
    total = dice.randint(max(int(low), 2 * count), int(max(low, (low + high) / 2)))
    cuts = sorted(dice.sample(range(1, total), count - 1))
    return [after - before for before, after in zip([0, *cuts], [*cuts, total], strict=True)]


def _clip(spec: ScriptSpec, dice: random.Random, filler: Sequence[str], detail: str, key: bool) -> list[Row]:
    """Some of the filler, and the detail somewhere among it."""
    events: list[Row] = [{"see": one} for one in dice.sample(list(filler), 4)]
    events.insert(dice.randint(1, 4), {"see": detail, **({"key": True} if key else {})})
    if spec.sound:
        for event in dice.sample(events, 2):
            event["hear"] = dice.choice(_TALK)
    return _timed(events, spec, dice)


def _behaviour(spec: ScriptSpec, case: Case, dice: random.Random) -> Row:
    animal, deed, fitting = case["animal"], case["deed"], int(case["fitting"])
    detail = f"in a {case['manner']} way"
    others = [f"in a {one} way" for one in spec.axes["manner"] if one != case["manner"]]
    dice.shuffle(others)
    ways = [detail] * fitting + others[: 4 - fitting]
    filler = [f"the {animal} {one}" for one in _PAUSES]
    clips = [_clip(spec, dice, filler, f"the {animal} is {deed} {way}", way == detail) for way in ways]
    return {"clips": clips, "question": f"Which videos show a {animal} {deed} {detail}?", "detail": detail}


def _narrative(spec: ScriptSpec, case: Case, dice: random.Random) -> Row:
    act, thing, place = case["act"], case["thing"], case["place"]
    acts = dice.sample([one for one in spec.axes["act"] if one != act], 3)
    filler = [f"{one} {place}" for one in _PEOPLE]
    clips = [
        _clip(spec, dice, filler, f"somebody {one} a {thing} {place}", one == act) for one in (act, *acts)
    ]
    question = f"In which of these scenes does somebody {_bare(act)} a {thing}?"
    return {"clips": clips, "question": question, "detail": f"somebody {act} a {thing}"}


def _bare(verb: str) -> str:
    """A verb as it stands behind "does"."""
    return "bury" if verb == "buries" else verb.removesuffix("s")


def _cooking(spec: ScriptSpec, case: Case, dice: random.Random) -> Row:
    ways = dice.sample(_WAYS[case["differs"]], 4)
    filler = [f"the cook {one}" for one in _CHORES]
    clips = [_clip(spec, dice, filler, f"the cook {way}", way == ways[0]) for way in ways]
    question = f"All make {case['dish']}. Which cook does this: {ways[0]}?"
    return {"clips": clips, "question": question, "detail": f"the cook {ways[0]}"}


def _assembly(spec: ScriptSpec, case: Case, dice: random.Random) -> Row:
    part, other = dice.sample(_PARTS, 2)
    detail = {
        "a wrong order": f"puts the {part} on before the {other}, which is then in the way",
        "a wrong position": f"screws the {part} to the wrong side",
        "a needless part": f"adds a second {part} that belongs nowhere",
        "a repair of a mistake": f"takes the {part} off again and turns it round",
    }[case["mistake"]]
    filler = [f"hands {one}" for one in _BUILDING]
    faulty = int(case["faulty"])
    clips = [
        _clip(spec, dice, filler, detail if i < faulty else f"puts the {part} on the {other}", i < faulty)
        for i in range(3)
    ]
    question = f"Which video of building a {case['toy']} has this mistake: somebody {detail}?"
    return {"clips": clips, "question": question, "detail": detail}


def _plot(spec: ScriptSpec, case: Case, dice: random.Random) -> Row:
    (trace, right), *others = dice.sample(_TURNS, 6)
    opening: list[Row] = [{"see": f"{one} in {case['setting']}"} for one in dice.sample(_PEOPLE, 4)]
    closing: list[Row] = [{"see": f"{one} in {case['setting']}"} for one in dice.sample(_PEOPLE, 3)]
    closing.insert(dice.randint(0, 3), {"see": trace, "key": True})
    opening[-1] |= {"key": True, "hear": dice.choice(_TALK)}
    return {
        "clips": [_timed(opening, spec, dice), _timed(closing, spec, dice)],
        "question": f"What happened between the beginning and the ending of this {case['genre']}?",
        "options": [right, *(option for _, option in others)],
    }


def _alignment(spec: ScriptSpec, case: Case, dice: random.Random) -> Row:
    deed = case["step"]
    looks = dice.sample(_STEPS[deed], 2)
    others = [one for one in _STEPS if one != deed]
    clips = []
    for look in looks:
        steps = dice.sample(others, 3)
        events: list[Row] = [{"see": dice.choice(_STEPS[one])} for one in steps]
        events.insert(dice.randint(0, 3), {"see": look, "key": True})
        clips.append(_timed(events, spec, dice))
    return {"clips": clips}


def _sequencing(spec: ScriptSpec, case: Case, dice: random.Random) -> Row:
    count, food = int(case["steps"]), dice.choice(_FOOD)
    kept = sorted(dice.sample(range(len(_COURSE)), count))
    clips = []
    for place in kept:
        events: list[Row] = [{"see": form.format(food=food)} for form in _COURSE[place]]
        if dice.random() < 0.5:
            events[0]["hear"] = dice.choice(_TALK)
        clips.append(_timed(events, spec, dice))
    return {"clips": clips, "question": f"Somebody makes {case['dish']} with {food}."}


def _position(spec: ScriptSpec, case: Case, dice: random.Random) -> Row:
    right, *others = dice.sample(_PLACES, 4)
    count, when = 8, dice.randint(2, 6)
    lengths = _lengths(count, *spec.seconds, dice)
    colours = dice.sample(_COLOURS, 2)
    deed = dice.choice(("stops", "turns", "flashes its lights"))
    near: list[Row] = [{"see": f"{{A1}} the {colours[0]} {case['thing']} drives on"} for _ in range(count)]
    far: list[Row] = [{"see": f"{{B2}} the {colours[1]} car is {dice.choice(others)}"} for _ in range(count)]
    near[when] = {"see": f"{{A1}} the {colours[0]} {case['thing']} {deed}", "key": True}
    far[when] = {"see": f"{{B2}} the {colours[1]} car is {right}", "key": True}
    return {
        "clips": [_timed(one, spec, dice, lengths) for one in (near, far)],
        "question": f"Where is {{B2}} at {case['scene']} when {{A1}} {deed}?",
        "options": [right, *others],
    }


def _counting(spec: ScriptSpec, case: Case, dice: random.Random) -> Row:
    number, thing = dice.randint(2, 6), case["thing"]
    colours = dice.sample(_COLOURS, number)
    both = dice.randint(1, number - 1)
    near = colours[: dice.randint(both, number - 1)]
    views = near, [*colours[:both], *colours[len(near) :]]
    lengths = _lengths(7, *spec.seconds, dice)
    clips = []
    for letter, seen in zip("AB", views, strict=True):
        events: list[Row] = [{"see": f"{case['scene']} is empty, view {letter}"} for _ in range(7)]
        for tag, (place, colour) in enumerate(
            zip(sorted(dice.sample(range(7), len(seen))), dice.sample(seen, len(seen)), strict=True), start=1
        ):
            events[place] = {"see": f"{{{letter}{tag}}} a {colour} {thing} passes", "key": True}
        clips.append(_timed(events, spec, dice, lengths))
    wrong = dice.sample([one for one in range(2, 7) if one != number], 3)
    return {
        "clips": clips,
        "question": f"How many different vehicles of the kind {thing} do the two views show? Each "
        "has a colour of "
        "its own.",
        "options": [str(number), *map(str, wrong)],
    }


def _open(spec: ScriptSpec, case: Case, dice: random.Random) -> Row:
    kinds = dice.sample(sorted(_WAYS), 2)
    pairs = [dice.sample(_WAYS[kind], 2) for kind in kinds]
    clips = []
    for cook in (0, 1):
        events: list[Row] = [{"see": f"the cook {one}"} for one in dice.sample(_CHORES, 4)]
        for pair in pairs:
            events.insert(dice.randint(0, len(events)), {"see": f"the cook {pair[cook]}", "key": True})
        clips.append(_timed(events, spec, dice))
    points = [f"one cook {first}, the other {second}" for first, second in pairs]
    return {
        "clips": clips,
        "question": f"How do the two cooks who make {case['dish']} differ in {kinds[0]} and {kinds[1]}?",
        "answer": "; ".join(points),
        "points": points,
    }


_KINDS: dict[str, Callable[[ScriptSpec, Case, random.Random], Row]] = {
    "BU": _behaviour,
    "NC": _narrative,
    "CC": _cooking,
    "PEA": _assembly,
    "PI": _plot,
    "FSA": _alignment,
    "PSS": _sequencing,
    "MSR": _position,
    "MOC": _counting,
    "CCQA": _open,
}
"""Who writes which kind."""

_TALK = ("wait a moment", "that is enough now", "careful with this", "let us go on", "not like that", "good")
_PAUSES = ("rests", "looks around", "listens", "walks off and comes back", "drinks", "shakes its head")
_PEOPLE = (
    *("a man waits", "two friends talk", "a woman reads", "a child runs past", "an old man coughs"),
    *("somebody closes a door", "a stranger arrives", "a guard sits down"),
)
_CHORES = (
    *("wipes the board", "looks for a bowl", "washes hands", "opens a drawer", "dries a plate"),
    *("tastes with a spoon", "puts a lid aside", "reads the recipe"),
)
_WAYS: dict[str, list[str]] = {
    "tool": ["stirs with chopsticks", "stirs with a whisk", "stirs with a fork", "stirs with bare hands"],
    "ingredient": ["adds cumin", "adds lemon juice", "adds honey", "adds mustard", "adds grated cheese"],
    "amount": [
        "pours in a cup of water",
        "pours in three cups",
        "pours in a splash of milk",
        "adds no water",
    ],
    "heat": ["turns the flame low", "turns the flame high", "switches the oven on", "leaves the stove cold"],
    "ending": [
        "sprinkles parsley at the end",
        "drips oil at the end",
        "adds nothing and serves",
        "folds it in half",
    ],
}
_PARTS = ["cabin", "arm", "seat", "hook", "front wheel", "rear axle", "bumper", "roof", "shovel"]
_BUILDING = (
    "search the box",
    "turn a screw",
    "hold the base",
    "inspect a part",
    "pause",
    "compare two screws",
)
_TURNS = [
    ("one of them stands behind a fallen gate", "a gate was let down"),
    ("the car has a broken window and no driver", "the driver fled after a crash"),
    ("a bandage is round his hand", "he hurt his hand"),
    ("her suitcase is open and empty", "her things were stolen"),
    ("they sit apart and do not look up", "they quarrelled"),
    ("the lights are out and candles burn", "the power failed"),
    ("everybody is wet to the skin", "they were caught by a storm"),
    ("a ring is on her finger", "he proposed to her"),
    ("the table is set for one more", "a guest was invited"),
]
_STEPS: dict[str, list[str]] = {
    "washing": [
        "carrots under a running tap",
        "a colander of leaves dipped in a basin",
        "rice rubbed in cold water",
    ],
    "cutting": [
        "a knife rocks over an onion",
        "a slicer takes thin discs off",
        "scissors snip herbs into a bowl",
    ],
    "frying": ["pieces sizzle in a wide pan", "cubes brown in a wok", "a basket goes down into hot oil"],
    "seasoning": ["salt falls from a hand", "pepper is ground over the bowl", "a spoon of soy sauce goes in"],
    "serving": ["slices are laid on a plate", "a ladle fills two bowls", "a board is carried to the table"],
}
_FOOD = ("carrots", "mushrooms", "potatoes", "peppers", "leeks", "pumpkin")
_COURSE = [
    ("{food} lie in a shop's bag", "the bag is emptied on a table"),
    ("whole {food} under a running tap", "clean {food} drip on a towel"),
    ("a knife goes through raw {food}", "a heap of raw pieces of {food} grows"),
    ("raw pieces of {food} slide into hot oil", "the pieces turn brown at their edges"),
    ("water is poured over browned pieces", "the pot begins to boil"),
    ("a spoon lifts soft pieces out of the pot", "a little salt is added to the taste"),
    ("a full plate steams on a table", "somebody eats the last bite"),
]
_PLACES = [
    "behind it",
    "in front of it",
    "to its left",
    "to its right",
    "under the bridge",
    "out of the view",
]
_COLOURS = ["red", "blue", "white", "black", "green", "yellow", "silver"]
