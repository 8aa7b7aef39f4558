"""Trajectories to imitate, for SFT.

Which ones are good enough is decided here; how they are learned is not.
"""

from __future__ import annotations

from collections import Counter

from lightning.pytorch.utilities import rank_zero_info

from eva_lightning.data.selection.outcome import outcome
from eva_lightning.datamodules.base import RecordData
from eva_lightning.datamodules.sources import Source, Sources, read_trajectories
from eva_lightning.faults import UsageError
from eva_lightning.records import Trajectory


class DemonstrationData(RecordData[Trajectory]):
    """Trajectories of a teacher that came to an answer."""

    def __init__(
        self,
        trajectories: Sources,
        batch_size: int = 8,
        eval_tasks: Sources | None = None,
        eval_limit: int | None = None,
        eval_batch_size: int = 256,
        only_correct: bool = True,
        max_tokens: int | None = None,
        max_turns: int | None = None,
        seed: int = 0,
    ) -> None:
        """
        Args:
            trajectories: JSONL files of trajectories; a folder stands for its oracle.jsonl.
            batch_size: Trajectories in an optimizer step, over all ranks.
            eval_tasks: JSONL files of the tasks of validation and test; a folder stands for its
                held_out.jsonl; None evaluates nothing.
            eval_limit: Take so many of them from the top; None takes all.
            eval_batch_size: Tasks that are under way at once in validation, over all ranks.
            only_correct: Leave out trajectories with a wrong answer; those without a gold answer stay.
            max_tokens: Leave out trajectories of more tokens, frames included; None takes any length. Text
                without token ids counts as one token for four characters.
            max_turns: Leave out trajectories of more turns; None takes any number.
            seed: Dice of the shuffle.
        """
        super().__init__(trajectories, batch_size, eval_tasks, eval_limit, eval_batch_size, seed)
        self.only_correct, self.max_tokens, self.max_turns = only_correct, max_tokens, max_turns

    def read(self, source: Source) -> list[Trajectory]:
        everyone = read_trajectories(source, "oracle.jsonl")
        kept: list[Trajectory] = []
        reasons: Counter[str] = Counter()
        for trajectory in everyone:
            unfit = self.unfit(trajectory)
            if unfit is None:
                kept.append(trajectory)
            else:
                reasons[unfit] += 1
        left_out = (
            ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) or "none left out"
        )
        said = f"{source.path}: {len(kept)} of {len(everyone)} demonstrations kept ({left_out})"
        if not kept:
            raise UsageError(f"{said}; loosen the filters or give better trajectories")
        rank_zero_info(said)
        return kept

    def unfit(self, trajectory: Trajectory) -> str | None:
        """Why a trajectory is no demonstration; None if it is one."""
        end = outcome(trajectory)
        if not end.answered:
            return "without an answer"
        if self.only_correct and end.verdict is not None and not end.correct:
            return "wrong"
        if self.max_turns is not None and trajectory.rounds > self.max_turns:
            return "with too many turns"
        if self.max_tokens is not None and _tokens(trajectory) > self.max_tokens:
            return "too long"
        return None


def _tokens(trajectory: Trajectory) -> int:
    if trajectory.prompt_ids:
        return trajectory.ledger.total
    return sum(len(message.text) for message in trajectory.messages) // 4 + trajectory.visual_tokens
