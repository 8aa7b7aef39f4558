"""Dealing: which rank learns from which trajectory, so that all of them are busy equally long.

A rank keeps what it made, whose frames it has at hand, and gives away as little as evens out. Every rank
reckons for itself on the same records, so nobody has to be told; what a step learns from is the same however
it was dealt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from eva_lightning.policy.families import backbone, family_of
from eva_lightning.policy.loading import Policy
from eva_lightning.records import Trajectory

EVEN = 1.01
"""Once the busiest rank has this many times the mean, nothing more is given away: reading frames where they
are not at hand takes time, too."""


@dataclass(frozen=True, kw_only=True)
class Burden:
    """What it takes to learn from one trajectory; in any unit."""

    text: float
    """What nobody else can do for it."""
    frames: Mapping[Hashable, float] = field(default_factory=dict)
    """What each frame takes that a rank looks at once for all its trajectories."""


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Multiply-adds of a policy that learns."""

    token: float
    """A token through the layers of the language model, there and back."""
    pair: float
    """A token that another one attends to."""
    written: float
    """The head, for a written token."""
    seen: float
    """A visual token through the vision tower."""
    seen_once: bool
    """Whether a rank looks at each frame once, as a frozen tower permits."""

    @classmethod
    def of(cls, policy: Policy, *, seen_once: bool) -> Prices:
        """Those of a policy; a pass back takes twice as much as one there."""
        family, model = family_of(policy.model), backbone(policy.model)
        decoder, tower, text = family.decoder(model), family.tower(model), model.config.get_text_config()
        learns = tower is not None and any(weight.requires_grad for weight in tower.parameters())
        patches = family.images.merge**2 if family.images else 0
        return cls(
            token=3.0 * _count(decoder.layers),
            pair=3.0 * 2 * text.num_hidden_layers * text.hidden_size,  # scores, and the mean they weigh
            written=3.0 * _count(family.head(model)),
            seen=(3.0 if learns else 1.0) * patches * _count(tower),
            seen_once=seen_once,
        )

    def burden(self, trajectory: Trajectory) -> Burden:
        """What it takes to learn from this one."""
        ledger = trajectory.ledger
        text = ledger.total * (self.token + self.pair * ledger.total / 2) + ledger.written * self.written
        if not self.seen_once:
            return Burden(text=text + trajectory.visual_tokens * self.seen)
        files = {clip.id: (clip.path or trajectory.task.id, clip.begin) for clip in trajectory.task.clips}
        return Burden(
            text=text,
            frames={
                (files[frame.clip], frame.time, frame.height, frame.width, frame.proxy): self.seen
                * frame.visual_tokens
                for frame in trajectory.frames
            },
        )


class _Hand:
    """What a rank has been dealt."""

    def __init__(self) -> None:
        self.places: set[int] = set()
        self.load = 0.0
        self._frames: Counter[Hashable] = Counter()

    def take(self, place: int, burden: Burden) -> None:
        self.load += self.more(burden)
        self.places.add(place)
        self._frames.update(burden.frames.keys())

    def give(self, place: int, burden: Burden) -> None:
        self.load -= self.less(burden)
        self.places.remove(place)
        self._frames.subtract(burden.frames.keys())

    def more(self, burden: Burden) -> float:
        """By how much it would be busier with this one: frames that it looks at anyway are free."""
        return burden.text + sum(cost for frame, cost in burden.frames.items() if not self._frames[frame])

    def less(self, burden: Burden) -> float:
        """By how much it would be less busy without this one of its own."""
        return burden.text + sum(cost for frame, cost in burden.frames.items() if self._frames[frame] == 1)


def deal(burdens: Sequence[Burden], homes: Sequence[int], ranks: int) -> list[list[int]]:
    """Places for each rank: every trajectory once, all ranks about equally busy. `homes` says who made it.

    The busiest rank gives the least busy one whatever evens out the two best, until nothing does.

    >>> deal([Burden(text=cost) for cost in (4, 3, 2, 1)], homes=[0, 0, 0, 1], ranks=2)
    [[1, 2], [0, 3]]
    """
    hands = [_Hand() for _ in range(ranks)]
    for place, home in enumerate(homes):
        hands[home].take(place, burdens[place])
    while True:
        busiest = max(hands, key=lambda hand: hand.load)
        idlest = min(hands, key=lambda hand: hand.load)
        if busiest.load <= EVEN * sum(hand.load for hand in hands) / ranks:
            break
        after = {
            place: max(busiest.load - busiest.less(burdens[place]), idlest.load + idlest.more(burdens[place]))
            for place in sorted(busiest.places)
        }
        place = min(after, key=after.__getitem__)
        if after[place] >= busiest.load:
            break
        busiest.give(place, burdens[place])
        idlest.take(place, burdens[place])
    return [sorted(hand.places) for hand in hands]


def _count(module: nn.Module | None) -> int:
    """Weights of a module, in shards or not."""
    weights = [] if module is None else list(module.parameters())
    return sum(int(getattr(weight, "ds_numel", weight.numel())) for weight in weights)
