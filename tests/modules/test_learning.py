"""Every stage learns, with full weights and with an adapter, and moves nothing that it should not."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from lightning.pytorch import Callback

from eva_lightning import device
from eva_lightning.faults import UsageError
from eva_lightning.policy.packing import PackingConfig
from tests.modules.stages import PER_TOKEN, WITH_KL, Watching, fit, make, marked, moved, weighed, weights

STAGES = ["sft", "kto", "fed"]


def settings(stage):
    return {"sft": {}, "kto": {"objective": PER_TOKEN}, "fed": {"objective": WITH_KL}}[stage]


def batch(stage, taught):
    return {"sft": list, "kto": marked, "fed": weighed}[stage](taught)


def preference(module, trajectories):
    """How much likelier, a token, the policy finds trajectories 0 and 2 than 1 and 3; SFT wants all four."""
    sums = torch.zeros(4)
    with torch.no_grad():
        for micro, places, _ in module.passes(trajectories):
            logprobs = module.logprobs(micro).logprobs
            for number, place in enumerate(places):
                sums[place] = logprobs[micro.sequence == number].mean()
    return float(sums[0] + sums[2] - sums[1] - sums[3]), float(sums.mean())


@pytest.mark.parametrize("lora", [None, True], ids=["full", "lora"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_few_steps_on_one_batch_teach_it(stage, lora, taught, tiny_folder):
    module = make(stage, tiny_folder, lora=lora, lr=1e-2 if lora else 1e-3, **settings(stage))
    module.configure_model()
    before, preferred = weights(module), preference(module, taught)
    watching = Watching()
    fit(module, *[batch(stage, taught)] * 5, callbacks=[watching])
    better = [now - then for now, then in zip(preference(module, taught), preferred, strict=True)]
    assert better[1 if stage == "sft" else 0] > 0.2
    changed = moved(before, weights(module))
    if lora:
        assert changed == {name for name in before if "lora_" in name}
    else:
        parts = ("visual", "language_model", "lm_head")
        assert all(any(part in name for name in changed) for part in parts)
    if stage != "fed":  # GRPO's loss is about 0 in every on-policy step
        losses = watching.told("loss")
        assert losses == sorted(losses, reverse=True) and losses[-1] < 0.95 * losses[0]


def test_a_frozen_tower_stays_as_it_is(taught, tiny_folder):
    module = make("sft", tiny_folder, freeze_vision=True)
    module.configure_model()
    before = weights(module)
    fit(module, taught, taught)
    assert not [name for name in moved(before, weights(module)) if "visual" in name]


def test_a_frozen_tower_sees_each_frame_once_and_what_is_learned_is_the_same(taught, tiny_folder):
    """Two steps on the same trajectories: all their frames twice; with memory each different one once."""
    told, seen = {}, {}
    for gib in (0.0, 1.0):
        module = make("sft", tiny_folder, freeze_vision=True, packing=PackingConfig(frames_gib=gib))
        module.configure_model()
        looks = seen[gib] = []

        def look(tower, words, more, looks=looks):
            looks.append(len(more.get("grid_thw", words[-1])))

        module.policy.backbone.model.visual.register_forward_pre_hook(look, with_kwargs=True)
        watching = Watching()
        fit(module, taught, taught, callbacks=[watching])
        told[gib] = watching.told("loss")
    frames = [(one.task.clips, frame) for one in taught for frame in one.frames]
    assert sum(seen[0.0]) == 2 * len(frames) and 0 < sum(seen[1.0]) <= len(set(frames))
    assert told[1.0] == pytest.approx(told[0.0], abs=1e-5)


@pytest.mark.parametrize("lora", [None, True], ids=["full", "lora"])
def test_the_reference_stays_what_the_policy_was(lora, taught, tiny_folder):
    module = make("kto", tiny_folder, lora=lora, lr=1e-2, objective=PER_TOKEN)
    module.configure_model()
    (first, *_), *_ = module.passes(taught)
    with torch.no_grad():
        then = module.logprobs(first).logprobs
    fit(module, *[marked(taught)] * 2)
    with module.reference.policy(module.device) as frozen:
        reference = module.logprobs(first, policy=frozen).logprobs
    now = module.logprobs(first).logprobs
    assert (reference - then).abs().max() < 1e-6 and not reference.requires_grad
    assert (now - then).abs().max() > 0.1 and now.requires_grad


@pytest.mark.parametrize("lora", [None, True], ids=["full", "lora"])
def test_a_checkpoint_holds_what_is_trained_and_nothing_else(lora, taught, tiny_folder, tmp_path):
    module = make("kto", tiny_folder, lora=lora, freeze_vision=True)
    trainer = fit(module, marked(taught))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)["state_dict"]
    trained = {name for name, one in module.named_parameters() if one.requires_grad}
    assert set(saved) == trained and trained
    assert all(("lora_" in name) if lora else ("visual" not in name) for name in saved)
    everything = sum(one.numel() for one in module.parameters())
    assert everything == sum(one.numel() for one in module.model.parameters())  # no frozen copy among them


def test_a_checkpoint_of_an_adapter_is_refused_by_full_weights(taught, tiny_folder, tmp_path):
    fit(make("sft", tiny_folder, lora=True), taught).save_checkpoint(tmp_path / "a.ckpt")
    full = make("sft", tiny_folder)
    full.configure_model()
    with pytest.raises(UsageError, match=r"trained with another policy\.lora"):
        full.on_load_checkpoint(torch.load(tmp_path / "a.ckpt", weights_only=True))


def test_gradient_checkpointing_is_on_while_training(taught, tiny_folder):
    module = make("sft", tiny_folder)
    module.policy_config.gradient_checkpointing = True
    assert module.configure_model() is None and module.model.training
    layer = module.policy.backbone.model.language_model.layers[0]
    assert layer.gradient_checkpointing and layer.training
    plain, spare = Watching(), Watching()
    fit(make("sft", tiny_folder), taught, callbacks=[plain])
    fit(module, taught, callbacks=[spare])
    assert spare.told("grad_norm") == pytest.approx(plain.told("grad_norm"), rel=1e-5)


def test_the_rate_falls_to_its_floor_with_the_last_step_of_the_last_iteration(taught, tiny_folder):
    """Two iterations of two steps each are four steps: 1, 3/4, 1/2 and 1/4 of the peak, means 7/8 and 3/8."""
    watching = Watching()
    module = make("fed", tiny_folder, lr=0.01, optimizer={"decay": "linear"}, mini_batches=2)
    fit(module, *[weighed(taught)] * 2, callbacks=[watching])
    assert watching.told("lr") == pytest.approx([0.00875, 0.00375])


class Asking(Callback):
    """What another thread would be told in the middle of a fit."""

    def on_train_batch_start(self, trainer, *_):
        with ThreadPoolExecutor(1) as pool:
            self.told = pool.submit(lambda: device._used).result()


def test_a_run_settles_which_card_its_threads_work_on_and_forgets_it_at_its_end(taught, tiny_folder):
    asking = Asking()
    trainer = fit(make("sft", tiny_folder), taught, callbacks=[asking])
    assert asking.told == trainer.strategy.root_device == torch.device("cpu") and device._used is None
