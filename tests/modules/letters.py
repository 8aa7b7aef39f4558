"""A reward that a policy with random weights can follow within seconds: how much of what it writes is one
letter.
"""

from eva_lightning.callbacks import RolloutRefresh
from eva_lightning.rewards.base import Reward
from tests.modules.stages import Watching, fit, make

LETTER = "e"
ITERATIONS = 16


class Letters(Reward):
    """The share of e among the letters and signs that were written."""

    name = "letters"

    def score(self, trajectory):
        text = "".join(turn.text for turn in trajectory.turns)
        return self.give(text.count(LETTER) / max(len(text), 1), "letters counted")


def school(world, folder, engine=None, iterations=ITERATIONS, callbacks=(), **settings):
    """GRPO after that letter: the mean reward of each iteration, and all that was watched."""
    told = Watching()
    chosen = {} if engine is None else {"engine": engine}
    module = make("grpo", folder, lr=4e-3, attempts=8, rewards=[Letters()], **chosen)
    fit(module, *[list(world.tasks)] * iterations, callbacks=[RolloutRefresh(), told, *callbacks], **settings)
    return told.told("reward"), told
