"""Texts as no sane model writes them, the same ones for the same seed.

Pieces of what models write (tags, calls, answers, clocks, fences, rows of a teacher) are put together, cut,
repeated, nested and mixed with what JSON and Unicode have at their edges. A text that led somewhere new is
kept, and later ones are made of it.
"""

import json
import random

CALL = {
    "tool": "frame_select",
    "arguments": {"start_time": 1, "end_time": 20.5, "nframes": 4, "resize": 0.5},
}
STRETCH = {"clip": "v", "start": 0, "end": 20.5, "frames": 4}
ROW = {"question": "Which ink?", "answer": "pink", "start": 11, "end": 12.5}
CHAT = [{"from": "human", "value": "What colour?"}, {"from": "gpt", "value": "<answer>B</answer>"}]

SEEDS = (
    f"I plan.\n<tool_call>{json.dumps(CALL)}</tool_call>",
    f"<tool_call>{json.dumps([CALL, CALL])}</tool_call>",
    "<tool_call>"
    + json.dumps({"name": "frame_select", "parameters": json.dumps(CALL["arguments"])})
    + "</tool_call>",
    '<tool_call>{"tool": "frame_select", "arguments": {"start_time": "03:20", "end_time": "1:00:01.5", '
    '"nframes": "8", "resize": null, "video": 2}}</tool_call>',
    '<tool_call>\n{"tool":"frame_select","parameters":{"start_time":1,"end_time":2,"nframes":"3"}}\n</tool_call>',
    "<think>I look.</think>"
    '<tool_call>{"name": "get_video_clip_frame", "arguments": {"start_time": 1, "end_time": 20}}</tool_call>',
    "<think>I saw it.</think><answer>12.50 to 20.00</answer>",
    json.dumps(
        {"thought": "I look.", "action": "observe", "params": {"targets": [STRETCH], "focus": "Who?"}}
    ),
    "<think>\nso\n</think>\n"
    + json.dumps({"action": "observe", "targets": [STRETCH] * 3, "focus": "What is said?"}),
    '```json\n{"thought": "I listen.", "action": "listen", "clip": 1, "start": "00:03", "end": null}\n```',
    '{"thought": "\u2192", "action": "answer", "final_answer": ["A", "C\\n"]}',
    '{"action": "answer", "final_answer": [[1, 2.5], [3, 4]]}',
    "Summary: seen. <answer>B. a car</answer>",
    "The answer is (C).",
    "Answer: B",
    "option b",
    "A, C and D",
    "(B) > (A) -> C",
    "2->1->3",
    "from 00:10 to 00:20.5",
    "12.5 - 1:00:20 s",
    "about -1,234.5e3 times",
    "twelve",
    "a red car turns left behind the house",
    '```json\n{"verdict": "yes", "reason": "It is red."}\n```',
    '{"reason": "no", "verdict": " No "}',
    json.dumps([ROW, ROW | {"answer": 3}]),
    json.dumps([ROW | {"options": ["pink", "grey", "black"], "answer": "B"}]),
    "I am sorry, I can not do that.",
    json.dumps({"name": "zoom", "arguments": {"factor": 2}}),
    json.dumps({"conversations": CHAT, "system": "Look.", "kto_tag": True}),
    json.dumps({"version": 1, "turns": [{}], "frames": [], "parts": {"0": ["a", None]}, "opening": 1}),
    json.dumps({"id": "t", "clips": [{"id": "v"}], "question": "Who?", "extra": {"evidence": [[1, 2]]}}),
)

PIECES = (
    *("<tool_call>", "</tool_call>", "<answer>", "</answer>", "<tool_", "</", "```json\n", "```", "<image>"),
    *("<think>", "</think>"),
    *("{", "}", "[", "]", '"', "'", "\\", ":", ",", ";", "(", ")", "*", ".", "-", ">", "\x00", "\x1c"),
    *(" ", "\n", "\r\n", "\t", "\u00a0", "\u2028", "\x85", "\ufeff"),
    *("é", "犬", "İ", "\u212a", "ﬁ", "١٢", "²", "😀", "\ud83d", "\ude00", "a\u0301"),
    *("\\ud800", "\\udc00\\ud800", "\\u0000", "\\x"),
    *("0", "1", "-0", "1e308", "-1e308", "1e999", "1e-320", "9" * 25, "NaN", "-Infinity", "Infinity", "0x1"),
    *("9" * 400, "9" * 5000, "1_000", "1.", ".5", "1:2:3:4", "99:99:99", "true", "null", "nan", "inf"),
    *(
        '"start_time": ',
        '"end_time": ',
        '"nframes": ',
        '"resize": ',
        '"tool": ',
        '"arguments": ',
        '"video": ',
    ),
    *(
        '"thought": ',
        '"action": ',
        '"params": ',
        '"final_answer": ',
        '"targets": ',
        '"frames": ',
        '"focus": ',
    ),
    *('"verdict": ', '"reason": ', '"question": ', '"options": ', '"answer": ', '"start": ', '"turns": '),
    *("Answer: ", "the answer is ", "option ", "choice:", "B", "b)", "yes", "y", "one ", "A, ", "->", " to "),
)
LARGE = 64 * 1024
"""Bytes of the longest text; a character outside of Latin takes several."""


class HostileWords:
    """An endless source of such texts."""

    def __init__(self, seed: int = 0, large: float = 0.01) -> None:
        """
        Args:
            seed: Its dice.
            large: Share of texts that are blown up to at most 64 kB.
        """
        self.dice, self.large = random.Random(seed), large
        self.kept = list(SEEDS)

    def keep(self, text: str) -> None:
        """Make later texts of this one as well."""
        if len(text) <= 2000:
            self.kept.append(text)

    def next(self) -> str:
        """Another one."""
        dice = self.dice
        text = dice.choice(self.kept)
        for _ in range(1 + int(dice.expovariate(0.5))):
            text = dice.choice(_CHANGES)(text, dice, self)[: LARGE // 16]
        if dice.random() < self.large:
            text = _blown_up(text, dice)
        return text if len(text) <= LARGE // 4 else _fitting(text)


def _fitting(text: str) -> str:
    return text.encode("utf-8", "surrogatepass")[:LARGE].decode("utf-8", "ignore")


def _blown_up(text: str, dice: random.Random) -> str:
    """A fragment of a text again and again where it stood, or a piece."""
    at, to = _place(text, dice)
    if dice.random() < 0.6:
        to = min(to, at + dice.randrange(1, 40))
    fragment = text[at:to] or dice.choice(PIECES)
    if dice.random() < 0.3:
        fragment = dice.choice(PIECES)
    size = dice.choice([4096, 16_384, LARGE])
    run = fragment * max((size - len(text)) // len(fragment), 1)
    return text[:at] + run + (text[at:] if dice.random() < 0.5 else "")


def _place(text: str, dice: random.Random) -> tuple[int, int]:
    at, to = sorted(dice.randrange(len(text) + 1) for _ in range(2))
    return at, to


def _cut(text: str, dice: random.Random, _: HostileWords) -> str:
    at, to = _place(text, dice)
    return text[:at] + text[to:]


def _end_early(text: str, dice: random.Random, _: HostileWords) -> str:
    return text[: dice.randrange(len(text) + 1)]


def _put(text: str, dice: random.Random, _: HostileWords) -> str:
    at, _to = _place(text, dice)
    return text[:at] + dice.choice(PIECES) + text[at:]


def _replace(text: str, dice: random.Random, _: HostileWords) -> str:
    at, to = _place(text, dice)
    return text[:at] + dice.choice(PIECES) + text[min(to, at + 8) :]


def _put_value(text: str, dice: random.Random, _: HostileWords) -> str:
    """Another value behind a colon of JSON."""
    colons = [at for at, sign in enumerate(text[:4096]) if sign == ":"]
    if not colons:
        return text
    at = dice.choice(colons) + 1
    end = min((found for sign in ",}" if (found := text.find(sign, at)) >= 0), default=len(text))
    value = dice.choice([dice.choice(PIECES), json.dumps(dice.choice(PIECES)), _value(dice, 3)])
    return text[:at] + value + text[end:]


def _value(dice: random.Random, depth: int) -> str:
    if not depth or dice.random() < 0.4:
        numbers = [dice.randrange(-5, 50), dice.uniform(-1e3, 1e3), 10 ** dice.randrange(400)]
        return json.dumps(dice.choice([*numbers, dice.choice(PIECES), None, True]))
    inside = [_value(dice, depth - 1) for _ in range(dice.randrange(3))]
    if dice.random() < 0.5:
        return f"[{', '.join(inside)}]"
    keys = dice.choices(["a", "video", "start_time", "\\u00e9", "tool", "x" * 70], k=len(inside))
    return "{" + ", ".join(f'"{key}": {one}' for key, one in zip(keys, inside, strict=True)) + "}"


def _repeat(text: str, dice: random.Random, _: HostileWords) -> str:
    at, to = _place(text, dice)
    return text[:at] + text[at:to] * dice.randrange(2, 8) + text[to:]


def _space(text: str, dice: random.Random, _: HostileWords) -> str:
    at, _to = _place(text, dice)
    return text[:at] + dice.choice([" ", "\n", "\t", "\r\n", "\u00a0"]) * dice.randrange(1, 60) + text[at:]


def _nest(text: str, dice: random.Random, _: HostileWords) -> str:
    at, to = _place(text, dice)
    opening, closing = dice.choice([("[", "]"), ('{"a":', "}"), ("<answer>", "</answer>"), ("(", ")")])
    levels = dice.choice([1, 2, 29, 33, 300, 600, 990])
    return text[:at] + opening * levels + text[at:to] + closing * levels + text[to:]


def _splice(text: str, dice: random.Random, source: HostileWords) -> str:
    other = dice.choice(source.kept)
    return text[: dice.randrange(len(text) + 1)] + other[dice.randrange(len(other) + 1) :]


def _join(text: str, dice: random.Random, source: HostileWords) -> str:
    return text + dice.choice(["", "\n", " "]) + dice.choice(source.kept)


def _pieces(text: str, dice: random.Random, _: HostileWords) -> str:
    return "".join(dice.choices(PIECES, k=dice.randrange(30)))


_CHANGES = (
    *(_cut, _end_early, _put, _put, _replace, _put_value, _put_value, _put_value),
    *(_repeat, _space, _nest, _splice, _join, _pieces),
)
