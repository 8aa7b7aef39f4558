"""Trajectories that wait point at the same numbers, and say what they said."""

import operator
from copy import deepcopy

from eva_lightning.policy.shared_ids import share_ids
from eva_lightning.records import Turn
from tests.making import trajectory


def made(offset):
    """Ids 2000, 2001, 2002 in a turn, as objects of its own; an id that no vocabulary has in another."""
    one = trajectory()
    ids = [offset + k + 2000 - offset for k in range(3)]
    one.prompt_ids = list(map(int, map(str, ids)))
    one.turns = [
        Turn(
            text="x", token_ids=list(map(int, map(str, ids))), logprobs=[0.0] * 3, observation_ids=[-1, 2**40]
        )
    ]
    return one


def test_equal_ids_of_two_trajectories_are_the_same_objects():
    one, other = made(1), made(2)
    before = deepcopy(one)
    assert not any(map(operator.is_, one.prompt_ids, other.turns[0].token_ids))
    assert share_ids(one) is one and share_ids(other) == one == before
    assert all(map(operator.is_, one.prompt_ids, other.turns[0].token_ids))
    assert one.prompt_ids is not other.prompt_ids and one.turns[0].observation_ids == [-1, 2**40]
