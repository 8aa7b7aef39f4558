"""The three stages over one tiny policy, and trajectories of the embedded world to feed them.

Everything is real: mp4 clips, the teacher's calls through the agent loop, modules, Trainer.
"""

import asyncio
import warnings
from dataclasses import replace

import lightning
import torch
from lightning.pytorch import Callback, Trainer
from torch.utils.data import DataLoader

from eva_lightning.agent.config import AgentConfig
from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.rollout import Agent, Limits, jobs_for, rollout
from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.data.synthesis.teachers import Oracle
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.modules import GRPOModule, KTOModule, SFTModule
from eva_lightning.modules.optimizing import OptimizerConfig
from eva_lightning.objectives.kto import KTOSettings
from eva_lightning.objectives.policy_gradient import PolicyGradientSettings
from eva_lightning.policy.loading import Lora, PolicyConfig
from eva_lightning.policy.packing import PackingConfig
from eva_lightning.policy.renderer import Renderer
from eva_lightning.ranks import gathered
from eva_lightning.records import Score, Turn
from eva_lightning.rewards.base import Reward


class Fed(GRPOModule):
    """GRPO's update alone, on trajectories that have their advantage."""

    def training_step(self, batch, batch_idx):
        self.phases = {}
        self.finish(batch, self.update(gathered([batch])))


class Coin(Reward):
    """Every second attempt is worth 1, at the questions about one clip or about all of them."""

    name = "coin"

    def __init__(self, clip: str = "", weight: float = 1.0) -> None:
        super().__init__(weight)
        self.clip = clip

    def score(self, trajectory):
        told = trajectory.task.clips[0].id.startswith(self.clip)
        return self.give(float(told and trajectory.replica % 2), "a coin")


STAGES = {"sft": SFTModule, "kto": KTOModule, "fed": Fed, "grpo": GRPOModule}
ONE_EACH = PackingConfig(micro_batch_tokens=1, deal=False)
"""Every trajectory alone in its forward pass, on the rank that has it."""
DEALT = PackingConfig(micro_batch_tokens=1)
"""Every trajectory alone in its forward pass, on the rank that has least to do."""
ALL_IN_ONE = PackingConfig(micro_batch_tokens=100_000)
"""All of them in one, one behind the other."""
PER_TOKEN = KTOSettings(length_normalize="token", desirable_weight=1.0)
"""A tiny policy moves far; per token its log-ratios stay where the sigmoid is steep."""
WITH_KL = PolicyGradientSettings(kl_weight=0.5)
NO_CLIP = {"max_grad_norm": 0.0}


def teach(world, folder, count=4, text_only=False):
    """What the oracle does at the first tasks, with token ids and what a uniform sampler would have said;
    or an answer without a look."""
    renderer = Renderer.from_pretrained(folder)
    dialect = EvaDialect(timestamps="seconds")
    oracle = Oracle(world.scripts, world.tasks, dialect)
    author = (lambda context: dialect.reply("blue")) if text_only else oracle
    engine = ScriptedEngine(author, renderer)
    agent = Agent(engine=engine, dialect=dialect, tools=[FrameSelect()], world=VideoWorld())
    made = asyncio.run(rollout(jobs_for(world.tasks[:count]), agent))
    return [replace(one, turns=[_sampled(turn) for turn in one.turns]) for one in made]


def _sampled(turn: Turn) -> Turn:
    return replace(turn, logprobs=[-6.5] * len(turn.token_ids))


def marked(trajectories):
    """Good, bad, good, bad: for KTO."""
    return [replace(one, desirable=i % 2 == 0) for i, one in enumerate(trajectories)]


def weighed(trajectories):
    """Advantages 1, -1, 1, -1: for GRPO."""
    return [
        replace(one, advantage=1.0 - 2.0 * (i % 2), scores={"accuracy": Score(value=1.0 - i % 2)})
        for i, one in enumerate(trajectories)
    ]


def make(stage, folder, *, lora=None, freeze_vision=False, lr=1e-3, packing=None, optimizer=None, **more):
    """A stage over the tiny policy of `folder`."""
    dtype = more.pop("dtype", "float32")
    if stage == "kto":
        more.setdefault("objective", KTOSettings(desirable_weight=1.0))
    adapter = Lora(rank=4, alpha=8) if lora is True else lora
    torch.manual_seed(0)  # of the adapter
    return STAGES[stage](
        policy=PolicyConfig(path=str(folder), dtype=dtype, lora=adapter, freeze_vision=freeze_vision),
        optimizer=OptimizerConfig(**({"lr": lr, "decay": "constant"} | (optimizer or {}))),
        packing=packing or ALL_IN_ONE,
        agent=AgentConfig(
            dialect=EvaDialect(timestamps="seconds"),
            limits=Limits(turns=2, turn_tokens=12, total_tokens=1536),
            temperature=more.pop("temperature", 1.0),
        ),
        **more,
    )


class Batches(lightning.LightningDataModule):
    """These lists of records as batches of training, each rank its share; questions to evaluate.

    A batch that is a tuple holds the share of each rank.
    """

    def __init__(self, *batches, questions=()):
        super().__init__()
        self.batches, self.questions = batches, list(questions)

    def train_dataloader(self):
        rank, ranks = self.trainer.global_rank, self.trainer.world_size
        return as_they_are([shared(batch, rank, ranks) for batch in self.batches])

    def val_dataloader(self):
        return as_they_are([self.questions]) if self.questions else []

    def test_dataloader(self):
        return as_they_are([self.questions])


def as_they_are(batches):
    return DataLoader(batches, batch_size=1, collate_fn=lambda one: one[0])


def shared(batch, rank, ranks):
    """A rank's share of a batch: consecutive, as the datamodules cut it."""
    if isinstance(batch, tuple):
        return list(batch[rank]) if ranks > 1 else [one for share in batch for one in share]
    size = len(batch) // ranks
    return batch[rank * size : (rank + 1) * size]


class Watching(Callback):
    """Keeps the gradients of every optimizer step and the metrics of every iteration; may set the weights
    before the first."""

    def __init__(self, begin_with=None):
        self.begin_with, self.gradients, self.metrics = begin_with, [], []

    def on_train_start(self, trainer, module):
        if self.begin_with is not None:
            module.model.load_state_dict(self.begin_with)

    def on_before_optimizer_step(self, trainer, module, optimizer):
        named = module.model.named_parameters()
        self.gradients.append({name: one.grad.clone() for name, one in named if one.grad is not None})

    def on_train_batch_end(self, trainer, module, *_):
        self.metrics.append({name: float(value) for name, value in trainer.callback_metrics.items()})

    def told(self, name):
        """A metric of training, iteration by iteration."""
        return [metrics[f"train/{name}"] for metrics in self.metrics]


def apart(mine, theirs):
    """The largest difference of two sets of tensors."""
    assert mine.keys() == theirs.keys() and mine
    return max(float((mine[name] - theirs[name]).abs().max()) for name in mine)


def trainer(**settings):
    return Trainer(
        **{
            "accelerator": "cpu",
            "devices": 1,
            "logger": False,
            "max_epochs": 1,
            "num_sanity_val_steps": 0,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "use_distributed_sampler": False,
        }
        | settings
    )


def fit(module, *batches, questions=(), **settings):
    """One fit over these batches; the trainer."""
    made = trainer(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.fit(module, Batches(*batches, questions=questions))
    return made


def weights(module):
    """A copy of everything the stage's model holds."""
    return {name: value.detach().clone() for name, value in module.model.state_dict().items()}


def moved(before, after):
    """Names of the weights that changed."""
    return {name for name in before if not torch.equal(before[name], after[name])}
