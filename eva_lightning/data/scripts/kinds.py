"""The ten kinds of question across clips, a spec each: comparing, ordering, aligning, inferring, two views.

Their names and forms of answer are those of the CrossVid benchmark (arXiv 2511.12263). What varies is ours.
"""

from __future__ import annotations

from eva_lightning.data.scripts.assembling import (
    in_words,
    same_step,
    true_order,
    which_clip,
    which_clip_if_any,
    which_clips,
    words_as_options,
)
from eva_lightning.data.scripts.spec import ScriptSpec

DISHES = (
    *(
        "omelette",
        "onion soup",
        "pancakes",
        "fried rice",
        "tomato salad",
        "apple pie",
        "noodle soup",
        "risotto",
    ),
    *("dumplings", "lentil stew", "flatbread", "potato gratin", "fish tacos", "vegetable curry", "meatballs"),
)
TOYS = ("crane", "fire engine", "dump truck", "excavator", "race car", "tractor", "tow truck", "bulldozer")
ANIMALS = ("otter", "crow", "octopus", "squirrel", "chimpanzee", "heron", "bear", "fox", "gull", "rat")
SCENES = ("a crossroads", "a roundabout", "a car park", "a bridge", "a market street", "a motorway exit")

SPECS = (
    ScriptSpec(
        kind="BU",
        axes={
            "animal": ANIMALS,
            "deed": ("opening food", "building a nest", "hiding", "chasing a rival", "cleaning itself"),
            "manner": ("hurried", "careful", "playful", "tired", "clumsy"),
            "fitting": ("1", "1", "2", "3"),
        },
        prompt=(
            "Four silent clips of a {animal} {deed}. Exactly {fitting} of them show it in a {manner} way; "
            "the others show it in another manner. Ask which videos show the {manner} way."
        ),
        wants=("question", "detail"),
        assemble=which_clips,
        clips=4,
        right="fitting",
        seconds=(6, 60),
        sound=False,
        shuffled=True,
    ),
    ScriptSpec(
        kind="NC",
        axes={
            "genre": ("heist", "family drama", "comedy", "western", "detective story"),
            "thing": ("letter", "key", "photograph", "coin", "map", "ring"),
            "act": ("hides", "burns", "steals", "buries", "swaps", "finds"),
            "place": ("in an attic", "on a train", "at a wedding", "in a garage", "by a river"),
        },
        prompt=(
            "Four scenes of different films; one is a {genre} in which somebody {act} a {thing} {place}. "
            "The others are near it (the same thing, or the same place) and differ in what is done. Ask "
            "which one it is."
        ),
        wants=("question", "detail"),
        assemble=which_clip,
        clips=4,
        right=1,
        seconds=(60, 450),
        shuffled=True,
    ),
    ScriptSpec(
        kind="CC",
        axes={"dish": DISHES, "differs": ("tool", "ingredient", "amount", "heat", "ending")},
        prompt=(
            "Four cooks make {dish}. One of them differs from the others in one {differs}. Ask which one, "
            "by what that cook does."
        ),
        wants=("question", "detail"),
        assemble=which_clip,
        clips=4,
        right=1,
        seconds=(30, 300),
        shuffled=True,
    ),
    ScriptSpec(
        kind="PEA",
        axes={
            "toy": TOYS,
            "mistake": (
                "a wrong order",
                "a wrong position",
                "a needless part",
                "a repair of a mistake",
            ),
            "faulty": ("1", "1", "1", "0"),
        },
        prompt=(
            "Three silent clips of people who put a toy together, a {toy}. In exactly {faulty} of them "
            "there is this mistake: {mistake}; the others hesitate, search or inspect, but do not make it. "
            "Ask which video has it."
        ),
        wants=("question", "detail"),
        assemble=which_clip_if_any,
        clips=3,
        right="faulty",
        seconds=(40, 300),
        sound=False,
        shuffled=True,
    ),
    ScriptSpec(
        kind="PI",
        axes={
            "genre": ("heist", "family drama", "disaster film", "romance", "western", "ghost story"),
            "setting": ("a museum", "a farm", "an island", "a hotel", "a ship", "a mountain hut"),
            "turn": ("a trap", "a betrayal", "an accident", "a rescue", "a confession", "a lost thing"),
        },
        prompt=(
            "The beginning and the ending of one {genre} in {setting}. What happened between them, {turn}, "
            "is shown in neither, and can be concluded from both. Ask what happened; the options are six "
            "short statements."
        ),
        wants=("question", "options"),
        assemble=words_as_options,
        clips=2,
        options=6,
        seconds=(40, 240),
        inferred=True,
    ),
    ScriptSpec(
        kind="FSA",
        axes={
            "dish": DISHES,
            "step": ("washing", "cutting", "frying", "seasoning", "serving"),
            "differs": ("the tool", "the place", "the speed"),
        },
        prompt=(
            "Two cooks make {dish}, a clip each, with several steps in an order of their own. Both do the "
            "step of {step}, once, and differ in {differs}; the events of that step are key."
        ),
        wants=(),
        assemble=same_step,
        clips=2,
        seconds=(30, 300),
        one_range=True,
    ),
    ScriptSpec(
        kind="PSS",
        axes={
            "dish": DISHES,
            "steps": ("3", "4", "5", "6"),
            "care": ("tools", "colours", "hands", "sounds"),
        },
        prompt=(
            "{steps} clips, each a step of making {dish}, in their true order; the order must follow from "
            "what is done, with attention to {care}. Ask for the order without naming a step."
        ),
        wants=("question",),
        assemble=true_order,
        clips="steps",
        seconds=(4, 60),
        shuffled=True,
    ),
    ScriptSpec(
        kind="MSR",
        axes={
            "scene": SCENES,
            "cameras": ("front and rear", "left and right", "low and high"),
            "thing": ("bus", "lorry", "van", "taxi"),
        },
        prompt=(
            "Two drones film {scene} at the same time, one clip each, {cameras}. Vehicles have tags, "
            "{{A1}} in one view and {{B1}} in the other. Ask where one of them is when something happens "
            "to a {thing}; the options are four places."
        ),
        wants=("question", "options"),
        assemble=words_as_options,
        clips=2,
        options=4,
        seconds=(20, 60),
        sound=False,
        in_step=True,
    ),
    ScriptSpec(
        kind="MOC",
        axes={
            "scene": SCENES,
            "cameras": ("front and rear", "left and right", "low and high"),
            "thing": ("car", "bus", "van", "motorcycle"),
        },
        prompt=(
            "Two drones film {scene} at the same time, one clip each, {cameras}. Vehicles have tags, "
            "{{A1}} in one view and {{B1}} in the other, and some are seen in both. Ask how many different "
            "vehicles of the kind {thing} there are; the options are four numbers."
        ),
        wants=("question", "options"),
        assemble=words_as_options,
        clips=2,
        options=4,
        seconds=(20, 60),
        sound=False,
        in_step=True,
    ),
    ScriptSpec(
        kind="CCQA",
        axes={
            "dish": DISHES,
            "asked": ("the tools", "the ingredients", "the order", "the heat", "the serving"),
        },
        prompt=(
            "Two cooks make {dish}, a clip each, and differ in several ways. Ask an open question on how "
            "they differ in {asked}; the points are the statements that a whole answer makes, each about "
            "one difference."
        ),
        wants=("question", "answer", "points"),
        assemble=in_words,
        clips=2,
        seconds=(30, 300),
    ),
)
"""In the order in which they are written in turn."""

KINDS = {spec.kind: spec for spec in SPECS}
