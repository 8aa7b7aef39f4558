"""GRPO: several attempts at each question, rewarded, compared with each other, learned from while fresh.

One batch of tasks is one iteration of three verbs: collect, credit, update. The rollouts are made here, by
the policy as it is now, and never travel through a loader: a prefetched one would be a version old. With
`overlap` (of the callback RolloutRefresh) they are, on purpose: those of the next iterations are made while
these are learned from, and a few slow ones hold up nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from eva_lightning.agent.rollout import Stopwatch
from eva_lightning.faults import Fault, UsageError
from eva_lightning.modules.ahead import Wanted
from eva_lightning.modules.base import PolicyModule
from eva_lightning.modules.contracts import Foreseeing
from eva_lightning.modules.reference import Reference
from eva_lightning.objectives.advantages import Advantage, GRPOAdvantage
from eva_lightning.objectives.credit import Credit, credit, groups_of
from eva_lightning.objectives.policy_gradient import PolicyGradientSettings, policy_gradient
from eva_lightning.objectives.tally import Tally
from eva_lightning.policy.inputs import MicroBatch
from eva_lightning.policy.loading import Policy
from eva_lightning.ranks import gathered
from eva_lightning.records import Task, Trajectory
from eva_lightning.reports.metrics import trajectory_metrics
from eva_lightning.rewards.accuracy import AccuracyReward
from eva_lightning.rewards.base import Reward, apply_rewards
from eva_lightning.rewards.format import FormatReward


class GRPOModule(PolicyModule):
    """Group relative policy optimisation with fresh rollouts."""

    def __init__(
        self,
        rewards: list[Reward] | None = None,
        advantage: Advantage | None = None,
        objective: PolicyGradientSettings | None = None,
        attempts: int = 8,
        mini_batches: int = 1,
        **settings: Any,
    ) -> None:
        """
        Args:
            rewards: What is good; None is a right answer, and 0.05 for a good call with a wrong one.
            advantage: How attempts are compared; None is GRPO's, in units of the group's deviation.
            objective: The policy gradient, its clips and its aggregation.
            attempts: Trajectories per question: the size of a group.
            mini_batches: Optimizer steps per iteration; with 1 every step is on-policy.
            settings: What every stage has; the loss is taken under the temperature of the agent.
        """
        super().__init__(**settings)
        if attempts < 2 or mini_batches < 1 or self.temperature <= 0:
            raise UsageError(
                f"attempts {attempts}, mini_batches {mini_batches}, agent.temperature {self.temperature}: "
                "want 2 or more attempts to compare, 1 or more mini-batches, and a temperature above 0"
            )
        self.rewards = rewards or [AccuracyReward(), FormatReward()]
        self.advantage = advantage or GRPOAdvantage()
        self.objective = objective or PolicyGradientSettings()
        self.attempts = attempts
        self.mini_batches = mini_batches

    def configure_model(self) -> None:
        super().configure_model()
        if self.objective.kl_weight and self.reference is None:
            self.reference = Reference(self.policy)
        for reward in self.rewards:
            reward.equip(self.engine, self.dialect, self.world)

    def steps_per_iteration(self) -> int:
        return self.mini_batches

    def training_step(self, tasks: Sequence[Task], batch_idx: int) -> None:
        self.phases = {}
        made = self.collect(tasks)
        with self.phase("credit"):
            # Of all ranks together: some advantages are in units of the whole step.
            shares = gathered([made])
            everyone, mine = [one for share in shares for one in share], shares[self.global_rank]
            self._refuse_if_nothing_came(everyone)
            self._refuse_stale(everyone)
            credited = credit(groups_of(everyone), self.advantage)
            measured = _metrics(everyone, credited) | _staleness(everyone, self.iteration)
        with self.phase("update"):
            metrics = self.update(shares)
        self.finish(mine, metrics | measured)

    def collect(self, tasks: Sequence[Task]) -> list[Trajectory]:
        """Rewarded attempts at these tasks: made now, or in the background since iterations ago.

        What is in the background when a run ends is made again by the run that goes on from there.
        """
        self.prepare_engine(newest=False)
        if self.batches_ahead:
            made, seconds = self._collect_ahead(tasks)
        else:
            made, seconds = asyncio.run(self._attempts_at(tasks, self.iteration + 1))
        for name, value in seconds.items():
            self.phases[name] = self.phases.get(name, 0.0) + value
        return made

    def _collect_ahead(self, tasks: Sequence[Task]) -> tuple[list[Trajectory], dict[str, float]]:
        """Those that were begun iterations ago, while the ones after them are on their way.

        With one batch ahead it is begun when this one is there, so that never two are under way.
        """
        wanted = [
            Wanted(
                key=(number, *(task.id for task in batch)),
                make=partial(self._attempts_at, batch, number),
            )
            for number, batch in enumerate([tasks, *self._foreseen(tasks)], self.iteration + 1)
        ]
        self.ahead.begin(wanted if self.batches_ahead > 1 else wanted[:1])
        with self.phase("collect"):
            batch = self.ahead.first()
            made, _ = batch.result()
        self.ahead.begin(wanted[1:])
        return made, {"ahead": batch.seconds}

    def _foreseen(self, tasks: Sequence[Task]) -> Sequence[Sequence[Task]]:
        """The batches that are begun before they are wanted."""
        if not isinstance(tasks, Foreseeing):
            raise UsageError(
                f"overlap is on, but a batch that is a {type(tasks).__name__} does not tell what comes after "
                "it: use TaskData, or let your loader serve eva_lightning.datamodules.record_loader.Batch"
            )
        return tasks.ahead(min(self.batches_ahead, self.iterations_left()))

    async def _attempts_at(
        self, tasks: Sequence[Task], iteration: int, slots: asyncio.Semaphore | None = None
    ) -> tuple[list[Trajectory], dict[str, float]]:
        """Rewarded attempts, and where the seconds went. Runs in any thread: it changes nothing of ours."""
        watch, began = Stopwatch(), perf_counter()
        with self.awake():  # until the rewards are given: some of them ask it, too
            made = await self.roll_out(
                tasks,
                attempts=self.attempts,
                temperature=self.temperature,
                seed=self.seed,
                step=iteration,
                watch=watch,
                slots=slots,
            )
            written = perf_counter()
            await apply_rewards(made, self.rewards)
        spent = {"collect": written - began, "credit": perf_counter() - written}
        return made, spent | {"looking": watch.looking}

    def _refuse_stale(self, everyone: Sequence[Trajectory]) -> None:
        """Weights that are older than the refresher permits wrote this: they did not arrive."""
        if self.refresher is None:
            return
        permitted = self.refresher.max_staleness
        versions = [one.weight_versions[0] for one in everyone if one.turns and one.stop != "fault"]
        oldest = min(versions, default=self.iteration)
        if self.iteration - oldest > permitted:
            raise Fault(
                f"iteration {self.iteration + 1} would learn from trajectories that weights of iteration "
                f"{oldest} wrote, {self.iteration - oldest} behind, and max_staleness is {permitted}: start "
                "the engine anew and go on with --ckpt_path last"
            )

    def _refuse_if_nothing_came(self, everyone: Sequence[Trajectory]) -> None:
        """An iteration without one sound trajectory is no zero.

        Something of ours is broken, so training stops.
        """
        if everyone and all(one.stop == "fault" for one in everyone):
            raise Fault(
                f"all {len(everyone)} trajectories of iteration {self.iteration + 1} ended by a fault; the "
                f"last: {everyone[-1].faults[-1]}. Mend it and go on with --ckpt_path last"
            )

    def update(self, shares: Sequence[Sequence[Trajectory]]) -> dict[str, float]:
        """Learn from the trajectories whose group disagreed; `shares` are what each rank has made.

        Mini-batches are cut from all of them together, and each is dealt out: so the steps are the same on
        any number of ranks.
        """
        kept = [(rank, one) for rank, made in enumerate(shares) for one in made if one.advantage is not None]
        if not kept:
            rank_zero_warn(
                f"iteration {self.iteration + 1}: in every group all rewards are equal, so there is nothing "
                "to learn and the weights stay; ask harder or easier questions, or raise the temperature"
            )
            return {"updates": 0.0}
        parts = [kept[part :: self.mini_batches] for part in range(min(self.mini_batches, len(kept)))]
        hands = [
            self.dealt([[one for home, one in part if home == rank] for rank in range(len(shares))])
            for part in parts
        ]
        old = self._old_logprobs([one for hand in hands for one in hand]) if self.mini_batches > 1 else {}
        measured: list[dict[str, float]] = []
        tally = Tally()
        for hand in hands:
            metrics, more = self._update_on(hand, old)
            measured.append(metrics)
            tally += more
        means = {name: sum(one[name] for one in measured) / len(measured) for name in measured[0]}
        return means | tally.means() | {"updates": float(len(measured))}

    def _update_on(
        self, trajectories: list[Trajectory], old: dict[int, Tensor]
    ) -> tuple[dict[str, float], Tally]:
        totals = self.totals(trajectories)

        def loss_of(micro: MicroBatch, places: list[int]) -> tuple[Tensor, Tally]:
            mine = [trajectories[place] for place in places]
            now = self.logprobs(micro, temperature=self.temperature, entropy=True)
            before = now.logprobs.detach()
            if old and mine:
                before = torch.cat([old[id(one)] for one in mine])
            return policy_gradient(
                now.logprobs,
                before,
                torch.tensor([one.advantage for one in mine], device=self.device),
                micro.sequence,
                sampler_logprobs=torch.tensor(
                    [logprob for one in mine for turn in one.turns for logprob in turn.logprobs],
                    device=self.device,
                ),
                reference_logprobs=self._reference_logprobs(micro),
                entropy=now.entropy,
                settings=self.objective,
                totals=totals,
            )

        return self.step(trajectories, loss_of)

    def _old_logprobs(self, trajectories: Sequence[Trajectory]) -> dict[int, Tensor]:
        """What the policy thinks before the first of several updates, by trajectory."""
        found: dict[int, Tensor] = {}
        with torch.no_grad():
            for micro, places, _ in self.passes(trajectories):
                logprobs = self.logprobs(micro, temperature=self.temperature).logprobs
                for number, place in enumerate(places):
                    found[id(trajectories[place])] = logprobs[micro.sequence == number]
        return found

    def _reference_logprobs(self, micro: MicroBatch) -> Tensor | None:
        if self.reference is None:
            return None
        frozen: Policy
        with self.reference.policy(self.device) as frozen:
            return self.logprobs(micro, temperature=self.temperature, policy=frozen).logprobs


def _metrics(everyone: list[Trajectory], credited: Credit) -> dict[str, float]:
    """What is logged of the rollouts of all ranks."""
    sound = [one for one in everyone if one.stop != "fault"]
    by_name: dict[str, list[float]] = {}
    for one in sound:
        for name, score in one.scores.items():
            by_name.setdefault(name, []).append(score.value)
    return {
        **trajectory_metrics(everyone),
        **{f"reward/{name}": sum(values) / len(values) for name, values in by_name.items()},
        "reward": sum(one.reward for one in sound) / max(len(sound), 1),
        "zero_variance_share": credited.zero_variance_share,
        "groups": float(credited.groups),
        "groups_too_small": float(credited.too_small),
    }


def _staleness(everyone: list[Trajectory], iteration: int) -> dict[str, float]:
    """How many iterations old the oldest turn of a trajectory is, and how many have turns of several ages."""
    versions = [one.weight_versions for one in everyone if one.turns and one.stop != "fault"]
    ages = [iteration - each[0] for each in versions]
    return {
        "staleness/mean": sum(ages) / max(len(ages), 1),
        "staleness/max": float(max(ages, default=0)),
        "staleness/spanning": sum(len(each) > 1 for each in versions) / max(len(versions), 1),
    }
