"""The ShareGPT form, as LLaMA-Factory trains on it.

A row has `conversations` of from/value with <image> in the words, `system`, `images`, `kto_tag`.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from eva_lightning.data.exchange.messages import messages

TAGS = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


def to_row(conversation: Conversation) -> dict[str, Any]:
    """A conversation as a row."""
    said, system = conversation.said, ""
    if said and said[0].role == "system" and None not in said[0].pieces:
        system = said[0].spelled
        said = said[1:] if system else said
    row: dict[str, Any] = {
        "conversations": [{"from": TAGS[one.role], "value": one.spelled} for one in said],
        "system": system,
    }
    if conversation.images is not None:
        row["images"] = list(conversation.images)
    if conversation.mark is not None:
        row["kto_tag"] = conversation.mark
    if conversation.extra is not None:
        row[EXTRA] = conversation.extra
    return row


def from_row(row: Mapping[str, Any]) -> Conversation:
    """The conversation of a row."""
    refuse_what_is_not_read(row)
    said = messages(row["conversations"], "conversations")
    if isinstance(row.get("system"), str) and row["system"] and not (said and said[0].role == "system"):
        said = [Said(role="system", pieces=(row["system"],)), *said]
    images = paths(row["images"] if "images" in row else row.get("image"))
    return Conversation(
        said=placed(said, images),
        images=images,
        mark=marked(row, "kto_tag"),
        extra=extra_of(row),
    )


def dataset_entry(file_name: str, *, images: bool, marks: bool) -> dict[str, Any]:
    """What LLaMA-Factory's dataset_info.json says of a file of these rows."""
    columns = {"messages": "conversations", "system": "system"}
    columns |= {"images": "images"} if images else {}
    columns |= {"kto_tag": "kto_tag"} if marks else {}
    return {"file_name": file_name, "formatting": "sharegpt", "columns": columns}
