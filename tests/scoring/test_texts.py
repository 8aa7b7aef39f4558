"""Words against words: the error rate of a transcript, by a slow definition."""

import random
from functools import cache

import pytest

from eva_lightning.scoring import score
from eva_lightning.scoring.texts import word_error_rate
from tests.making import task


@pytest.mark.parametrize(
    ("gold", "said", "rate"),
    [
        ("stop here now", "STOP here, now.", 0.0),
        ("stop here now", "stop now", 1 / 3),
        ("stop here now", "stop right here now", 1 / 3),
        ("stop here now", "stop there now", 1 / 3),
        ("stop", "go on and on", 4.0),
        ("?", "!", 1.0),
    ],
)
def test_words_put_in_left_out_or_changed_are_counted(gold, said, rate):
    assert word_error_rate(gold, said) == pytest.approx(rate)


def test_a_transcript_scores_one_less_its_errors_and_never_less_than_nothing():
    one = task("transcript", "stop here now")
    assert score(one, "stop now").value == pytest.approx(2 / 3)
    assert score(one, "go on and on and on").value == 0.0
    assert score(one, "stop now").reason == "word error rate 0.33 against 'stop here now'"


def edits(gold, said):
    @cache
    def rest(i, j):
        if i == len(gold) or j == len(said):
            return len(gold) - i + len(said) - j
        if gold[i] == said[j]:
            return rest(i + 1, j + 1)
        return 1 + min(rest(i + 1, j), rest(i, j + 1), rest(i + 1, j + 1))

    return rest(0, 0)


def test_a_thousand_random_texts_agree_with_the_definition():
    dice = random.Random(0)
    for _ in range(1000):
        gold, said = (tuple(dice.choices("abcd", k=dice.randint(least, 9))) for least in (1, 0))
        assert word_error_rate(" ".join(gold), " ".join(said)) == edits(gold, said) / len(gold)
