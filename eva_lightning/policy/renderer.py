"""Messages to token ids and back, append-only: what the engine sampled is never tokenised a second time.

The checkpoint's own chat template decides every character between the turns; this file only cuts the
rendered text at the template's special tokens and encodes what lies between. It is no template of its own,
and it reads no pixels: a frame is one image token here (the collapsed track, which engines read) until
`expand` gives it one per visual token (the expanded track, which the trainer reads).

Text of users and tools can not speak with the template's voice: a question that contains `<|im_end|>` becomes
those ten characters, not the end of a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from eva_lightning.faults import UsageError, first_line
from eva_lightning.policy.families import family_named
from eva_lightning.records import FrameRef, Message


class Renderer:
    """One checkpoint's way of writing a conversation as token ids."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        template: str | None = None,
        vocab_size: int | None = None,
        image_token: str | None = None,
        square: int | None = None,
    ) -> None:
        """
        Args:
            tokenizer: The checkpoint's own.
            template: Replaces the tokenizer's chat template.
            vocab_size: Height of the model's head; None is that of the tokenizer.
            image_token: Special token that stands for one visual token; None if the model sees nothing.
            square: Side in pixels of the square that such a token covers; None if the model sees nothing.
        """
        self._tokenizer = tokenizer
        self._template = template or tokenizer.chat_template
        if not isinstance(self._template, str):
            raise UsageError(f"{tokenizer.name_or_path or 'the tokenizer'} has no chat template")
        added = {str(token): id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
        if image_token is not None and image_token not in added:
            raise UsageError(
                f"{tokenizer.name_or_path or 'the tokenizer'} has no special token {image_token}"
            )
        self.square = square
        """Side in pixels of the square that one visual token covers; None if the model sees nothing."""
        self._specials: dict[str, int] = added
        longest_first = sorted(added, key=len, reverse=True)
        self._border = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
        # A private copy that reads special strings as plain text; never changed, so threads may share it.
        self._plain: Tokenizer = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._plain.encode_special_tokens = True
        self._plain.no_padding()
        self._plain.no_truncation()
        self.image_token_id: int | None = None if image_token is None else added[image_token]
        """Id of the token that stands for a frame; None if the model sees nothing."""
        self.end_ids: tuple[int, ...] = (self._end_of_turn(),)
        """Ids that end a turn: what the template writes after an assistant's words."""
        outside = range(len(tokenizer), vocab_size or len(tokenizer))
        self.banned_ids: tuple[int, ...] = tuple(sorted({*added.values(), *outside} - {*self.end_ids}))
        """Ids no engine may sample: special tokens other than the end of a turn, and rows without a word."""

    @classmethod
    def from_pretrained(cls, path: str | Path, *, revision: str = "main") -> Renderer:
        """The renderer of a checkpoint: a folder or a name on the model hub."""
        try:
            config = AutoConfig.from_pretrained(str(path), revision=revision)
            tokenizer = AutoTokenizer.from_pretrained(str(path), revision=revision)
        except (OSError, ValueError) as problem:
            raise UsageError(f"no tokenizer can be read from {path}: {first_line(problem)}") from None
        family = family_named(config.model_type, path)
        return cls(
            tokenizer,
            vocab_size=config.get_text_config().vocab_size,
            image_token=family.image_token,
            square=family.images.square if family.images else None,
        )

    def opening(self, messages: Sequence[Message]) -> list[int]:
        """Ids of the messages before a turn, up to where the model begins to write.

        One image token a frame.
        """
        mark = _unused(messages, 1)[0]
        ids = self._encode_rendered(self._render(messages, mark), mark)
        self._check_frames(ids, [frame for message in messages for frame in message.frames])
        return ids

    def follow(self, before: Sequence[Message], observation: Message, cut: bool) -> list[int]:
        """Ids between the end of a sampled turn and the start of the next one.

        `before` are the messages up to that turn, `observation` the one after it. A turn that ended by itself
        already holds its end token; one that was cut gets it here, where no loss falls.
        """
        mark, words = _unused([*before, observation], 2)
        turn = Message(role="assistant", parts=(words,))
        text = self._render([*before, turn, observation], mark)
        if text.count(words) != 1:
            raise UsageError("the chat template drops or repeats the words of an assistant turn")
        ids = self._encode_rendered(text.split(words)[1], mark)
        if ids[:1] != [*self.end_ids]:
            raise UsageError("the chat template writes something between an assistant's words and their end")
        self._check_frames(ids, observation.frames)
        return ids if cut else ids[1:]

    def encode(self, text: str) -> list[int]:
        """Ids of plain text: strings that look like special tokens stay strings."""
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The words of some ids, special tokens left out."""
        text = self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def turn_ids(self, text: str) -> list[int]:
        """Ids of a turn that nobody sampled (a demonstration): the text and the end of the turn."""
        return [*self.encode(text), *self.end_ids]

    def count(self, text: str) -> int:
        """How many tokens a text takes."""
        return len(self.encode(text))

    def expand(self, ids: Sequence[int], frames: Sequence[FrameRef]) -> list[int]:
        """Collapsed to expanded track: the image token of each frame, once per visual token."""
        self._check_frames(ids, frames)
        expanded: list[int] = []
        ahead = iter(frames)
        for i, token in enumerate(ids):
            if token != self.image_token_id:
                expanded.append(token)
                continue
            if i and ids[i - 1] == self.image_token_id:
                raise ValueError(
                    f"two image tokens touch at {i - 1}: a frame needs a border, or these are expanded"
                )
            expanded += [token] * next(ahead).visual_tokens
        return expanded

    def collapse(self, ids: Sequence[int]) -> list[int]:
        """Expanded to collapsed track: `collapse(expand(ids, frames)) == ids`."""
        pad = self.image_token_id
        return [token for i, token in enumerate(ids) if token != pad or i == 0 or ids[i - 1] != pad]

    def _render(self, messages: Sequence[Message], mark: str) -> str:
        rows: list[Any] = [
            {"role": message.role, "content": self._content(message, mark)} for message in messages
        ]
        return str(
            self._tokenizer.apply_chat_template(
                rows, chat_template=self._template, tokenize=False, add_generation_prompt=True
            )
        )

    def _content(self, message: Message, mark: str) -> str | list[dict[str, Any]]:
        """A message as templates expect it.

        `mark` breaks up special strings, so that the rendered text has only the template's own;
        `_encode_rendered` takes it out again.
        """
        content: list[dict[str, Any]] = []
        text = ""
        # neighbouring texts are joined: half a special string is one, too
        for part in (*message.parts, None):
            if isinstance(part, str):
                text += part
                continue
            if text:
                safe = self._border.sub(lambda found: found[0][0] + mark + found[0][1:], text)
                content.append({"type": "text", "text": safe})
                text = ""
            if part is not None:
                content.append({"type": "image"})
        if message.frames:
            return content
        return str(content[0]["text"]) if content else ""  # templates of text models know strings only

    def _encode_rendered(self, text: str, mark: str) -> list[int]:
        """Ids of rendered text.

        Tokenizers cut at special tokens before anything else, so this is what the tokenizer itself says of
        the whole.
        """
        ids: list[int] = []
        for i, piece in enumerate(self._border.split(text)):
            if i % 2:
                ids.append(self._specials[piece])
            elif piece:
                ids += self.encode(piece.replace(mark, ""))
        return ids

    def _end_of_turn(self) -> int:
        said = [Message(role="user", parts=("?",)), Message(role="assistant", parts=("\ue000",))]
        after = self._render(said, "\ue001").partition("\ue000")[2]
        border = self._border.match(after)
        if border is None:
            raise UsageError("the chat template does not end an assistant turn with a special token")
        return self._specials[border[0]]

    def _check_frames(self, ids: Sequence[int], frames: Sequence[FrameRef]) -> None:
        found = sum(token == self.image_token_id for token in ids)
        if found != len(frames):
            raise ValueError(f"{found} image tokens for {len(frames)} frames")


def _unused(messages: Sequence[Message], count: int) -> list[str]:
    """Characters of the private use area that occur in no message."""
    taken = set().union(*(message.text for message in messages))
    free = (chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in taken)
    return [next(free) for _ in range(count)]
