"""Records in batches: one Lightning batch is a plain list of records and one iteration of training.

No torch DataLoader: records are small, tensors are made inside the module, and a loader that knows its
length is never read ahead of the policy. What it serves follows from the data, the seed and the number of
batches served, so a resumed run goes on with the very next record, on any number of ranks.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from eva_lightning.datamodules.shuffle import Shuffle
from eva_lightning.faults import UsageError
from eva_lightning.files.encoding import encode
from eva_lightning.files.row_version import from_row, to_row
from eva_lightning.records import Task, Trajectory

Record = TypeVar("Record", Task, Trajectory)


@dataclass(frozen=True, kw_only=True)
class Pool(Generic[Record]):
    """Records that are shuffled together, and how much of the whole they make up."""

    name: str
    """Where they come from, for messages."""
    records: Sequence[Record]
    """The records."""
    weight: float = 1.0
    """Share of the records served, relative to the weights of the other pools."""
    grows: bool = False
    """Its records are added on the way: it may begin empty, and counts for nothing until it has some."""


class Batch(Generic[Record]):
    """Records that are worked on together, and a look at those of the batches after them.

    No list: half-precision strategies look into lists for tensors and refuse the frozen records they find.
    """

    def __init__(
        self, records: Sequence[Record], ahead: Callable[[int], list[list[Record]]] | None = None
    ) -> None:
        self.records: Sequence[Record] = records
        self._ahead: Callable[[int], list[list[Record]]] | None = ahead

    def ahead(self, count: int) -> list[list[Record]]:
        """The next batches, so many, as things stand: what is added until then may change them.

        Nothing is drawn. In an evaluation there are none.
        """
        return self._ahead(count) if self._ahead else []

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __getitem__(self, place: int) -> Record:
        return self.records[place]


class RecordLoader(Generic[Record]):
    """Shuffled batches of records, this rank's share of each.

    Each pool is served pass after pass: no record comes again before all others of its pool have been
    there, and none comes twice in a batch. The tail of a pass that does not fill a batch is filled up from
    the next pass. An epoch is as many batches as it takes to serve as many records as there are.

    A pool that grows has its share from the batch after its first records on. Shares are counted anew each
    time it grows: it is owed nothing for the time when it had too few.
    """

    def __init__(
        self,
        pools: Sequence[Pool[Record]],
        batch_size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
        key: Callable[[Record], Hashable] | None = None,
        under_way: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            pools: What to serve; several pools are mixed by their weights, as evenly as whole records allow.
            batch_size: Records in a batch, over all ranks.
            seed: Dice of the shuffle.
            rank: Which rank this is.
            ranks: How many there are; each gets an equal share of every batch.
            key: Keeps every share from consisting of one key only, where the data allow; None does not care.
            under_way: Says whether the batch served last is still being worked on: a checkpoint that is made
                meanwhile serves it again.
        """
        _check(pools, batch_size, ranks)
        self.pools: list[Pool[Record]] = list(pools)
        self.batch_size, self.seed = batch_size, seed
        self.rank, self.ranks = rank, ranks
        self.key: Callable[[Record], Hashable] | None = key
        self.under_way = under_way
        self.added: list[tuple[int, int, list[Record]]] = []  # (before which batch, to which pool, what)
        self._length = -(-sum(len(pool.records) for pool in pools) // batch_size)
        self._restart()

    def __len__(self) -> int:
        """Batches in an epoch; the same on every rank and whatever is added later."""
        return self._length

    def __iter__(self) -> Iterator[Batch[Record]]:
        """An epoch's worth of batches, going on where the last one ended."""
        for _ in range(len(self)):
            yield Batch(self._share(self._draw()), self.peek)

    def peek(self, count: int) -> list[list[Record]]:
        """This rank's shares of the batches that would come next; of the next epoch, once this is over."""
        twin = copy.copy(self)  # it draws, and nothing moves here
        twin._records, twin._keys = list(self._records), list(self._keys)
        twin._shuffles, twin._served = copy.deepcopy(self._shuffles), list(self._served)
        return [twin._share(twin._draw()) for _ in range(count)]

    def add(self, records: Sequence[Record], pool: int = 0, later: int = 0) -> None:
        """Mix new records into what is left of a pool's pass, `later` batches after the next one.

        Every rank must add the same at the same time.
        """
        self.added.append((self.batches + later, pool, list(records)))

    def everything(self) -> list[Record]:
        """All records there are, those added included."""
        told = [record for pool in self.pools for record in pool.records]
        return told + [record for _, _, records in self.added for record in records]

    def state_dict(self) -> dict[str, Any]:
        """Where the run is: plain values, the same on every rank."""
        return {
            **self._identity(),
            "batches": self.batches - int(self.under_way()),
            "added": [[at, pool, [to_row(one) for one in records]] for at, pool, records in self.added],
            "grown": self._grown(pool for _, pool, _ in self.added),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken; UsageError if the data are not those it was taken from."""
        for name, ours in self._identity().items():
            if state[name] != ours:
                raise UsageError(
                    f"the checkpoint was made with other data: {name} was {state[name]} and is now {ours}. "
                    "Resume with the same data, or start a new run from the weights alone"
                )
        grown, ours = state.get("grown", []), self._grown(range(len(self.pools)))
        if not set(map(tuple, grown)) <= set(map(tuple, ours)):
            raise UsageError(
                f"the checkpoint holds records that were added to {_told(grown)}, and now there is "
                f"{_told(ours)}: go on with the callback that added them, and with its weight"
            )
        kind = type(self.pools[0].records[0])
        self.added = [(at, pool, [from_row(kind, row) for row in rows]) for at, pool, rows in state["added"]]
        self._restart()
        while self.batches < state["batches"]:
            self._draw()

    def _restart(self) -> None:
        self.batches = 0
        self._records: list[Record] = []
        self._keys: list[Hashable] = []
        self._shuffles: list[Shuffle] = []
        self._served = [0] * len(self.pools)
        for number, pool in enumerate(self.pools):
            self._shuffles.append(Shuffle(self._take_in(pool.records), f"records/{self.seed}/{number}"))

    def _take_in(self, records: Sequence[Record]) -> range:
        """The numbers under which these records go from now on."""
        begin = len(self._records)
        self._records += records
        self._keys += [self.key(record) if self.key else None for record in records]
        return range(begin, len(self._records))

    def _draw(self) -> list[int]:
        """The numbers of the next batch, over all ranks."""
        for at, pool, records in self.added:
            if at == self.batches:
                self._shuffles[pool].add(self._take_in(records), self._keys)
                if self.pools[pool].grows:
                    self._served = [0] * len(self.pools)
        size = self.batch_size // self.ranks
        batch: list[int] = []
        taken: set[int] = set()
        for slot in range(self.batch_size):
            unlike = None
            if self.key is not None and slot % size == size - 1:  # the last chance of this rank's share
                share = {self._keys[number] for number in batch[slot - slot % size :]}
                unlike = share.pop() if len(share) == 1 else None
            batch.append(self._next(taken, unlike))
            taken.add(batch[-1])
        self.batches += 1
        return batch

    def _next(self, taken: Collection[int], unlike: Hashable | None) -> int:
        """From the pool furthest behind its share, of those that have something left for this batch."""
        weights = [
            pool.weight if shuffle.numbers else 0.0
            for pool, shuffle in zip(self.pools, self._shuffles, strict=True)
        ]
        after, total = sum(self._served) + 1, sum(weights)
        behind = [
            after * weight / total - served for weight, served in zip(weights, self._served, strict=True)
        ]
        for place in sorted(range(len(behind)), key=lambda place: -behind[place]):
            number = self._shuffles[place].draw(taken, self._keys, unlike) if weights[place] else None
            if number is not None:
                self._served[place] += 1
                return number
        raise AssertionError("the pools are together at least as large as a batch: see _check")

    def _share(self, batch: list[int]) -> list[Record]:
        size = self.batch_size // self.ranks
        return [self._records[number] for number in batch[self.rank * size : (self.rank + 1) * size]]

    def _grown(self, places: Iterable[int]) -> list[list[Any]]:
        """Those of these pools that grow: place, name and weight."""
        growing = ((place, self.pools[place]) for place in sorted(set(places)))
        return [[place, pool.name, pool.weight] for place, pool in growing if pool.grows]

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a position to mean the same. What grows was empty in the beginning."""
        told = [pool for pool in self.pools if not pool.grows]
        return {
            "records": sum(len(pool.records) for pool in told),
            "fingerprint": _fingerprint(told),
            "batch_size": self.batch_size,
            "seed": self.seed,
        }


def _check(pools: Sequence[Pool[Any]], batch_size: int, ranks: int) -> None:
    if batch_size < 1 or batch_size % ranks:
        raise UsageError(f"batch_size is {batch_size}: want a multiple of the number of ranks, {ranks}")
    told = [pool for pool in pools if not pool.grows]  # they must do alone until something is added
    total = sum(pool.weight for pool in told)
    for pool in pools:
        if pool.weight <= 0:
            raise UsageError(
                f"{pool.name}: weight is {pool.weight:g}; want more than 0, or leave the file out"
            )
        need = batch_size if len(told) == 1 else min(batch_size, int(batch_size * pool.weight / total) + 1)
        if len(pool.records) < need and not pool.grows:
            raise UsageError(
                f"{pool.name}: has {len(pool.records)} records, and up to {need} of them go into a batch of "
                f"{batch_size}; lower batch_size" + (" or its weight" if len(told) > 1 else "")
            )


def _told(grown: Sequence[Sequence[Any]]) -> str:
    named = [f"{name!r} of weight {weight:.6g}" for _, name, weight in grown]
    return " and ".join(named) or "nothing that grows"


def _fingerprint(pools: Sequence[Pool[Any]]) -> str:
    """Names the data by what they ask and say; moving the files does not change it."""
    digest = hashlib.blake2b(digest_size=8)
    for pool in pools:
        digest.update(f"part {pool.weight!r} {len(pool.records)}\n".encode())
        for record in pool.records:
            digest.update(json.dumps(_essence(record)).encode())
    return digest.hexdigest()


def _essence(record: Task | Trajectory) -> list[Any]:
    if isinstance(record, Trajectory):
        marks = [record.replica, record.seed, record.answer, record.desirable]
        return [*_essence(record.task), *marks, *(turn.text for turn in record.turns)]
    return [record.id, record.question, *record.options, encode(record.answer)]
