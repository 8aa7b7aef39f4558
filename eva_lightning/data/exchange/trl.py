"""The forms TRL trains on: `messages` with `images` for SFT; `prompt`, `completion`, `label` for KTO.

Messages have typed parts. What the agent observes is said by the user, because TRL gives images to nobody
else; only a prompt may hold images, so the KTO form puts everything before the last turn there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eva_lightning.data.exchange.conversation import (
    EXTRA,
    Conversation,
    Said,
    extra_of,
    marked,
    paths,
    placed,
    refuse_what_is_not_read,
)
from eva_lightning.data.exchange.messages import PICTURES, messages


def to_row(conversation: Conversation) -> dict[str, Any]:
    """A conversation as a row for SFT."""
    row: dict[str, Any] = {"messages": _spelled(conversation)}
    if conversation.mark is not None:
        row["label"] = conversation.mark
    return row | _beside(conversation)


def to_kto_row(conversation: Conversation) -> dict[str, Any]:
    """A conversation as a row for KTO: the last turn is what is judged."""
    rows = _spelled(conversation)
    last = len(rows) - 1 if rows and rows[-1]["role"] == "assistant" else len(rows)
    row = {"prompt": rows[:last], "completion": rows[last:], "label": conversation.mark}
    return row | _beside(conversation)


def from_row(row: Mapping[str, Any]) -> Conversation:
    """The conversation of a row of either form."""
    refuse_what_is_not_read(row)
    if "messages" in row:
        said = messages(row["messages"], "messages")
    else:
        said = [*_side(row, "prompt", "user"), *_side(row, "completion", "assistant")]
    images = paths(row["images"] if "images" in row else row.get("image", _inside(row)))
    return Conversation(
        said=placed(said, images),
        images=images,
        mark=marked(row, "label" if "label" in row else "kto_tag"),
        extra=extra_of(row),
    )


def _inside(row: Mapping[str, Any]) -> list[Any] | None:
    """Images that stand in the messages themselves."""
    said = [one for field in ("messages", "prompt", "completion") for one in _listed(row.get(field))]
    parts = [part for one in said for part in _listed(one.get("content"))]
    shown = [part.get("image") or part.get("image_url") for part in parts if part.get("type") in PICTURES]
    return [one.get("url") if isinstance(one, dict) and "url" in one else one for one in shown if one] or None


def _listed(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _side(row: Mapping[str, Any], field: str, speaker: str) -> Sequence[Said]:
    """Prompt or completion: messages, or one text."""
    value = row.get(field)
    if isinstance(value, str):
        return messages([{"role": speaker, "content": value}], field)
    return messages(value, field)


def _spelled(conversation: Conversation) -> list[dict[str, Any]]:
    """Every message with a list of parts, so that all rows have the same columns."""
    begin = conversation.begin
    return [
        {
            "role": "user" if place >= begin and one.role == "tool" else one.role,
            "content": [
                {"type": "image", "text": None} if piece is None else {"type": "text", "text": piece}
                for piece in one.pieces
            ],
        }
        for place, one in enumerate(conversation.said)
    ]


def _beside(conversation: Conversation) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if conversation.images is not None:
        row["images"] = list(conversation.images)
    if conversation.extra is not None:
        row[EXTRA] = conversation.extra
    return row
