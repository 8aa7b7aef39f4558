"""Everyone is learned from once, and no rank is busy much longer than the others."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eva_lightning.policy.dealing import EVEN, Burden, Prices, deal
from eva_lightning.records import Clip, FrameRef, Message, Observation, Task, Trajectory, Turn

QWEN_7B = Prices(token=3 * 6.5e9, pair=3 * 2 * 28 * 3584, written=3 * 5.45e8, seen=4 * 6.3e8, seen_once=True)
"""A frozen tower."""


def texts(*costs):
    return [Burden(text=cost) for cost in costs]


def kept(homes, ranks):
    """Everyone keeps what it made."""
    return [[place for place, home in enumerate(homes) if home == rank] for rank in range(ranks)]


def imbalance(burdens, hands):
    """How many times as busy as the mean rank the busiest one is: a frame is looked at once in a hand."""
    loads = []
    for hand in hands:
        frames = {name: cost for place in hand for name, cost in burdens[place].frames.items()}
        loads.append(sum(burdens[place].text for place in hand) + sum(frames.values()))
    return max(loads) * len(loads) / sum(loads)


def looking(tokens, seconds, task="a"):
    """A trajectory that wrote ten tokens and looked at frames of 64 visual tokens at these seconds."""
    frames = tuple(FrameRef(clip="v", time=second, height=224, width=224) for second in seconds)
    rest = tokens - 10 - 64 * len(frames)
    turn = Turn(
        text="",
        token_ids=[1] * 10,
        logprobs=[0.0] * 10,
        observation=Observation(parts=frames),
        observation_ids=[1] * len(frames),
    )
    return Trajectory(
        task=Task(id=task, clips=(Clip(id="v", path=f"{task}.mp4"),), question="?"),
        prompt=(Message(role="user", parts=("?",)),),
        prompt_ids=[1] * rest,
        turns=[turn],
    )


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 4)), min_size=1, max_size=40))
def test_everyone_is_dealt_once_and_the_busiest_is_not_busier_than_before(made):
    burdens, homes = texts(*(cost for cost, _ in made)), [home for _, home in made]
    hands = deal(burdens, homes, 5)
    assert sorted(place for hand in hands for place in hand) == list(range(len(made)))
    loads = [sum(burdens[place].text for place in hand) for hand in hands]
    assert imbalance(burdens, hands) <= imbalance(burdens, kept(homes, 5))
    heaviest = max(cost for cost, _ in made)
    assert max(loads) <= max(EVEN * sum(loads) / 5, sum(loads) / 5 + heaviest)


def test_one_rank_that_made_ten_gives_away_five():
    """First the four, which evens out best (6 and 4), then the one (5 and 5)."""
    assert deal(texts(4, 3, 2, 1), [0, 0, 0, 0], 2) == [[1, 2], [0, 3]]


def test_who_is_even_keeps_what_it_made():
    assert deal(texts(3, 2, 4, 1), [0, 0, 1, 1], 2) == [[0, 1], [2, 3]]
    assert deal(texts(5), [1], 2) == [[], [0]]
    assert deal([], [], 2) == [[], []]


def test_frames_that_a_rank_looks_at_anyway_are_free_there():
    """Four attempts with a text of 1, two at frame x and two at frame y, which take 10 each: whole groups."""
    x, y = Burden(text=1, frames={"x": 10}), Burden(text=1, frames={"y": 10})
    assert deal([x, x, y, y], [0, 0, 0, 0], 2) in ([[0, 1], [2, 3]], [[2, 3], [0, 1]])
    assert deal([x, x, y, y], [0, 0, 1, 1], 2) == [[0, 1], [2, 3]]


def test_a_burden_by_hand():
    """100 tokens, 10 of them written, 64 seen: 100 x 2, half of 100 x 100 pairs, 10 x 3, and 64 x 5 seen."""
    prices = Prices(token=2, pair=1, written=3, seen=5, seen_once=False)
    assert prices.burden(looking(100, [7.0])) == Burden(text=200 + 5000 + 30 + 320)
    once = replace(prices, seen_once=True)
    assert once.burden(looking(100, [7.0])).text == 5230
    assert list(once.burden(looking(100, [7.0])).frames.values()) == [320]
    mine, attempt, other = (once.burden(looking(100, [7.0], task)).frames.keys() for task in ("a", "a", "b"))
    assert mine == attempt and not mine & other  # the same second of another file is another frame


def test_what_a_tiny_policy_takes(policy):
    """A frozen tower is gone through once, one that learns three times as long."""
    frozen, tower = Prices.of(policy, seen_once=True), policy.family.tower(policy.backbone)
    weights = sum(weight.numel() for weight in tower.parameters())
    assert frozen.seen == 4 * weights
    one = next(tower.parameters()).requires_grad_(True)
    assert Prices.of(policy, seen_once=False).seen == 12 * weights
    one.requires_grad_(False)


@pytest.mark.parametrize(
    ("ranks", "each", "as_made", "dealt"), [(2, 32, 1.19, 1.01), (8, 64, 1.41, 1.01), (32, 16, 2.00, 1.02)]
)
def test_ranks_are_even_on_lengths_as_agents_have_them(ranks, each, as_made, dealt):
    """Groups of eight, 8,000 tokens on the median, four fifths of them frames of a clip of four minutes.

    A question is up to several times as long as another, an attempt half or twice as long as its siblings.
    """
    dice = np.random.default_rng(0)
    groups = ranks * each // 8
    lengths = dice.lognormal(np.log(8000), 0.6, (groups, 1)) * dice.lognormal(0, 0.35, (groups, 8))
    made = [
        QWEN_7B.burden(looking(int(length), dice.choice(240, int(length / 80), replace=False), str(group)))
        for group in range(groups)
        for length in lengths[group].clip(1500, 18_000)
    ]
    homes = [place * ranks // len(made) for place in range(len(made))]
    hands = deal(made, homes, ranks)
    assert imbalance(made, kept(homes, ranks)) == pytest.approx(as_made, abs=0.01)
    assert imbalance(made, hands) < dealt
    stayed = sum(homes[place] == rank for rank, hand in enumerate(hands) for place in hand)
    assert stayed / len(made) > 0.8
