"""Every family is held against transformers: template, positions, patches, log-probs, `generate`."""

import asyncio
import copy
from dataclasses import replace

import pytest
import torch
from transformers import AutoImageProcessor

from eva_lightning.agent.small_talk import agent_text
from eva_lightning.engines.base import Context, Sampling
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.policy.generate import _Cache
from eva_lightning.policy.inputs import lay_out, trajectory_inputs
from eva_lightning.policy.loading import Lora, PolicyConfig, load_policy
from eva_lightning.policy.logprobs import token_logprobs
from eva_lightning.policy.pixels import patches, pixel_values
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.policy.tokenized import tokenized
from eva_lightning.records import FrameRef
from tests.policy.conversations import CONVERSATION, assistant, plain, tool, trajectory, user

WORDS_ALONE = (
    CONVERSATION[0],
    assistant("<think>\nI must look.\n</think>\n\nAt second 12."),
    tool("0 to 30 s: a red circle.", "\n30 s: nothing."),
    assistant("<tool_call>{}</tool_call>"),
    tool("nothing to see"),
    assistant("<answer>A</answer>"),
)


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3", "qwen3_vl"])
def member(request, tmp_path_factory):
    """A tiny policy of each family."""
    folder = tmp_path_factory.mktemp(request.param)
    build_tiny(folder, corpus=agent_text(), family=request.param)
    loaded = load_policy(PolicyConfig(path=str(folder), dtype="float32"))
    loaded.model.eval()
    return loaded


@pytest.fixture
def said(member):
    """A conversation that it can read: frames of its own squares, or words alone."""
    side = member.renderer.square
    if side is None:
        return WORDS_ALONE

    def resized(part):
        if not isinstance(part, FrameRef):
            return part
        return replace(part, height=part.height // 28 * side, width=part.width // 28 * side, square=side)

    return tuple(replace(one, parts=tuple(map(resized, one.parts))) for one in CONVERSATION)


@pytest.fixture
def inputs(member, said, pixels):
    return trajectory_inputs(trajectory(member.renderer, said), member, pixels)


def shown(model, inputs):
    """The frames, as transformers takes them."""
    if inputs.grid is None:
        return {}
    types = (inputs.ids[None] == model.config.image_token_id).int()
    return {
        "pixel_values": inputs.pixel_values,
        "image_grid_thw": inputs.grid,
        "mm_token_type_ids": types,
    }


def full(model, inputs):
    """The plain way: positions by the model, all logits, one softmax."""
    table = model(input_ids=inputs.ids[None], **shown(model, inputs)).logits[0].log_softmax(dim=1)[:-1]
    return table.gather(1, inputs.ids[1:, None])[:, 0][inputs.loss_mask[1:]]


def test_turns_and_what_follows_them_are_the_template_s(member, said):
    """Up to where the model is to write its last turn."""
    tokenizer = member.renderer._tokenizer
    text = tokenizer.apply_chat_template(plain(said[:5]), tokenize=False, add_generation_prompt=True)
    record = trajectory(member.renderer, said)
    last = len(record.turns[-1].token_ids)
    assert record.token_ids[:-last] == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_positions_are_the_model_s(member, inputs):
    if inputs.grid is None:
        assert inputs.positions.tolist() == [list(range(len(inputs.ids)))] * 3
        return
    row = inputs.ids[None]
    types = (row == member.renderer.image_token_id).int()
    theirs, _ = member.backbone.model.get_rope_index(row, types, image_grid_thw=inputs.grid)
    assert torch.equal(inputs.positions, theirs[:, 0])


def test_patches_are_the_image_processor_s(member, said, pixels):
    if member.images is None:
        pytest.skip("it sees nothing")
    frames = [pixels(frame) for message in said for frame in message.frames]
    theirs = AutoImageProcessor.from_pretrained(member.path)(images=frames, return_tensors="pt")
    cut, grid = patches(frames, member.images)
    assert torch.equal(grid, theirs["image_grid_thw"])
    assert (pixel_values(cut, member.images) - theirs["pixel_values"]).abs().max() <= 1e-6


def test_what_was_shown_to_another_model_is_cut_to_the_squares_of_this_one(member, pixels):
    """As a teacher saw them, 112 and 140 pixels are 4 and 5 squares; of 32 they are 3.5 and 4.4: 4 and 4."""
    side = member.renderer.square
    if side is None:
        pytest.skip("it sees nothing")
    shown = trajectory(member.renderer)
    taught = tokenized(shown, member.renderer)
    sizes = [(frame.height // side, frame.width // side) for frame in taught.frames]
    assert sizes == [(2, 3), (4, 4), (1, 1), (2, 4 if side == 32 else 5)]
    assert {frame.square for frame in taught.frames} == {side}
    assert taught.token_ids == shown.token_ids and tokenized(taught, member.renderer) is taught
    scored = token_logprobs(member.model, lay_out([trajectory_inputs(taught, member, pixels)]))
    assert len(scored.logprobs) == taught.ledger.written


def test_log_probs_are_those_of_the_full_softmax(member, inputs):
    with torch.no_grad():
        ours = token_logprobs(member.model, lay_out([inputs])).logprobs
        assert (ours - full(member.model, inputs)).abs().max() < 1e-5


def test_a_row_of_several_has_the_values_and_gradients_of_separate_passes(member, inputs, pixels):
    silent = trajectory(member.renderer, (user("How many are 3 and 4?"), assistant("<answer>7</answer>")))
    several = [inputs, trajectory_inputs(silent, member, pixels), inputs]
    together, apart = copy.deepcopy(member.model), copy.deepcopy(member.model)
    for model in (together, apart):
        model.requires_grad_(True)
    packed = token_logprobs(together, lay_out(several)).logprobs
    alone = torch.cat([full(apart, one) for one in several])
    assert (packed - alone).abs().max() < 2e-6 * alone.abs().max()
    packed.sum().backward()
    alone.sum().backward()
    pairs = list(zip(together.parameters(), apart.parameters(), strict=True))
    largest = max(theirs.grad.abs().max() for _, theirs in pairs)
    assert max((ours.grad - theirs.grad).abs().max() for ours, theirs in pairs) < 2e-6 * largest


def test_a_conversation_read_piece_by_piece_is_the_one_read_whole(member, inputs):
    family, model = member.family, member.backbone
    batch, cache, cut = lay_out([inputs]), _Cache(), len(inputs.ids) - 5
    with torch.no_grad():
        seen = () if inputs.grid is None else family.see(model, inputs.pixel_values, inputs.grid)
        whole = family.hidden(model, batch.ids, batch.positions, batch.row, seen)
        parts = []
        for place, shown in ((slice(0, cut), seen), (slice(cut, None), ())):
            ids, positions = batch.ids[:, place], inputs.positions[:, None, place]
            cache.grow(ids.shape[1])
            rows = torch.arange(cache.length)
            mask = (rows <= rows[-ids.shape[1] :, None])[None, None]
            parts.append(family.read(model, ids, positions, mask=mask, cache=cache, seen=shown))
    assert (torch.cat(parts, dim=1) - whole).abs().max() < 1e-5


def test_greedy_is_what_generate_writes(member, said, pixels):
    engine, record = TransformersEngine(member), trajectory(member.renderer, said[:4])
    record.turns.pop()
    asked = Context(messages=said[:3], ids=tuple(record.token_ids), pixels=pixels)
    written = asyncio.run(engine.write(asked, Sampling(temperature=0.0, max_tokens=16)))
    inputs = trajectory_inputs(record, member, pixels)
    ids = inputs.ids[None]
    theirs = member.backbone.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        **shown(member.backbone, inputs),
        suppress_tokens=list(member.renderer.banned_ids),
        eos_token_id=list(member.renderer.end_ids),
        max_new_tokens=16,
        do_sample=False,
    )
    assert list(written.token_ids) == theirs[0, ids.shape[1] :].tolist()
    engine.close()


def test_an_adapter_is_on_every_layer_of_the_language_model_and_on_none_of_the_tower(member):
    """Two layers of seven matrices, two halves each."""
    adapted = load_policy(PolicyConfig(path=member.path, lora=Lora(rank=2)))
    trained = [name for name, weight in adapted.model.named_parameters() if weight.requires_grad]
    assert len(trained) == 2 * 7 * 2 and not [name for name in trained if "visual" in name]
