"""Measures of times, beside what VUE-TR's and NExT-GQA's scripts compute, on a thousand random answers."""

import numpy as np
import pytest

from eva_lightning.reports.grounding import THRESHOLDS, area, means, timed
from eva_lightning.scoring import score
from eva_lightning.scoring.intervals import Overlap
from eva_lightning.scoring.verdict import Verdict
from tests.making import task


def random_answers(count=1000):
    """Overlaps of all sizes; in a tenth of them nothing is said, in another all of it is right."""
    dice = np.random.default_rng(1)
    for i in range(count):
        gold = sorted(float(x) for x in dice.choice(100, 2, replace=False))
        said = "nothing" if i % 10 == 0 else f"{gold[0]} to {gold[1]}"
        if i % 10 > 1:
            said = "{} to {}".format(*sorted(dice.choice(100, 2, replace=False)))
        yield score(task("interval", tuple(gold)), said)


def test_a_thousand_answers_have_the_means_and_areas_of_numpy():
    assert np.array_equal(THRESHOLDS, np.linspace(0, 1, 101))
    verdicts = list(random_answers())
    found = means(map(timed, verdicts))
    iou, precision, recall = (
        np.array([getattr(one.overlap, name) for one in verdicts]) for name in ("iou", "precision", "recall")
    )
    said = np.array([one.overlap.said for one in verdicts])
    assert 0 < said.sum() < 1000 and (iou == 1).sum() > 90
    assert found["overlap"] == pytest.approx(iou.mean())
    for least in (0.3, 0.5, 0.7):
        assert found[f"overlap>={least}"] == pytest.approx((iou >= least).mean())
    curves = {
        "overlap_auc": [(iou > t).mean() for t in THRESHOLDS],
        "precision_auc": [(precision[said] >= t).mean() for t in THRESHOLDS],
        "recall_auc": [(recall >= t).mean() for t in THRESHOLDS],
    }
    for name, curve in curves.items():
        assert found[name] == pytest.approx(np.trapezoid(curve, THRESHOLDS)), name


def test_an_area_grows_by_hundredths():
    assert [area(value) for value in (0.0, 0.004, 0.01, 0.5, 1.0)] == [0.005, 0.005, 0.015, 0.505, 1.0]
    assert [area(value, strictly=True) for value in (0.0, 0.01, 0.5, 1.0)] == [0.0, 0.005, 0.495, 0.995]


def test_a_grounded_answer_is_right_where_half_of_what_was_said_is_gold():
    one = task(value="B", grounds=((10.0, 20.0), (40.0, 50.0)))
    said = ["From 12 to 14, B", "From 5 to 15, B", "From 4 to 15, B", "From 12 to 14, A", "B"]
    found = [timed(score(one, text))["accuracy_grounded"] for text in said]
    assert found == [1.0, 1.0, 0.0, 0.0, 0.0]  # 5 of 10 seconds are enough, 5 of 11 are not
    assert means([timed(score(one, text)) for text in said])["accuracy_grounded"] == pytest.approx(2 / 5)


def test_who_is_not_asked_for_times_has_no_such_measure():
    assert timed(Verdict(value=1.0, reason="")) == {}
    assert "accuracy_grounded" not in timed(score(task("interval", (1.0, 2.0)), "1 to 2"))
    silent = Overlap(iou=0.0, precision=0.0, recall=0.0, said=False)
    assert "precision_auc" not in timed(Verdict(value=0.0, reason="", overlap=silent))
