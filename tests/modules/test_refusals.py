"""What Lightning would run, and we would train wrongly, is refused before anything is read."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy

from eva_lightning.faults import UsageError
from eva_lightning.modules.refusals import refuse_unsound, refuse_whole_weights
from eva_lightning.policy.loading import PolicyConfig, load_policy
from tests.modules.stages import fit, make


@pytest.mark.parametrize("half", ["bf16-true", "16-true"])
@pytest.mark.parametrize("stage", ["sft", "kto", "grpo"])
def test_precision_that_rounds_more_than_the_weights(stage, half, taught, tiny_folder):
    more = {"rewards": []} if stage == "grpo" else {}
    with pytest.raises(
        UsageError, match=f"precision {half} would round .*: leave it out; model.policy.dtype"
    ):
        fit(make(stage, tiny_folder, **more), taught, precision=half)


def test_why_the_weights_own_type_is_better(tiny_folder):
    """A frequency of 0.1778 becomes 0.1777: token 32,768 stands 3 places from where it is."""
    policy = load_policy(PolicyConfig(path=str(tiny_folder), dtype="bfloat16"))
    rotary = policy.backbone.model.language_model.rotary_emb
    exact = rotary.inv_freq.clone()
    assert exact.dtype == torch.float32
    policy.model.to(torch.bfloat16)  # what `bf16-true` does
    assert (32_768 * (exact - rotary.inv_freq.float())).abs().max() > 3


@pytest.mark.parametrize(
    ("strategy", "why"),
    [(FSDPStrategy, "flattens the weights"), (DeepSpeedStrategy, "keeps the gradients to itself")],
)
def test_strategies_that_were_never_right(strategy, why):
    """Neither can be built here: one wants a GPU, the other its package."""
    trainer = SimpleNamespace(precision_plugin=None, strategy=object.__new__(strategy))
    with pytest.raises(UsageError, match=f"{why}.*take ddp; model.optimizer.sharded"):
        refuse_unsound(trainer)


def test_shards_that_nobody_made():
    trainer = SimpleNamespace(strategy=ModelParallelStrategy())
    with pytest.raises(UsageError, match="shards nothing by itself"):
        refuse_whole_weights(trainer, torch.nn.Linear(2, 2))
