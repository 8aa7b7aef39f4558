"""The first difference of two trajectories is named by its place: token, frame, words, end."""

from dataclasses import replace

import pytest

from eva_lightning.agent.replay import divergence, logprob_gap
from eva_lightning.records import Observation
from tests.making import frame, trajectory


def changed(turn=0, **fields):
    one = trajectory()
    one.turns[turn] = replace(one.turns[turn], **fields)
    return one


def observed(*frames, **fields):
    return changed(observation=Observation(parts=("<tool_response>", *frames), **fields))


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (
            changed(token_ids=[11, 15, 13]),
            "turn 1, token 2: was 12 'w12', log-prob -0.25, now 15 'w15', log-prob -0.25",
        ),
        (
            changed(token_ids=[11, 12], logprobs=[-0.5, -0.25]),
            "turn 1, token 3: was 13 'w13', log-prob -0.125, now nothing",
        ),
        (
            observed(frame(0.0), frame(2.5)),
            "turn 1, observation, frame 2: was v at 1 s, 84x56, now v at 2.5 s, 84x56",
        ),
        (
            observed(frame(0.0), frame(1.0, width=56)),
            "turn 1, observation, frame 2: was v at 1 s, 84x56, now v at 1 s, 56x56",
        ),
        (observed(frame(0.0)), "turn 1, observation, frame 2: was v at 1 s, 84x56, now nothing"),
        (
            observed(frame(0.0), frame(1.0), error="late"),
            "turn 1, observation, error: was nothing, now 'late'",
        ),
        (changed(observation=None), "turn 1, observation: was 2 frames, now nothing"),
        (changed(observation_ids=[7, 9, 7, 8]), "turn 1, observation, token 4: was 9 'w9', now 8 'w8'"),
        (changed(cut=True), "turn 1, cut: was False, now True"),
        (
            changed(turn=1, text="<answer>C</answer>"),
            "turn 2, character 9: was '<answer>B</answer>', now '<answer>C</answer>'",
        ),
        (trajectory(prompt_ids=[1, 2, 5, 4]), "opening, token 3: was 3 'w3', now 5 'w5'"),
        (
            trajectory(turns=trajectory().turns[:1], stop="turn_limit"),
            "turn 2: was it goes on, now it had ended (turn_limit)",
        ),
        (
            trajectory(turns=trajectory().turns[:1], stop="fault", faults=["v.mp4: is gone"]),
            "turn 2: was it goes on, now a fault: v.mp4: is gone",
        ),
        (
            trajectory(prompt=(), turns=[], stop="fault", faults=["gone"]),
            "opening: was made, now a fault: gone",
        ),
        (trajectory(answer="C"), "answer: was 'B', now 'C'"),
        (trajectory(stop="turn_cut"), "stop: was 'answered', now 'turn_cut'"),
    ],
)
def test_the_first_difference_is_named(now, said):
    assert str(divergence(trajectory(), now, spell=lambda token: f"w{token}")) == said


def test_what_is_no_difference():
    scored = trajectory(advantage=1.0, desirable=True)
    scored.turns[0] = replace(scored.turns[0], logprobs=[-0.5, -0.25, -0.5], weight_version=7)
    assert divergence(trajectory(), scored) is None
    assert logprob_gap(trajectory(), scored) == 0.375
    words = trajectory(prompt_ids=[])
    words.turns = [replace(turn, token_ids=[], logprobs=[], observation_ids=[]) for turn in words.turns]
    assert divergence(trajectory(), words) is None  # made again without ids: the words are compared
