"""The tiny policy: its numbers, where they are tokens of their own."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from eva_lightning.agent.small_talk import agent_text
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.policy.tiny_shapes import HEAD


def test_digits_are_single_tokens_unless_whole_numbers_are_asked_for(tiny_folder, tmp_path):
    numbered = build_tiny(tmp_path / "numbered", corpus=agent_text(), numbers=600)
    said = 'from 61 to 244, {"end_time": 1200}'
    pieces = {}
    for name, folder in (("single", tiny_folder), ("whole", numbered)):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        ids = tokenizer.encode(said)
        assert tokenizer.decode(ids) == said
        pieces[name] = [piece for piece in tokenizer.convert_ids_to_tokens(ids) if piece.isdigit()]
    assert pieces == {"single": list("612441200"), "whole": ["61", "244", "120", "0"]}


def test_numbers_begin_near_their_neighbours_and_words_are_read_and_written_alike(tmp_path):
    folder = build_tiny(tmp_path / "numbered", corpus=agent_text(), numbers=600)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder)
    words = model.get_input_embeddings().weight
    assert model.get_output_embeddings().weight is words
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.convert_tokens_to_ids([str(number) for number in (200, 201, 210, 500)])
    here, next_to_it, near, far = torch.nn.functional.normalize(words[ids].detach(), dim=1)
    assert 1 > here @ next_to_it > here @ near > here @ far


def test_a_policy_of_full_likeness_asks_for_what_is_like_itself_and_passes_it_on(tmp_path):
    for family in ("qwen2_5_vl", "qwen3", "qwen3_vl"):
        alike, random = (
            load_file(
                build_tiny(tmp_path / f"{family}{share}", corpus=agent_text(), family=family, likeness=share)
                / "model.safetensors"
            )
            for share in (1.0, 0.0)
        )
        (layer,) = {
            name[: -len("q_proj.weight")] for name in alike if name.endswith(".0.self_attn.q_proj.weight")
        }
        query, key, value, out = (alike[f"{layer}{part}_proj.weight"] for part in "qkvo")
        heads, shared = len(query) // HEAD, len(key) // HEAD
        for head in range(heads):
            mine = slice(HEAD * head, HEAD * (head + 1))
            theirs = slice(HEAD * (head * shared // heads), HEAD * (head * shared // heads + 1))
            assert torch.equal(query[mine], key[theirs]) and torch.equal(out[:, mine], value[theirs].T)
        changed = {name for name in alike if not torch.equal(alike[name], random[name])}
        assert {name.rsplit(".", 2)[-2] for name in changed} == {"q_proj", "o_proj"}
        assert not any("visual" in name for name in changed)


def test_a_likeness_beyond_one_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"likeness is 1\.5: want a share between 0 and 1"):
        build_tiny(tmp_path, corpus=agent_text(), likeness=1.5)
