"""A policy small enough for a laptop, with the real classes of its family and the real file layout.

It has well under a million weights.

Its weights are random and its tokenizer is trained on the sentences it is given; everything else (special
tokens, chat template, positions, window attention) is as in the checkpoints from the hub, so what runs on it
runs on them. It knows nothing until it is trained, and it is no distillation of anything.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, cast

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from eva_lightning.policy.pixels import ImageSettings
from eva_lightning.policy.tiny_shapes import HEAD, SHAPES, Shape

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

# Qwen's own: contractions, words with the sign before them, single digits, signs, line ends, spaces.
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def build_tiny(
    folder: str | Path,
    *,
    corpus: Iterable[str],
    seed: int = 0,
    hidden: int = 128,
    layers: int = 2,
    vocab: int = 768,
    rows: int | None = None,
    numbers: int = 0,
    likeness: float = 0.0,
    family: Literal["qwen2_5_vl", "qwen3", "qwen3_vl"] = "qwen2_5_vl",
) -> Path:
    """Write a tiny checkpoint of a family to `folder`, the same bytes for the same arguments.

    The tokens are learned from `corpus`; `vocab` counts all of them but whole `numbers`. These, below it, are
    tokens of their own, whose vectors begin as waves of their value, and words are then read and written by
    the same weights: a small policy copies a time in one step, and misses it by little first. 0 leaves digits
    single, as Qwen's are. `likeness` is how far attention begins with heads that look for what is like them
    and pass it on, instead of at random: to find a time and copy it then takes hundreds of steps, and not
    thousands. `rows` is the height of the head, a multiple of 64; None is that of the tokens, rounded up.
    """
    if not 0 <= likeness <= 1:
        raise ValueError(f"likeness is {likeness}: want a share between 0 and 1")
    if hidden % (2 * HEAD):
        raise ValueError(f"hidden is {hidden}: want a multiple of {2 * HEAD}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shape = SHAPES[family]
    tokenizer = _train_tokenizer(corpus, vocab, numbers, shape)
    ids = {token: tokenizer.get_vocab()[token] for token in SPECIALS}
    config = shape.config(ids, len(tokenizer) if rows is None else rows - 1, hidden, layers)
    config.tie_word_embeddings = numbers > 0
    model = _random_model(shape, config, seed)
    _liken(model, likeness)
    _number(model, [tokenizer.get_vocab()[str(number)] for number in range(numbers)])
    model.generation_config.eos_token_id = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    _save_quietly(model, folder)
    tokenizer.save_pretrained(folder)
    _write_processors(folder, shape)
    return folder


def _train_tokenizer(
    corpus: Iterable[str], vocab: int, numbers: int, shape: Shape
) -> PreTrainedTokenizerFast:
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
        vocab_size=vocab - len(SPECIALS) - len(shape.words),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(corpus, trainer)
    bpe.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIALS])
    bpe.add_tokens([AddedToken(token, normalized=False) for token in shape.words])
    bpe.add_tokens([AddedToken(str(number), normalized=False) for number in range(10, numbers)])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=list(SPECIALS),
        model_max_length=32768,
        clean_up_tokenization_spaces=False,
        chat_template=shape.template,
    )


def _random_model(shape: Shape, config: PreTrainedConfig, seed: int) -> PreTrainedModel:
    """Weights from `seed` alone, wide enough for 128 channels.

    With the usual 0.02 a narrow model stands still.
    """
    model: PreTrainedModel = shape.model(config)
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if weight.ndim > 1:
                wide = WIDE if "embed_tokens" in name else weight[0].numel() ** -0.5
                weight.normal_(0.0, wide, generator=dice)
            elif name.endswith("bias"):
                weight.zero_()
    return model


def _liken(model: PreTrainedModel, likeness: float) -> None:
    """Draw the questions of each head towards its keys, and its output towards its values turned back.

    Trained models end up like that (mimetic initialisation); a tiny one takes thousands of steps to get
    there.
    """
    for layer in model.get_decoder().layers:  # type: ignore[no-untyped-call]
        heads = layer.self_attn
        with torch.no_grad():
            for query, out, key, value in zip(
                heads.q_proj.weight.split(HEAD),
                heads.o_proj.weight.split(HEAD, dim=1),
                _shared(heads.k_proj.weight, heads.q_proj.weight),
                _shared(heads.v_proj.weight, heads.q_proj.weight),
                strict=True,
            ):
                query.lerp_(key, likeness)
                out.lerp_(value.T, likeness)


def _shared(weight: Tensor, queries: Tensor) -> list[Tensor]:
    """For each head that asks, the part of the weight that it shares with its neighbours."""
    parts, heads = len(weight) // HEAD, len(queries) // HEAD
    places = [head * parts // heads * HEAD for head in range(heads)]
    return [weight[place : place + HEAD] for place in places]


def _number(model: PreTrainedModel, ids: list[int]) -> None:
    """Let the vectors of numbers begin as waves of their value, from 3 numbers long to twice all of them."""
    words = cast(Tensor, model.get_input_embeddings().weight)
    half = words.shape[1] // 2
    lengths = torch.logspace(math.log10(3), math.log10(2 * len(ids) + 4), half)
    phases = 2 * math.pi * torch.arange(len(ids))[:, None] / lengths
    with torch.no_grad():
        words[ids] = WIDE * 2**0.5 * torch.cat([phases.cos(), phases.sin()], dim=1)


def _save_quietly(model: PreTrainedModel, folder: Path) -> None:
    shown = logging.is_progress_bar_enabled()  # a bar for one file of 3 MB is noise
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    if shown:
        logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _write_processors(folder: Path, shape: Shape) -> None:
    file = folder / "tokenizer_config.json"
    row = json.loads(file.read_text())
    row |= {"tokenizer_class": "Qwen2Tokenizer"}
    if shape.images is not None:
        row |= {"processor_class": shape.processor}
        _write_image_processors(folder, shape.processor, shape.video_processor, shape.images)
    file.write_text(json.dumps(row, indent=2) + "\n")


def _write_image_processors(
    folder: Path, processor: str, video_processor: str, images: ImageSettings
) -> None:
    shared = {
        "processor_class": processor,
        "size": {"shortest_edge": images.square**2, "longest_edge": images.square**2 * 1280},
        "patch_size": images.side,
        "temporal_patch_size": images.times,
        "merge_size": images.merge,
        "image_mean": list(images.mean),
        "image_std": list(images.std),
    }
    image = {**shared, "image_processor_type": "Qwen2VLImageProcessor"}
    video = {**shared, "video_processor_type": video_processor}
    (folder / "preprocessor_config.json").write_text(json.dumps(image, indent=2) + "\n")
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video, indent=2) + "\n")
