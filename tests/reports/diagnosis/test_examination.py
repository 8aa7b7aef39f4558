"""The doctor's measurements find what is wrong with an engine, and leave the policy's bits as they were."""

import copy
from dataclasses import replace

import pytest
import torch

from eva_lightning.engines.base import RefreshedEngine
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.faults import EngineFault
from eva_lightning.policy.loading import PolicyConfig, load_policy
from eva_lightning.reports.diagnosis.agreement import (
    IMAGES,
    SAMPLING,
    Agreement,
    VisionChange,
    agreement_of,
    changed,
)
from eva_lightning.reports.diagnosis.conversations import make_probe, picture, write_probes
from eva_lightning.reports.diagnosis.examination import examine, findings
from eva_lightning.reports.diagnosis.finding import problems

FAR = Agreement(largest=0.5, mean=0.1, tokens=100)
NEAR = Agreement(largest=1e-6, mean=1e-7, tokens=100)


class Copying(RefreshedEngine):
    """Writes with a copy of the policy, in this process; it takes only those weights that `takes` wants."""

    def __init__(self, policy, takes=lambda name: True):
        own = replace(policy, model=copy.deepcopy(policy.model))
        self.takes, self.own, self.inner = takes, own, TransformersEngine(own)
        self.renderer = policy.renderer

    async def write(self, context, sampling):
        return await self.inner.write(context, sampling)

    def seat(self):
        return self.inner.seat()

    def take_weights(self, weights, version):
        self.policy_version = version
        wanted = {name: value.clone() for name, value in weights() if self.takes(name)}
        self.own.backbone.load_state_dict(wanted, strict=False)

    def close(self):
        self.inner.close()


@pytest.fixture(scope="module")
def policy(tiny_folder):
    return load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32"))


def bits(policy):
    return {name: value.clone() for name, value in policy.model.state_dict().items()}


def same(policy, before):
    return all(torch.equal(value, before[name]) for name, value in policy.model.state_dict().items())


class Noting(Copying):
    """Notes how it is to be compared."""

    async def write(self, context, sampling):
        self.tf32 = torch.backends.cudnn.allow_tf32
        return await super().write(context, sampling)


def examined(policy, engine):
    seen = examine(policy, engine)
    engine.close()
    return seen, {finding.name: finding for finding in findings(seen)}


def test_frames_of_a_probe_are_spread_over_its_turns_and_always_look_the_same():
    probe = make_probe("a", 7, turns=3)
    assert [len(look) for look in probe.looks] == [3, 2, 2]
    first = probe.looks[0][0]
    assert (first.height, first.width) == (28, 28) and (picture(first) == picture(first)).all()
    other = make_probe("b", 7, turns=3).looks[0][0]
    assert picture(first).shape == (28, 28, 3) and (picture(first) != picture(other)).any()


def test_a_known_difference_is_measured(policy):
    engine = TransformersEngine(policy)
    (record,) = write_probes(engine, [make_probe("a", 2)], SAMPLING)
    engine.close()
    assert agreement_of(policy, [record]).largest < 1e-4
    record.turns[1].logprobs[0] += 0.5
    found = agreement_of(policy, [record])
    assert found.tokens == sum(len(turn.token_ids) for turn in record.turns)
    assert found.largest == pytest.approx(0.5, abs=1e-4)
    assert found.mean == pytest.approx(0.5 / found.tokens, abs=1e-4)


def test_what_is_rounding_depends_on_the_type_of_the_weights():
    rough = Agreement(largest=0.15, mean=0.01, tokens=100)
    assert rough.good(torch.bfloat16) and not rough.good(torch.float32)
    assert not FAR.good(torch.bfloat16) and NEAR.good(torch.float32)


@pytest.mark.parametrize("old, new, seen", [(FAR, NEAR, True), (NEAR, FAR, False), (FAR, FAR, False)])
def test_a_vision_change_is_seen_if_the_new_tower_explains_what_was_written(old, new, seen):
    assert VisionChange(old=old, new=new).seen(torch.float32) is seen


def test_a_change_that_moves_nothing_tells_nothing():
    assert VisionChange(old=NEAR, new=NEAR).seen(torch.float32) is None


def test_changed_weights_get_their_old_bits_back_even_after_a_failure(policy):
    before = bits(policy)
    weight = policy.backbone.model.visual.blocks[0].mlp.up_proj.weight
    old = weight.detach().clone()
    with pytest.raises(ZeroDivisionError), changed(policy, amount=0.3, only="model.visual."):
        moved = [name for name, value in policy.model.state_dict().items() if (value != before[name]).any()]
        assert moved and all(name.startswith("model.visual.") for name in moved)
        assert (weight - old).norm() / old.norm() == pytest.approx(0.3, rel=0.05)
        1 / 0  # noqa: B018
    assert same(policy, before)


def test_an_engine_that_takes_all_weights_passes_and_nothing_is_changed_for_good(policy):
    before, engine = bits(policy), Copying(policy)
    seen, rows = examined(policy, engine)
    assert list(seen.by_images) == list(IMAGES) == [0, 1, 4, 16]
    assert not problems(rows.values()) and not seen.fault
    assert seen.vision_change.seen(torch.float32) and seen.vision_change.old.largest > 0.01
    assert seen.greedy.equal == seen.greedy.total == 4
    assert rows["after sleep"].found.startswith(("not on this machine", "not measured"))
    assert same(policy, before) and same(engine.own, before)


def test_a_vision_tower_that_never_arrives_is_found(policy):
    engine = Copying(policy, takes=lambda name: not name.startswith("model.visual."))
    seen, rows = examined(policy, engine)
    wrong = [finding.name for finding in problems(rows.values())]
    assert wrong == ["after new weights", "after a new vision tower"]
    assert seen.vision_change.seen(torch.float32) is False
    assert seen.vision_change.old.largest < 1e-4  # it wrote by the old one
    assert "do not train" in rows["after a new vision tower"].advice


def test_wrong_weights_from_the_start_are_found(policy):
    engine = Copying(policy)
    with changed(policy, amount=0.05):
        _, rows = examined(policy, engine)
    wrong = {finding.name for finding in problems(rows.values())}
    assert {"log-probs, frames: 0", "log-probs, frames: 1", "likeliest tokens"} <= wrong


def test_an_engine_that_dies_keeps_what_was_measured_before(policy):
    class Dying(Copying):
        def take_weights(self, weights, version):
            raise EngineFault("the GPU fell off the bus")

    seen, rows = examined(policy, Dying(policy))
    assert len(seen.by_images) == 4 and seen.greedy and seen.after_push is None
    (wrong,) = problems(rows.values())
    assert (wrong.name, wrong.advice) == ("engine", "the GPU fell off the bus")


def test_the_trainer_s_own_engine_has_no_copy_to_refresh(policy):
    seen, rows = examined(policy, TransformersEngine(policy))
    assert seen.after_push is seen.vision_change is None and not problems(rows.values())
    assert rows["after new weights"].found.startswith("does not apply")


def test_no_float32_is_cut_short_while_it_is_compared(policy):
    """cuDNN cuts it on a GPU, by default; here is only to be seen that it would be told not to."""
    engine = Noting(policy)
    assert torch.backends.cudnn.allow_tf32
    examined(policy, engine)
    assert torch.backends.cudnn.allow_tf32 and not engine.tf32
