"""The tiny policy: its numbers, where they are tokens of their own."""

import torch
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from eva_lightning.agent.small_talk import agent_text
from eva_lightning.policy.tiny import build_tiny


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
