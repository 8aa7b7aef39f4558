"""A thousand trajectories that differ in everything a trajectory can differ in, and always the same ones."""

import random
from dataclasses import replace

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.records import (
    Answer,
    Clip,
    FrameRef,
    Message,
    Observation,
    Score,
    Task,
    ToolCall,
    Trajectory,
    Turn,
)

DIALECT = EvaDialect()
WORDS = (
    "a dog",
    "ein Hund läuft",
    "犬",
    "<image>",
    "<|im_end|>",
    'say "no"',
    "\n",
    "\\n",
    " ",
    "<image >",
    "<video>",
    "\u2028",
)
ANSWERS = (
    Answer(kind="choice", value="B"),
    Answer(kind="multi", value=("A", "C")),
    Answer(kind="order", value=("C", "A", "B")),
    Answer(kind="interval", value=(1.0, 2.5)),
    Answer(kind="text", value="a dog"),
    Answer(kind="number", value=3.0),
    None,
)


def words(dice, count=4):
    return "".join(dice.choice(WORDS) for _ in range(dice.randrange(count)))


def task(dice, number):
    clips = tuple(
        Clip(id=f"v{i}", path=f"clips/{i}.mp4", begin=dice.choice([None, 1.5]), end=dice.choice([None, 60.0]))
        for i in range(dice.choice([1, 1, 2, 3]))
    )
    answer = dice.choice(ANSWERS)
    options = ("red", "blue", "green") if answer and answer.kind in ("choice", "multi", "order") else ()
    return Task(
        id=f"t{number}",
        source=dice.choice(["", "colours"]),
        clips=clips,
        question=f"What is it? {words(dice)}",
        options=options,
        wording=dice.choice(["", "Said so: what is it?"]),
        answer=answer,
        extra=dice.choice([{}, {"evidence": [[1.0, 2.0]], "index": 3, "text": "ä"}]),
    )


def frames(dice, about, count):
    return [
        FrameRef(
            clip=dice.choice(about.clips).id,
            time=round(dice.uniform(0, 60), 6),
            height=28 * dice.randrange(1, 9),
            width=28 * dice.randrange(1, 9),
        )
        for _ in range(count)
    ]


def parts(dice, about):
    """Text and frames in any order, also texts that touch each other and texts of nothing."""
    mixed = [*frames(dice, about, dice.randrange(4)), *(words(dice) for _ in range(dice.randrange(4)))]
    dice.shuffle(mixed)
    return tuple(mixed)


def ids(dice, sampled):
    return [dice.randrange(150_000) for _ in range(dice.randrange(1, 30))] if sampled else []


def turn(dice, about, last, sampled):
    call = DIALECT.call("frame_select", start_time=dice.randrange(60), end_time=60, nframes=2)
    text = words(dice) + dice.choice(["", call, call + call, "<tool_call>{torn", "<answer>B</answer>"])
    token_ids = ids(dice, sampled)
    strange = (ToolCall(name="zoom", arguments={"at": [1, 2.5], "x": None}, text="zoom(1)"),)
    seen = None
    if not last or dice.random() < 0.1:  # an engine died after it looked
        seen = Observation(
            parts=parts(dice, about),
            error=dice.choice([None, "start_time is missing"]),
            frames_cut=dice.choice([0, 3]),
            worked=dice.choice([None, 0, 1]),
            elsewhere=dice.choice([0, 600]),
        )
    return Turn(
        text=text,
        token_ids=token_ids,
        logprobs=[round(-dice.random(), 6) for _ in token_ids],
        weight_version=dice.choice([0, 7]),
        cut=dice.random() < 0.2,
        calls=dice.choice([DIALECT.parse(text).calls, DIALECT.parse(text).calls, strange, ()]),
        observation=seen,
        observation_ids=ids(dice, sampled) if seen else [],
    )


def one(number):
    dice = random.Random(number)
    about = task(dice, number)
    sampled = dice.random() < 0.7
    opening = [
        Message(role="user", parts=dice.choice([(about.text,), (*frames(dice, about, 2), about.text)]))
    ]
    if dice.random() < 0.8:
        opening.insert(0, Message(role="system", parts=(dice.choice(["Watch.", "", "<image>"]),)))
    if dice.random() < 0.05:  # shown how before it is asked
        opening += [
            Message(role="assistant", parts=("like this",)),
            Message(role="user", parts=("and now?",)),
        ]
    count = dice.randrange(5)
    turns = [turn(dice, about, i == count - 1, sampled) for i in range(count)]
    reasons = ["answered", "turn_limit", "turn_cut", "token_limit", "no_action", "fault", None]
    made = Trajectory(
        task=about,
        prompt=tuple(opening),
        prompt_ids=ids(dice, sampled),
        turns=turns,
        stop=dice.choice(reasons),
        answer=dice.choice([None, "B", "a dog", DIALECT.parse(turns[-1].text).answer if turns else None]),
        faults=dice.choice([[], ["a server died"]]),
        scores=dice.choice([{}, {"accuracy": Score(value=0.5, weight=2.0, reason="half")}]),
        advantage=dice.choice([None, -0.25]),
        desirable=dice.choice([None, True, False]),
        replica=dice.randrange(3),
        seed=dice.randrange(2**63),
    )
    return (
        replace(made, prompt=(), turns=[]) if dice.random() < 0.02 else made
    )  # a clip that can not be opened


def thousand():
    return [one(number) for number in range(1000)]
