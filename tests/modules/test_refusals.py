"""What Lightning would run, and we would train wrongly, is refused before anything is read."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy

from eva_lightning.faults import UsageError
from eva_lightning.modules import FSDP2Strategy, ZeroStrategy
from eva_lightning.modules.exchanging import Engine
from eva_lightning.modules.optimizing import OptimizerConfig
from eva_lightning.modules.refusals import (
    refuse_adapted_head,
    refuse_adapter_that_stays_whole,
    refuse_copy_of_shards,
    refuse_two_ways_to_share,
    refuse_unshareable_rows,
    refuse_unsound,
)
from eva_lightning.policy.loading import Lora, PolicyConfig, load_policy
from eva_lightning.policy.packing import PackingConfig
from tests.modules.stages import Batches, fit, make, trainer


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
    [
        (FSDPStrategy, "flattens the weights.*take fsdp2"),
        (DeepSpeedStrategy, "takes every forward pass for a whole step.*take zero2 or zero3"),
        (ModelParallelStrategy, "shards nothing by itself.*take fsdp2"),
    ],
)
def test_strategies_that_were_never_right(strategy, why):
    """Two can not be built here: one wants a GPU, the other its package."""
    trainer = SimpleNamespace(precision_plugin=None, strategy=object.__new__(strategy))
    with pytest.raises(UsageError, match=why):
        refuse_unsound(trainer)


def zero(stage, **more):
    """A strategy that never starts, with DeepSpeed or without."""
    made = object.__new__(ZeroStrategy)
    made.config = {"zero_optimization": {"stage": stage}}
    return SimpleNamespace(precision_plugin=None, strategy=made, **more)


@pytest.mark.parametrize(
    ("stage", "verb", "refused"), [(2, "validate", False), (3, "fit", False), (3, "test", True)]
)
def test_zero3_reads_a_checkpoint_only_to_go_on(stage, verb, refused):
    trainer = zero(stage, state=SimpleNamespace(fn=verb))
    with pytest.raises(UsageError, match="evaluate the export with") if refused else nullcontext():
        refuse_unsound(trainer)


@pytest.mark.parametrize(("stage", "refused"), [(2, False), (3, True)])
def test_an_adapter_on_the_head_is_no_case_for_zero3(stage, refused, tiny_folder):
    lora = Lora(rank=2, targets=["lm_head"])
    backbone = load_policy(PolicyConfig(path=str(tiny_folder), lora=lora)).backbone
    with (
        pytest.raises(UsageError, match="can not gather an adapter on lm_head") if refused else nullcontext()
    ):
        refuse_adapted_head(zero(stage), backbone)


@pytest.mark.parametrize(
    ("again", "lora", "refused"), [(True, True, False), (False, False, False), (False, True, True)]
)
def test_an_adapter_is_cut_again_after_each_pass(again, lora, refused, tiny_folder):
    config = PolicyConfig(path=str(tiny_folder), lora=Lora(rank=2) if lora else None)
    trainer = SimpleNamespace(strategy=FSDP2Strategy(reshard_after_forward=again))
    with (
        pytest.raises(UsageError, match="reshard_after_forward false does not go")
        if refused
        else nullcontext()
    ):
        refuse_adapter_that_stays_whole(trainer, load_policy(config, weights=False).model)


@pytest.mark.parametrize("ranks", [None, 2])
def test_deepspeed_goes_on_with_as_many_ranks_as_wrote(ranks, tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    if ranks is None:
        path.touch()
    else:
        (path / "checkpoint").mkdir(parents=True)
        for rank in range(ranks):
            (path / "checkpoint" / f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").touch()
    monkeypatch.setattr(ZeroStrategy, "world_size", 4)
    with pytest.raises(UsageError, match="is (one file|of 2 ranks).*here 4; fsdp2 goes on with any number"):
        zero(2).strategy.load_checkpoint(path)


def test_a_state_is_shared_out_once():
    for sharing in (zero(2), SimpleNamespace(strategy=FSDP2Strategy())):
        refuse_two_ways_to_share(sharing, OptimizerConfig())
        with pytest.raises(UsageError, match="optimizer.sharded is for ddp.*set it to false"):
            refuse_two_ways_to_share(sharing, OptimizerConfig(sharded=True))


def test_the_transformers_engine_has_nothing_to_write_with_under_zero3():
    assert Engine(zero(2).strategy).whole(None, None)
    with pytest.raises(UsageError, match="no rank has the weights that the transformers engine"):
        Engine(zero(3).strategy).whole(None, None)


def test_shards_can_not_be_copied():
    weight = torch.nn.Linear(2, 2)
    refuse_copy_of_shards(weight)
    weight.weight.ds_id = 0  # as DeepSpeed marks them
    with pytest.raises(UsageError, match="can not be copied from shards: set read_into_shards to false"):
        refuse_copy_of_shards(weight)


def test_deepspeed_that_is_not_here_is_asked_for(monkeypatch):
    monkeypatch.setattr("eva_lightning.modules.zero.find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match="wants DeepSpeed.*pip install 'eva-lightning.deepspeed.', or take fsdp2"
    ):
        ZeroStrategy()


def test_ranks_that_can_not_share_rows(tiny_folder):
    """Four heads that share two keys: two ranks have two heads each, four have one, three have none whole."""
    model = load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32")).backbone
    for ranks in (1, 2, 4):
        refuse_unshareable_rows(ranks, model)
    with pytest.raises(UsageError, match="sequence_ranks 3 can not share 4 .* with 2 keys: .* takes 1, 2, 4"):
        refuse_unshareable_rows(3, model)
    masked = load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32", attention="sdpa")).backbone
    with pytest.raises(UsageError, match="wants model.policy.attention by_trajectory, not sdpa"):
        refuse_unshareable_rows(2, masked)


def test_rows_are_shared_by_ranks_that_exist(taught, tiny_folder):
    with pytest.raises(UsageError, match="sequence_ranks 2 does not divide the 1 ranks of this run"):
        fit(make("sft", tiny_folder, packing=PackingConfig(sequence_ranks=2)), taught)


def test_who_only_answers_shares_no_rows(world, tiny_folder):
    """A recipe for many cards is evaluated on one."""
    module = make("sft", tiny_folder, packing=PackingConfig(sequence_ranks=2))
    trainer().test(module, Batches(questions=world.tasks[:1]), verbose=False)
    assert len(module.evaluated) == 1
