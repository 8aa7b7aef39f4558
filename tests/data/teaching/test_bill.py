"""What a collection cost, over several runs, one of which was killed."""

import json

import pytest

from eva_lightning.data.teaching.bill import Bill, Prices, RunningBill, bill_rows, read_bill
from eva_lightning.engines.meter import Meter, Usage

FIRST = Usage(requests=3, prompt_tokens=2_000_000, written_tokens=500_000, images=4, seconds=1.5)


def test_a_second_run_adds_to_the_first_and_nothing_need_be_closed(tmp_path):
    path = tmp_path / "a.cost.json"
    meter = Meter()
    book = RunningBill(path, meter)
    assert not path.exists()  # nothing was asked for yet
    meter.add(FIRST)
    book.fault("clips/a.mp4: is not a video; give another file")
    book.objection("dense")
    meter = Meter()
    again = RunningBill(path, meter)
    meter.add(Usage(requests=1, retries=2, failures={"HTTP 503": 2}))
    again.objection("dense")
    assert read_bill(path) == Bill(
        usage=FIRST + Usage(requests=1, retries=2, failures={"HTTP 503": 2}),
        faults={"is not a video": 1},
        objections={"dense": 2},
    )
    assert json.loads(path.read_text())["usage"]["requests"] == 4


def told(**more):
    bill = Bill(usage=FIRST, faults={"HTTP 400": 1}, objections={"again": 1, "dense": 5})
    return dict(bill_rows(bill, Prices(**more), kept=4))


def test_money_is_two_million_times_one_and_half_a_million_times_four():
    rows = told(read=1.0, written=4.0)
    assert (rows["money"], rows["money per trajectory kept"]) == ("4.00", "1.0000")
    assert "money" not in told()
    with pytest.raises(ValueError, match="money is told where both prices are known"):
        told(read=1.0)


def test_every_figure_has_a_line_and_causes_come_by_their_number():
    rows = told()
    assert (rows["requests"], rows["prompt tokens"], rows["frames sent"]) == ("3", "2,000,000", "4")
    assert list(rows)[-3:] == ["fault: HTTP 400", "objection: dense", "objection: again"]
