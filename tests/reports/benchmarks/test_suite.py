"""A suite is told by the plain mean of its benchmarks, beside what others reported."""

import pytest

from eva_lightning.faults import UsageError
from eva_lightning.reports.benchmarks.suite import PublishedSuite, Suite, suite_means, suite_report

THEIRS = {"they": PublishedSuite(overall=50.4, parts={"C": 54.7, "text": 59.8}, source="a paper")}
SUITE = Suite(name="all", groups={"C": ["a", "b"], "T": ["c"]}, published=THEIRS)


def test_every_benchmark_counts_the_same_whatever_its_number_of_questions():
    values = {"a": 1.0, "b": 0.5, "c": 0.0, "text": 0.5}
    assert suite_means(SUITE, values) == {"C": 0.75, "T": 0.0, "overall": 0.5}
    told = suite_report(SUITE, values, {"a": 1000, "b": 1, "c": 1, "text": 1}).splitlines()
    row = {line.split()[0]: line.split()[1:] for line in told if line}
    assert row["overall"] == ["1003", "50.00%", "50.40%"] and row["C"] == ["1001", "75.00%", "54.70%"]
    assert row["text"] == ["1", "50.00%", "59.80%"] and row["a"] == ["1000", "100.00%", "-"]
    assert "they: a paper" in told


def test_a_mean_over_fewer_says_so():
    told = suite_report(SUITE, {"a": 1.0, "b": 0.5, "c": None}, {"a": 1, "b": 1, "c": 0})
    assert "overall (over 2 of 3)" in told and "75.00%" in told


def test_a_group_of_strangers_is_refused():
    with pytest.raises(UsageError, match="group C names 'b'"):
        SUITE.check(["a", "c"])
