"""A Qwen2.5-VL small enough for a laptop, with the real classes and the real file layout.

It has well under a million weights.

Its weights are random and its tokenizer is trained on the few sentences below; everything else (special
tokens, chat template, M-RoPE, window attention) is as in the checkpoints from the hub, so what runs on it
runs on them. It knows nothing until it is trained, and it is no distillation of anything.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.utils import logging

from eva_lightning.policy.families import Qwen25VL

HEAD = 32
"""Width of an attention head: the narrowest that vLLM's CPU attention accepts."""

WIDE = 0.2
"""Spread of the words' vectors at the begin."""

SPECIALS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
WORDS = ("<tool_call>", "</tool_call>")
"""Single tokens that are no control tokens: a model may write them, a user may, too. As in Qwen2.5."""

# Qwen's own: contractions, words with the sign before them, single digits, signs, line ends, spaces.
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}"
    "<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tiny(
    folder: str | Path,
    *,
    corpus: Iterable[str],
    seed: int = 0,
    hidden: int = 128,
    layers: int = 2,
    vocab: int = 768,
    numbers: int = 0,
) -> Path:
    """Write a tiny Qwen2.5-VL to `folder`, the same bytes for the same arguments.

    The tokens are learned from `corpus`; `vocab` counts all of them but whole `numbers`. These, below it, are
    tokens of their own, whose vectors begin as waves of their value, and words are then read and written by
    the same weights: a small policy copies a time in one step, and misses it by little first. 0 leaves digits
    single, as Qwen's are.
    """
    if hidden % (2 * HEAD):
        raise ValueError(f"hidden is {hidden}: want a multiple of {2 * HEAD}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _train_tokenizer(corpus, vocab, numbers)
    ids = {token: tokenizer.get_vocab()[token] for token in SPECIALS}
    model = _random_model(_config(ids, len(tokenizer), hidden, layers, tied=numbers > 0), seed)
    _number(model, [tokenizer.get_vocab()[str(number)] for number in range(numbers)])
    model.generation_config.eos_token_id = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    _save_quietly(model, folder)
    tokenizer.save_pretrained(folder)
    _write_processors(folder)
    return folder


def _train_tokenizer(corpus: Iterable[str], vocab: int, numbers: int) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab - len(SPECIALS) - len(WORDS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(corpus, trainer)
    bpe.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIALS])
    bpe.add_tokens([AddedToken(token, normalized=False) for token in WORDS])
    bpe.add_tokens([AddedToken(str(number), normalized=False) for number in range(10, numbers)])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=list(SPECIALS),
        model_max_length=32768,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def _config(ids: dict[str, int], words: int, hidden: int, layers: int, *, tied: bool) -> Qwen2_5_VLConfig:
    text = {
        # padded like the large ones, so that there are rows without a word
        "vocab_size": (words // 64 + 1) * 64,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // HEAD,
        "num_key_value_heads": hidden // HEAD // 2,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }
    vision = {
        "depth": 2,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 4,
        "window_size": 112,
        "fullatt_block_indexes": [1],
        "out_hidden_size": hidden,
        "tokens_per_second": 2,
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=tied,
    )


def _random_model(config: Qwen2_5_VLConfig, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """Weights from `seed` alone, wide enough for 128 channels.

    With the usual 0.02 a narrow model stands still.
    """
    model: Qwen2_5_VLForConditionalGeneration
    model = Qwen2_5_VLForConditionalGeneration(config)  # type: ignore[no-untyped-call]
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if weight.ndim > 1:
                wide = WIDE if "embed_tokens" in name else weight[0].numel() ** -0.5
                weight.normal_(0.0, wide, generator=dice)
            elif name.endswith("bias"):
                weight.zero_()
    return model


def _number(model: Qwen2_5_VLForConditionalGeneration, ids: list[int]) -> None:
    """Let the vectors of numbers begin as waves of their value, from 3 numbers long to twice all of them."""
    words = model.model.language_model.embed_tokens.weight
    half = words.shape[1] // 2
    lengths = torch.logspace(math.log10(3), math.log10(2 * len(ids) + 4), half)
    phases = 2 * math.pi * torch.arange(len(ids))[:, None] / lengths
    with torch.no_grad():
        words[ids] = WIDE * 2**0.5 * torch.cat([phases.cos(), phases.sin()], dim=1)


def _save_quietly(model: Qwen2_5_VLForConditionalGeneration, folder: Path) -> None:
    shown = logging.is_progress_bar_enabled()  # a bar for one file of 3 MB is noise
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    if shown:
        logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _write_processors(folder: Path) -> None:
    images = Qwen25VL.images
    shared = {
        "processor_class": "Qwen2_5_VLProcessor",
        "size": {"shortest_edge": images.square**2, "longest_edge": images.square**2 * 1280},
        "patch_size": images.side,
        "temporal_patch_size": images.times,
        "merge_size": images.merge,
        "image_mean": list(images.mean),
        "image_std": list(images.std),
    }
    image = {**shared, "image_processor_type": "Qwen2VLImageProcessor"}
    video = {**shared, "video_processor_type": "Qwen2VLVideoProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(image, indent=2) + "\n")
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video, indent=2) + "\n")
    file = folder / "tokenizer_config.json"
    row = json.loads(file.read_text())
    row |= {"processor_class": "Qwen2_5_VLProcessor", "tokenizer_class": "Qwen2Tokenizer"}
    file.write_text(json.dumps(row, indent=2) + "\n")
