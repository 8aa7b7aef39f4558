"""A shuffle says in which order the records of a source are served: pass after pass, without end.

Each pass is mixed anew by the seed.

Numbers only; what they stand for, batches and ranks are the loader's business.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Hashable, Sequence


class Shuffle:
    """Every number once a pass. No number comes again before all others have been there."""

    def __init__(self, numbers: Sequence[int], seed: str) -> None:
        """
        Args:
            numbers: What is put in order.
            seed: Dice; the same seed and the same calls give the same order.
        """
        self.numbers = list(numbers)
        self.seed = seed
        self.passes = 0
        self.ahead: list[int] = []  # what is left of this pass; the next one is at the end
        self.left: Counter[Hashable] = Counter()  # how many of each key are ahead

    def draw(
        self, taken: Collection[int], keys: Sequence[Hashable], unlike: Hashable | None = None
    ) -> int | None:
        """The next number that is not `taken`; None if all of them are.

        With `unlike` it is one of another key, if any is left in this pass: one of the commonest such key,
        or else that key alone would be left in the end.
        """
        if not self.ahead:
            self._begin_pass(keys)
        wanted = None
        if unlike is not None:
            others = [(count, str(key), key) for key, count in self.left.items() if key != unlike and count]
            wanted = max(others)[2] if others else None
        place = self._find(taken, keys, wanted)
        if place is None and wanted is not None:
            place = self._find(taken, keys, None)
        if place is None:
            return None
        number = self.ahead.pop(place)
        self.left[keys[number]] -= 1
        return number

    def add(self, numbers: Sequence[int], keys: Sequence[Hashable]) -> None:
        """Mix new numbers into what is left of this pass; from then on they belong to every pass."""
        self.numbers += numbers
        if self.ahead:
            self.ahead += numbers
            self._dice(f"add/{len(self.numbers)}").shuffle(self.ahead)
            self.left.update(keys[number] for number in numbers)

    def _find(self, taken: Collection[int], keys: Sequence[Hashable], wanted: Hashable | None) -> int | None:
        """Where the next number that will do lies in `ahead`."""
        for place in reversed(range(len(self.ahead))):
            number = self.ahead[place]
            if number not in taken and (wanted is None or keys[number] == wanted):
                return place
        return None

    def _begin_pass(self, keys: Sequence[Hashable]) -> None:
        self.ahead = list(self.numbers)
        self._dice(f"pass/{self.passes}").shuffle(self.ahead)
        self.left = Counter(keys[number] for number in self.ahead)
        self.passes += 1

    def _dice(self, purpose: str) -> random.Random:
        return random.Random(f"{self.seed}/{purpose}")
