"""Log-probs at loss positions are those of a full forward pass and a full softmax."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model

from eva_lightning.policy.inputs import lay_out, trajectory_inputs
from eva_lightning.policy.logprobs import Scorer, ScoringHead, token_logprobs, with_grey_frame
from tests.policy.conversations import assistant, trajectory, user

TEXT_ONLY = (user("How many seconds are 3 and 4?"), assistant("<answer>7</answer>"))


@pytest.fixture(scope="module")
def inputs(policy, renderer, pixels):
    return trajectory_inputs(trajectory(renderer), policy, pixels)


@pytest.fixture(scope="module")
def text_inputs(policy, renderer, pixels):
    return trajectory_inputs(trajectory(renderer, TEXT_ONLY), policy, pixels)


def full(model, inputs, temperature=1.0, banned=()):
    """The plain way: positions by the model, all logits, one softmax."""
    ids = inputs.ids[None]
    logits = model(
        input_ids=ids,
        pixel_values=inputs.pixel_values,
        image_grid_thw=inputs.grid,
        mm_token_type_ids=(ids == model.config.image_token_id).int(),
    ).logits[0]
    logits[:, list(banned)] = -1e9
    table = (logits / temperature).log_softmax(dim=1)[:-1]
    logprobs = table.gather(1, inputs.ids[1:, None])[:, 0]
    entropy = -(table.exp() * table).sum(dim=1)
    return logprobs[inputs.loss_mask[1:]], entropy[inputs.loss_mask[1:]]


def test_inputs_keep_the_sampled_ids_and_mark_nothing_else(renderer, pixels, inputs):
    record = trajectory(renderer)
    assert renderer.collapse(inputs.ids.tolist()) == record.token_ids
    assert inputs.targets.tolist() == [token for turn in record.turns for token in turn.token_ids]
    assert int((inputs.ids == renderer.image_token_id).sum()) == 6 + 16 + 1 + 10 == record.visual_tokens
    assert inputs.pixel_values.shape == (4 * 33, 1176) and inputs.grid.shape == (4, 3)
    assert inputs.positions.shape == (3, len(inputs.ids))


def test_pixels_are_bytes_until_the_tower_wants_them(inputs):
    batch = lay_out([inputs, inputs]).to("cpu")
    assert batch.patches.dtype == torch.uint8 and batch.patches.shape == (2 * 4 * 33, 588)
    assert batch.pixel_values.equal(torch.cat([inputs.pixel_values] * 2))


def test_a_trajectory_without_frames_has_no_pixels(text_inputs):
    assert text_inputs.pixel_values is None and text_inputs.grid is None


@pytest.mark.parametrize("temperature, banned, chunk", [(1.0, (), 1024), (0.7, (0, 575), 5)])
def test_equal_to_the_full_softmax(policy, inputs, text_inputs, temperature, banned, chunk):
    for one in (inputs, text_inputs):
        with torch.no_grad():
            ours = token_logprobs(
                policy.model,
                lay_out([one]),
                temperature=temperature,
                banned_ids=banned,
                entropy=True,
                chunk=chunk,
            )
            logprobs, entropy = full(policy.model, one, temperature, banned)
        assert (ours.logprobs - logprobs).abs().max() < 1e-5
        assert (ours.entropy - entropy).abs().max() < 1e-5
        assert ours.logprobs.dtype == torch.float32


def test_gradients_equal_those_of_the_full_softmax(policy, inputs):
    mine, theirs = copy.deepcopy(policy.model), copy.deepcopy(policy.model)
    ours = token_logprobs(mine, lay_out([inputs]), banned_ids=(3, 570), entropy=True, chunk=7)
    (ours.logprobs.sum() + 0.1 * ours.entropy.sum()).backward()
    logprobs, entropy = full(theirs, inputs, banned=(3, 570))
    (logprobs.sum() + 0.1 * entropy.sum()).backward()
    for (name, a), (_, b) in zip(mine.named_parameters(), theirs.named_parameters(), strict=True):
        if b.grad is not None:
            assert torch.allclose(a.grad, b.grad, atol=1e-4, rtol=1e-3), name


def test_two_trajectories_in_one_row_do_not_see_each_other(policy, inputs, text_inputs):
    for order in ((inputs, text_inputs, inputs), (text_inputs, inputs)):
        with torch.no_grad():
            packed = token_logprobs(policy.model, lay_out(order))
            alone = torch.cat([token_logprobs(policy.model, lay_out([one])).logprobs for one in order])
        assert (packed.logprobs - alone).abs().max() < 1e-5


def test_a_row_is_as_long_as_its_trajectories_and_knows_where_each_begins(inputs, text_inputs):
    batch = lay_out([inputs, text_inputs, text_inputs])
    long, short = len(inputs.ids), len(text_inputs.ids)
    assert batch.ids.shape == (1, long + 2 * short) and batch.longest == long
    assert batch.borders.tolist() == [0, long, long + short, long + 2 * short]
    written = [int(one.loss_mask.sum()) for one in (inputs, text_inputs, text_inputs)]
    assert batch.sequence.bincount().tolist() == written
    assert batch.positions[0, 0, long : long + 2].tolist() == [0, 1]


def test_a_trained_tower_gets_a_gradient_from_text_alone_and_it_is_zero(policy, text_inputs):
    model = copy.deepcopy(policy.model)
    model.model.visual.requires_grad_(True)
    token_logprobs(model, lay_out([text_inputs])).logprobs.sum().backward()
    assert all(
        weight.grad is not None and not weight.grad.any() for weight in model.model.visual.parameters()
    )


def test_the_head_is_called_once_for_all_chunks_and_still_makes_logits(policy, inputs):
    """Whoever gathers its weights for a call does so once."""
    model = copy.deepcopy(policy.model)
    logits = full(model, inputs)[0]
    scorer, calls = Scorer(model), []
    model.lm_head.register_forward_hook(lambda *_: calls.append(1))
    (logprobs,) = scorer(lay_out([inputs]), chunk=7)
    assert isinstance(model.lm_head, ScoringHead) and len(logprobs) > 14 and len(calls) == 1
    assert torch.equal(full(model, inputs)[0], logits)


def test_entropy_is_computed_where_it_is_asked_for(policy, text_inputs):
    batch = lay_out([text_inputs])
    assert token_logprobs(policy.model, batch).entropy is None
    assert token_logprobs(policy.model, batch, entropy=True).entropy.min() > 0


def test_an_adapter_on_the_head_is_heard(policy, inputs):
    adapter = LoraConfig(r=2, target_modules=["lm_head"], init_lora_weights=False)
    adapted = get_peft_model(copy.deepcopy(policy.model), adapter)
    with torch.no_grad():
        ours = token_logprobs(adapted, lay_out([inputs]), chunk=7)
        logprobs, _ = full(adapted, inputs)
    assert (ours.logprobs - logprobs).abs().max() < 1e-5


def test_a_grey_frame_behind_everything_changes_nothing(policy, inputs, text_inputs):
    """One visual token more, of which nobody else knows."""
    batch = lay_out([text_inputs, text_inputs])
    looking = with_grey_frame(batch, policy.renderer.image_token_id, policy.family.images)
    assert looking.ids.shape == (1, batch.ids.shape[1] + 1)
    assert (looking.ids == policy.renderer.image_token_id).nonzero().tolist() == [[0, batch.ids.shape[1]]]
    assert looking.borders.tolist() == [*batch.borders.tolist(), batch.ids.shape[1] + 1]
    assert looking.pixel_values.shape == (4, 1176)
    with torch.no_grad():
        alone, beside = (Scorer(policy.model, always_look=look)(batch)[0] for look in (False, True))
    assert (alone - beside).abs().max() < 1e-6


def test_nothing_written_is_no_number(policy, renderer, pixels):
    silent = trajectory(renderer, TEXT_ONLY[:1])
    batch = lay_out([trajectory_inputs(silent, policy, pixels)])
    assert token_logprobs(policy.model, batch).logprobs.shape == (0,)


def test_an_image_token_among_the_written_is_refused(policy, renderer, pixels):
    record = trajectory(renderer)
    record.turns[0].token_ids[0] = renderer.image_token_id
    record.turns[0].observation_ids.remove(renderer.image_token_id)
    with pytest.raises(ValueError, match="wrote an image token"):
        trajectory_inputs(record, policy, pixels)
