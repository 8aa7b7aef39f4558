"""How weights move: as far as float32 ones, whatever type they have."""

import pytest
import torch
from torch.optim import AdamW

from eva_lightning.modules.long_adamw import LongAdamW, halves, joined
from eva_lightning.modules.optimizing import OptimizerConfig, make_optimizer
from tests.modules.stages import Batches, Watching, fit, make, trainer

SMALL = {"lr": 1e-6, "betas": (0.9, 0.95), "weight_decay": 0.1}


def parameter(dtype, count=10_000):
    dice = torch.Generator().manual_seed(0)
    values = 0.02 * torch.randn(count, generator=dice)
    return torch.nn.Parameter(values.bfloat16().to(dtype))


def steps(weights, optimizer, count, begin=0):
    """Gradients that mostly agree, the same ones for everybody."""
    for number in range(begin, begin + count):
        dice = torch.Generator().manual_seed(number)
        weights.grad = (1 + torch.randn(weights.shape, generator=dice)).bfloat16().to(weights.dtype)
        optimizer.step()


def test_a_hundred_small_steps_move_bfloat16_as_far_as_float32():
    short, long = parameter(torch.bfloat16), parameter(torch.float32)
    before = long.detach().clone()
    optimizer, plain = LongAdamW([short], **SMALL), AdamW([long], **SMALL)
    steps(short, optimizer, 100)
    steps(long, plain, 100)
    exact = joined(short.detach(), optimizer.state[short]["lower"])
    assert (long - before).abs().mean() > 5e-5
    assert (exact - long).abs().max() < 1e-8
    assert torch.equal(short, halves(exact)[0])


def test_without_the_lower_halves_most_would_not_move_at_all():
    """Why this optimizer is here. 1e-6 is half a bfloat16 step at 0.0005; the weights are about 0.02."""
    short = parameter(torch.bfloat16)
    before = short.detach().clone()
    steps(short, AdamW([short], **SMALL), 100)
    assert (short != before).float().mean() < 0.1


def test_float32_weights_move_as_torch_moves_them():
    ours, theirs = parameter(torch.float32), parameter(torch.float32)
    steps(ours, LongAdamW([ours], **SMALL), 20)
    steps(theirs, AdamW([theirs], **SMALL), 20)
    assert (ours - theirs).abs().max() < 1e-8


def test_halves_give_every_bit_back():
    dice = torch.Generator().manual_seed(0)
    size = 10.0 ** torch.randint(-40, 38, (100_000,), generator=dice).float()
    numbers = torch.cat([size * torch.randn(100_000, generator=dice), torch.tensor([0.0, -0.0])])
    upper, lower = halves(numbers)
    assert torch.equal(joined(upper, lower).view(torch.int32), numbers.view(torch.int32))
    assert ((upper.float() - numbers).abs() <= numbers.abs() * 2**-8 + 1e-40).all()


def test_what_goes_on_from_a_checkpoint_goes_on_to_the_bit(tmp_path):
    straight, halved = parameter(torch.bfloat16), parameter(torch.bfloat16)
    steps(straight, LongAdamW([straight], **SMALL), 40)
    first = LongAdamW([halved], **SMALL)
    steps(halved, first, 20)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = LongAdamW([halved], **SMALL)
    second.load_state_dict(torch.load(tmp_path / "state.pt"))
    steps(halved, second, 20, begin=20)
    assert torch.equal(straight, halved)


@pytest.mark.parametrize(("dtype", "kind"), [(torch.bfloat16, LongAdamW), (torch.float32, AdamW)])
def test_the_type_of_the_weights_decides(dtype, kind):
    optimizer, _ = make_optimizer(OptimizerConfig(sharded=True), [parameter(dtype)], 10)
    assert type(optimizer) is kind  # one rank alone has nothing to share out


def test_a_stage_in_bfloat16_moves_nearly_every_weight_by_a_recipe_s_rate(taught, tiny_folder):
    module = make("sft", tiny_folder, dtype="bfloat16", lr=1e-6)
    optimizer = fit(module, *[taught] * 3).optimizers[0]
    layer = module.policy.backbone.model.language_model.layers[0].mlp.up_proj.weight
    lower = optimizer.state[layer]["lower"]
    assert layer.dtype == torch.bfloat16 and (lower != 0).float().mean() > 0.9
    assert layer.grad is None  # whoever writes next can have their memory


def test_who_goes_on_from_a_checkpoint_goes_on_at_the_rate_of_the_config(taught, tiny_folder, tmp_path):
    fit(make("sft", tiny_folder, lr=1e-3), taught).save_checkpoint(tmp_path / "a.ckpt")
    watching, faster = Watching(), make("sft", tiny_folder, lr=1e-2, optimizer={"weight_decay": 0.1})
    again = trainer(max_epochs=2, callbacks=[watching])
    again.fit(faster, Batches(taught), ckpt_path=tmp_path / "a.ckpt")
    assert watching.told("lr") == pytest.approx([1e-2])
    assert [group["weight_decay"] for group in again.optimizers[0].param_groups] == [0.1, 0.0]
