"""Shapes of tiny policies: for each family its class, a small config, its template, its processors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from transformers import (
    PreTrainedConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from eva_lightning.policy.families import family_named
from eva_lightning.policy.pixels import ImageSettings

HEAD = 32
"""Width of an attention head: the narrowest that vLLM's CPU attention accepts."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a tiny policy of one family is made of."""

    family: str
    """What config.json calls it."""
    model: Callable[..., Any]
    """Its class in transformers."""
    config: Callable[[Mapping[str, int], int, int, int], PreTrainedConfig]
    """Ids of the special tokens, words, width and layers to a config."""
    template: str
    """Chat template, as in the checkpoints from the hub as far as we use it."""
    words: tuple[str, ...] = ("<tool_call>", "</tool_call>")
    """Single tokens that are no control tokens: a model may write them, a user may, too."""
    processor: str = ""
    """Class of transformers that reads frames and text together."""
    video_processor: str = ""
    """Class of transformers that reads videos, which we never call but its files name."""

    @property
    def images(self) -> ImageSettings | None:
        """How it wants its frames; None if it sees nothing."""
        return family_named(self.family, "a tiny policy").images


def _text(ids: Mapping[str, int], words: int, hidden: int, layers: int) -> dict[str, Any]:
    return {
        # padded like the large ones, so that there are rows without a word
        "vocab_size": (words // 64 + 1) * 64,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // HEAD,
        "num_key_value_heads": hidden // HEAD // 2,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }


def _marks(ids: Mapping[str, int]) -> dict[str, Any]:
    return {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "tie_word_embeddings": False,
    }


def _qwen25_vl(ids: Mapping[str, int], words: int, hidden: int, layers: int) -> PreTrainedConfig:
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]}
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
    text = _text(ids, words, hidden, layers) | {"rope_parameters": rope}
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision, **_marks(ids))


def _qwen3(ids: Mapping[str, int], words: int, hidden: int, layers: int) -> PreTrainedConfig:
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    text = _text(ids, words, hidden, layers)
    return Qwen3Config(**text, head_dim=HEAD, rope_parameters=rope, tie_word_embeddings=False)


def _qwen3_vl(ids: Mapping[str, int], words: int, hidden: int, layers: int) -> PreTrainedConfig:
    rope = {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": [6, 5, 5],
        "mrope_interleaved": True,
    }
    vision = {
        "depth": 3,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 4,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1],
        "out_hidden_size": hidden,
    }
    text = _text(ids, words, hidden, layers) | {"head_dim": HEAD, "rope_parameters": rope}
    return Qwen3VLConfig(text_config=text, vision_config=vision, **_marks(ids))


QWEN25_VL_TEMPLATE = (
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

# What tools say is a user's message between marks; several in a row share one.
_FROM_TOOLS = (
    "{% elif message.role == 'tool' %}"
    "{% if loop.first or messages[loop.index0 - 1].role != 'tool' %}<|im_start|>user{% endif %}"
    "{{ '\n<tool_response>\n' }}{{ said(message.content) }}{{ '\n</tool_response>' }}"
    "{% if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{ '<|im_end|>\n' }}{% endif %}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

QWEN3_TEMPLATE = (
    "{% macro said(content) %}{{ content }}{% endmacro %}"
    "{% set ns = namespace(asked=messages|length - 1, open=true) %}"
    "{% for message in messages[::-1] %}"
    "{% if ns.open and message.role == 'user' and not message.content.startswith('<tool_response>') %}"
    "{% set ns.open = false %}{% set ns.asked = messages|length - 1 - loop.index0 %}{% endif %}{% endfor %}"
    "{% for message in messages %}"
    "{% if message.role in ('system', 'user') %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% elif message.role == 'assistant' %}"
    "{% set thought = message.content.split('</think>')[0].split('<think>')[-1].strip('\n')"
    " if '</think>' in message.content else '' %}"
    "{% set rest = message.content.split('</think>')[-1].lstrip('\n') %}"
    "{{ '<|im_start|>assistant\n' }}"
    # thoughts of earlier questions are forgotten; the last message always has a place for them
    "{% if loop.index0 > ns.asked and (loop.last or thought) %}"
    "{{ '<think>\n' + thought + '\n</think>\n\n' }}{% endif %}"
    "{{ rest + '<|im_end|>\n' }}"
) + _FROM_TOOLS

QWEN3_VL_TEMPLATE = (
    "{% macro said(content) %}"
    "{% if content is string %}{{ content }}{% else %}{% for part in content %}"
    "{% if part.type == 'image' or 'image' in part or 'image_url' in part %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part.type == 'video' or 'video' in part %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part.text }}{% endif %}{% endfor %}{% endif %}{% endmacro %}"
    "{% for message in messages %}"
    "{% if message.role in ('system', 'user', 'assistant') %}"
    "{{ '<|im_start|>' + message.role + '\n' }}{{ said(message.content) }}{{ '<|im_end|>\n' }}"
) + _FROM_TOOLS

THOUGHTS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")

SHAPES: dict[str, Shape] = {
    shape.family: shape
    for shape in (
        Shape(
            family="qwen2_5_vl",
            model=Qwen2_5_VLForConditionalGeneration,
            config=_qwen25_vl,
            template=QWEN25_VL_TEMPLATE,
            processor="Qwen2_5_VLProcessor",
            video_processor="Qwen2VLVideoProcessor",
        ),
        Shape(
            family="qwen3",
            model=Qwen3ForCausalLM,
            config=_qwen3,
            template=QWEN3_TEMPLATE,
            words=THOUGHTS,
        ),
        Shape(
            family="qwen3_vl",
            model=Qwen3VLForConditionalGeneration,
            config=_qwen3_vl,
            template=QWEN3_VL_TEMPLATE,
            words=THOUGHTS,
            processor="Qwen3VLProcessor",
            video_processor="Qwen3VLVideoProcessor",
        ),
    )
}
"""By the name of the family."""
