"""The judge of `eva label`: from the command's words to an engine with a rubric, and what judging took.

How its verdicts become marks is in `selection/second_opinion.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from eva_lightning.agent.worlds.base import World
from eva_lightning.commands.engine_choice import served
from eva_lightning.data.selection.feedback import FeedbackRules, Marked
from eva_lightning.data.selection.second_opinion import judged
from eva_lightning.data.selection.sufficiency import SUFFICIENCY
from eva_lightning.engines.base import Engine
from eva_lightning.faults import Fault, UsageError
from eva_lightning.records import Trajectory
from eva_lightning.rewards.judging.judge import Judge


def choose_judge(
    server: str | None, name: str | None, model: str | None, cache: str | None, concurrency: int
) -> Engine | None:
    """A served judge, one that runs here, or none; UsageError if the words do not go together."""
    if server is not None and model is not None:
        raise UsageError("two judges: say --judge_server URL or --judge_model FOLDER|HUB_ID, one of them")
    if name is not None and server is None:
        raise UsageError("--judge_name names a model on a server: say --judge_server URL as well")
    if cache is not None and server is None and model is None:
        raise UsageError("--judge_cache keeps the verdicts of a judge: say --judge_server or --judge_model")
    if server is not None:
        return served(server, name, concurrency=concurrency)
    if model is not None:
        from eva_lightning.engines.checkpoint_engine import CheckpointEngine

        return CheckpointEngine(model)
    return None


def mark_with(
    engine: Engine,
    trajectories: Sequence[Trajectory],
    rules: FeedbackRules,
    cache: Path,
    concurrency: int,
    world: World,
) -> list[Marked]:
    """Marks of the rules and of a judge that sees through `world`, which is closed.

    Whatever ends it, verdicts are kept in `cache`.
    """
    with closing(world):
        judge = Judge(
            engine, SUFFICIENCY, world=world, cache=str(cache), concurrency=concurrency, patient=False
        )
        with closing(judge):
            try:
                marks = judged(judge, trajectories, rules)
            except Fault as fault:
                kept = f"{len(judge.rulings)} verdicts are kept in {cache}: call it again to go on"
                raise Fault(f"{fault}; {kept}") from None
    print(_bill(judge, cache))
    return marks


def _bill(judge: Judge, cache: Path) -> str:
    """What judging took."""
    costs = judge.costs
    said = f"judge, prompt {judge.rubric.title}: {costs.asked} asked, {costs.recalled} from {cache}"
    if costs.reminded:
        said += f", {costs.reminded} asked twice"
    return said + (f", {costs.silent} without a verdict and left out" if costs.silent else "")
