"""Texts: how many words an answer shares with the gold one, as sentences (ROUGE) or word for word (WER).

Of long texts that differ the begin is compared: both measures take words times words.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from eva_lightning.records import Answer, Task
from eva_lightning.scoring.verdict import Verdict

LONGEST = 2000
"""Characters of an open answer that are compared word by word: 300 words, where one is a sentence."""


def text(task: Task, gold: Answer, said: str) -> Verdict:
    value = rouge(str(gold.value), said)
    return _told(value, f"mean ROUGE-1/2/L F {value:.2f} against {str(gold.value)[:60]!r}", said)


def transcript(task: Task, gold: Answer, said: str) -> Verdict:
    wrong = word_error_rate(str(gold.value), said)
    reason = f"word error rate {wrong:.2f} against {str(gold.value)[:60]!r}"
    return _told(max(0.0, 1.0 - wrong), reason, said)


def _told(value: float, reason: str, said: str) -> Verdict:
    if len(said) > LONGEST:
        reason += f"; of {len(said)} characters the first {LONGEST} were read"
    return Verdict(value=value, reason=reason)


def word_error_rate(gold: str, said: str) -> float:
    """Words to put in, leave out or change until the said ones are the gold ones, per gold word.

    Neither upper case nor punctuation counts. Of texts that differ the first `LONGEST` characters count.

    >>> word_error_rate("Exit 12 north", "exit 12, North!"), word_error_rate("one two", "one more two three")
    (0.0, 1.0)
    """
    if _plain(gold) == _plain(said):
        return 0.0
    wanted, found = _plain(gold[:LONGEST]).split(), _plain(said[:LONGEST]).split()
    costs = list(range(len(wanted) + 1))
    for row, word in enumerate(found, start=1):
        diagonal, costs[0] = costs[0], row
        for place, other in enumerate(wanted, start=1):
            above = costs[place]
            if word == other:
                costs[place] = diagonal
            else:
                costs[place] = 1 + min(diagonal, above, costs[place - 1])
            diagonal = above
    return costs[-1] / max(1, len(wanted))


def rouge(gold: str, said: str) -> float:
    """Mean of the ROUGE-1, ROUGE-2 and ROUGE-L F-measures, stemmed; 1 for equal texts of any length.

    Of texts that differ the first `LONGEST` characters are compared: ROUGE-L takes words times words.
    """
    if _plain(gold) == _plain(said):
        return 1.0  # a single word has no bigrams: ROUGE-2 alone would call it wrong
    scores = _rouge_scorer().score(_stemmable(gold), _stemmable(said))
    return float(sum(part.fmeasure for part in scores.values()) / len(scores))


def _stemmable(text: str) -> str:
    """The begin of a text, of words that a stemmer can take: it reads a run of one letter again and again."""
    return re.sub(r"([a-z0-9]{64})[a-z0-9]+", r"\1", text[:LONGEST].lower())


def _plain(text: str) -> str:
    """Lower-case words alone; a text without any word as it is, save for its full stop."""
    return " ".join(re.findall(r"\w+", text.lower())) or text.strip().rstrip(".").strip()


@cache
def _rouge_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # imports nltk, which costs a second

    return RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
