"""Scoring: how good an answer is, for rewards and benchmarks alike, so that both always agree.

`score(task, said)` compares what the agent wrote with the gold answer and says why; `renderings(task)` lists
the ways in which the gold answer may be written, each of which scores 1. It uses records and timecode, no
torch and no model. To add a kind of answer, name it in records.py, write how it is compared beside the
others, and name that in scorer.py.
"""

from eva_lightning.scoring.renderings import canonical, renderings
from eva_lightning.scoring.scorer import score
from eva_lightning.scoring.texts import rouge
from eva_lightning.scoring.verdict import Verdict

__all__ = ["Verdict", "canonical", "renderings", "rouge", "score"]
