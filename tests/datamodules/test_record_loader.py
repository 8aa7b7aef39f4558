"""Batches of records: whole passes, equal shares, fair mixtures, a position that survives."""

from collections import Counter

import pytest

from eva_lightning.datamodules.record_loader import Pool, RecordLoader
from eva_lightning.faults import UsageError
from tests.making import task, trajectory


def tasks(count, name="t"):
    return [task(id=f"{name}{i}") for i in range(count)]


def loader(records, batch_size, **settings):
    return RecordLoader([Pool(name="a.jsonl", records=records)], batch_size, **settings)


def ids(batch):
    return [record.id for record in batch]


def served(loader, epochs=1):
    return [ids(batch) for _ in range(epochs) for batch in loader]


def test_ten_records_in_batches_of_four_are_three_batches_and_nothing_is_left_out():
    one = loader(tasks(10), 4)
    assert len(one) == 3
    first, second, third = served(one)
    assert len(first) == len(second) == len(third) == 4
    assert set(first + second + third[:2]) == {f"t{i}" for i in range(10)}
    assert len(set(third)) == 4  # filled up from the next pass, but with no record twice in a batch


def test_a_pass_is_over_before_any_record_comes_again():
    flat = [
        one for batch in served(loader(tasks(10), 4), epochs=5) for one in batch
    ]  # 60 records, six passes
    assert len(flat) == 60
    for begin in range(0, 60, 10):
        assert len(set(flat[begin : begin + 10])) == 10


def test_passes_and_seeds_shuffle_differently_and_the_same_seed_alike():
    one = loader(tasks(8), 8)
    first, second = served(one, epochs=2)
    assert first != second and first != ids(tasks(8))
    assert served(loader(tasks(8), 8)) == [first]
    assert served(loader(tasks(8), 8, seed=1)) != [first]


def test_two_ranks_share_every_batch_of_one_rank():
    whole = served(loader(tasks(10), 4), epochs=2)
    left, right = (served(loader(tasks(10), 4, rank=rank, ranks=2), epochs=2) for rank in (0, 1))
    assert [a + b for a, b in zip(left, right, strict=True)] == whole
    assert {len(share) for share in left + right} == {2}


def test_nine_to_one_is_nine_to_one_in_every_batch_of_ten():
    pools = [
        Pool(name="open", records=tasks(50, "open"), weight=0.9),
        Pool(name="choice", records=tasks(20, "choice"), weight=0.1),
    ]
    batches = served(RecordLoader(pools, 10), epochs=2)
    assert len(batches) == 14
    assert [sum(one.startswith("choice") for one in batch) for batch in batches] == [1] * 14
    choices = [one for batch in batches for one in batch if one.startswith("choice")]
    assert len(set(choices)) == 14  # of 20: none again before all have been there


def test_three_sources_keep_their_shares_where_no_batch_divides_evenly():
    weights = {"a": 5.0, "b": 3.0, "c": 2.0}
    pools = [Pool(name=name, records=tasks(9, name), weight=weight) for name, weight in weights.items()]
    flat = [one for batch in served(RecordLoader(pools, 3), epochs=10) for one in batch][:90]
    assert Counter(one[0] for one in flat) == {"a": 45, "b": 27, "c": 18}


@pytest.mark.parametrize("stop", range(13))
def test_from_every_position_it_goes_on_with_the_very_next_record(stop):
    wanted = served(loader(tasks(10), 4), epochs=5)[stop : stop + 3]
    first = loader(tasks(10), 4)
    stream = (batch for _ in range(5) for batch in first)
    for _ in range(stop):
        next(stream)
    again = loader(tasks(10), 4)
    again.load_state_dict(first.state_dict())
    assert served(again) == wanted


def test_a_run_goes_on_with_the_next_record_on_another_number_of_ranks():
    wanted = served(loader(tasks(12), 4))
    one = loader(tasks(12), 4, rank=0, ranks=1)
    next(iter(one))
    two = [loader(tasks(12), 4, rank=rank, ranks=2) for rank in (0, 1)]
    for rank in two:
        rank.load_state_dict(one.state_dict())
    left, right = (ids(next(iter(rank))) for rank in two)
    assert left + right == wanted[1]


def test_a_batch_that_was_under_way_is_served_again():
    one = loader(tasks(10), 5, under_way=lambda: True)
    first = ids(next(iter(one)))
    again = loader(tasks(10), 5)
    again.load_state_dict(one.state_dict())
    assert ids(next(iter(again))) == first


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (loader(tasks(9), 4), "records was 10 and is now 9"),
        (loader([*tasks(9), task(id="new")], 4), "fingerprint was"),
        (loader([*tasks(9), task(id="t9", question="Which shape?")], 4), "fingerprint was"),
        (loader(tasks(10), 5), "batch_size was 4 and is now 5"),
        (loader(tasks(10), 4, seed=7), "seed was 0 and is now 7"),
    ],
)
def test_a_position_in_other_data_is_refused(changed, said):
    with pytest.raises(UsageError, match=said):
        changed.load_state_dict(loader(tasks(10), 4).state_dict())


def test_moving_the_videos_is_no_change_of_the_data():
    one = task(id="t0", clips=(task().clips[0].__class__(id="v", path="elsewhere/v.mp4"),))
    loader([one], 1).load_state_dict(loader(tasks(1), 1).state_dict())


def test_records_added_in_mid_pass_are_served_in_it_and_survive():
    one = loader(tasks(8), 2)
    epoch = iter(one)
    seen = ids(next(epoch))
    one.add(tasks(2, "new"))
    state = one.state_dict()
    rest = [x for batch in epoch for x in ids(batch)] + ids(next(iter(one)))
    assert set(seen + rest) == {*ids(tasks(8)), "new0", "new1"} and len(seen + rest) == 10
    again = loader(tasks(8), 2)
    again.load_state_dict(state)
    assert [x for batch in again for x in ids(batch)] == rest
    assert len(again) == 4


def test_a_batch_knows_the_one_after_it_and_looking_changes_nothing():
    wanted = served(loader(tasks(10), 4), epochs=3)
    one = loader(tasks(10), 4)
    batches = [batch for _ in range(3) for batch in looked_at(one)]
    assert [ids(batch) for batch, _ in batches] == wanted
    assert [ahead for _, ahead in batches[:-1]] == wanted[1:]  # beyond the end of an epoch as well
    assert one.state_dict() == loader_after(9).state_dict()


def looked_at(loader):
    """Batches, each with the next one as it tells: asked twice, and with a checkpoint in between."""
    for batch in loader:
        first, _, second = ids(batch.ahead(1)[0]), loader.state_dict(), ids(batch.ahead(1)[0])
        assert first == second
        yield batch, second


def loader_after(count):
    """A loader of ten that has served so many batches and was never looked at."""
    one = loader(tasks(10), 4)
    served(one, epochs=count // len(one))
    return one


def test_each_rank_looks_at_its_own_share():
    two = [loader(tasks(8), 4, rank=rank, ranks=2) for rank in (0, 1)]
    first = [next(iter(rank)) for rank in two]
    assert [ids(batch.ahead(1)[0]) for batch in first] == [ids(next(iter(rank))) for rank in two]


def test_what_is_added_is_seen_ahead_and_may_change_it():
    one = loader(tasks(8), 4)
    batch = next(iter(one))
    before = ids(batch.ahead(1)[0])
    one.add(tasks(8, "new"))
    assert ids(batch.ahead(1)[0]) != before
    assert ids(batch.ahead(1)[0]) == ids(next(iter(one)))


def test_every_share_meets_two_tasks():
    attempts = [trajectory(task=task(id=name), replica=i) for name in "abcd" for i in range(6)]
    for seed in range(20):
        for rank in (0, 1):
            one = RecordLoader(
                [Pool(name="f", records=attempts)],
                4,
                seed=seed,
                rank=rank,
                ranks=2,
                key=lambda record: record.task.id,
            )
            assert all(share[0].task.id != share[1].task.id for _ in range(3) for share in one)


def test_where_the_data_have_one_task_only_a_share_has_one_too():
    attempts = [trajectory(replica=i) for i in range(4)]
    one = RecordLoader([Pool(name="f", records=attempts)], 2, key=lambda record: record.task.id)
    assert [len(batch) for batch in one] == [2, 2]


@pytest.mark.parametrize(
    ("count", "batch_size", "ranks", "said"),
    [
        (3, 4, 1, "a.jsonl: has 3 records, and up to 4 of them go into a batch of 4; lower batch_size"),
        (9, 4, 3, "batch_size is 4: want a multiple of the number of ranks, 3"),
        (9, 0, 1, "batch_size is 0"),
    ],
)
def test_what_can_not_be_shared_out_is_refused(count, batch_size, ranks, said):
    with pytest.raises(UsageError, match=said):
        loader(tasks(count), batch_size, ranks=ranks)


def test_a_source_too_small_for_its_weight_is_refused():
    pools = [
        Pool(name="open.jsonl", records=tasks(50, "open"), weight=1),
        Pool(name="choice.jsonl", records=tasks(3, "choice"), weight=1),
    ]
    with pytest.raises(UsageError, match=r"choice.jsonl: has 3 records, and up to 5 of them"):
        RecordLoader(pools, 8)


def growing(batch_size=8, weight=1.0, records=40, told=None, **settings):
    """Forty tasks and, with the same weight, a pool that is empty yet."""
    told = told or [Pool(name="a.jsonl", records=tasks(records))]
    return RecordLoader(
        [*told, Pool(name="new", records=[], weight=weight, grows=True)], batch_size, **settings
    )


def new(batch):
    return sum(one.startswith("new") for one in batch)


def test_a_part_that_is_empty_yet_changes_nothing():
    assert served(growing(4, records=10), epochs=5) == served(loader(tasks(10), 4), epochs=5)
    pools = [Pool(name=name, records=tasks(9, name), weight=w) for name, w in {"a": 5, "b": 3}.items()]
    assert served(growing(3, told=pools), epochs=4) == served(RecordLoader(pools, 3), epochs=4)


@pytest.mark.parametrize(("weight", "each"), [(1.0, 4), (1 / 3, 2), (1 / 7, 1), (7.0, 7)])
def test_it_has_its_share_of_every_batch_once_it_has_records(weight, each):
    one = growing(weight=weight)
    batches = served(one, epochs=2)
    one.add(tasks(12, "new"), 1)
    batches += served(one, epochs=2)
    assert [new(batch) for batch in batches] == [0] * 10 + [each] * 10
    assert all(len(set(batch)) == 8 for batch in batches)


def test_shares_of_the_others_keep_their_proportion():
    pools = [
        Pool(name="open", records=tasks(50, "open"), weight=0.75),
        Pool(name="choice", records=tasks(20, "choice"), weight=0.25),
    ]
    one = growing(8, told=pools)
    one.add(tasks(9, "new"), 2)
    for batch in served(one):
        assert Counter(name.rstrip("0123456789") for name in batch) == {"new": 4, "open": 3, "choice": 1}


def test_it_is_owed_nothing_for_the_time_when_it_had_too_few():
    one = growing(8)
    epoch = iter(one)
    one.add(tasks(1, "new"), 1)
    assert [new(ids(next(epoch))) for _ in range(3)] == [1, 1, 1]  # of a share of four
    one.add(tasks(9, "newer"), 1)
    assert [new(ids(batch)) for batch in epoch] == [4, 4]
    seen = Counter(name for batch in served(one, epochs=2) for name in batch if name.startswith("new"))
    assert len(seen) == 10 and set(seen.values()) <= {3, 4, 5}  # forty places, pass after pass


def test_records_may_join_a_batch_later():
    one = growing(8)
    epoch = iter(one)
    batch = next(epoch)
    expected = ids(batch.ahead(1)[0])
    one.add(tasks(8, "new"), 1, later=1)
    assert ids(batch.ahead(1)[0]) == expected
    second = next(epoch)
    assert ids(second) == expected
    ahead = ids(second.ahead(1)[0])
    assert new(ahead) == 4 and ahead == ids(next(epoch))


@pytest.mark.parametrize("stop", range(8))
def test_what_grew_survives_at_every_position(stop):
    def stream(one, begin, end):
        """Batches from `begin` to `end`; some join before batch 2, more before batch 5."""
        batches = (batch for _ in range(9) for batch in one)
        found = []
        for number in range(begin, end):
            if number in (2, 5):
                one.add(tasks(number, f"new{number}-"), 1)
            found.append(ids(next(batches)))
        return found

    wanted = stream(growing(), 0, 12)
    first = growing()
    assert stream(first, 0, stop) == wanted[:stop]
    again = growing()
    again.load_state_dict(first.state_dict())
    assert stream(again, stop, 12) == wanted[stop:]


def test_without_its_part_or_with_another_weight_what_was_added_is_refused():
    one = growing()
    one.load_state_dict(loader(tasks(40), 8).state_dict())  # mining may begin later
    loader(tasks(40), 8).load_state_dict(one.state_dict())  # and end, if it brought nothing
    one.add(tasks(3, "new"), 1)
    for other, now in (
        (loader(tasks(40), 8), "nothing that grows"),
        (growing(weight=2.0), "'new' of weight 2"),
    ):
        with pytest.raises(UsageError, match=f"added to 'new' of weight 1, and now there is {now}"):
            other.load_state_dict(one.state_dict())
