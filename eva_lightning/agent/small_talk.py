"""Small talk: made-up conversations of a video agent, from which a tiny policy learns its tokens.

Their words are those it will meet, in the spellings in which it meets them; nothing is learned from them but
tokens.
"""

from __future__ import annotations

import random
from collections.abc import Iterator


def agent_text() -> Iterator[str]:
    """Conversations of a video agent, for the tokens: the words it meets, in the spellings it meets them."""
    dice = random.Random(0)
    colours = "red green blue yellow white black orange purple pink grey brown cyan".split()
    things = (
        "circle square triangle star cross ring bar arrow dog cat car ball door person text number".split()
    )
    events = "appears disappears moves left right up down stops turns flashes grows shrinks is shown".split()
    for _ in range(1500):
        start, length, frames = dice.randrange(300), dice.randrange(1, 60), dice.choice((1, 2, 4, 8, 16))
        thing, event = f"{dice.choice(colours)} {dice.choice(things)}", dice.choice(events)
        letter, resize, end = dice.choice("ABCD"), dice.choice((0.1, 0.25, 0.5, 1.0)), start + length
        yield f"The video is {end} seconds long. Its size is {start}x{length}.\n"
        yield f"At which second does the {thing} {event}? What is shown after it? Which colour is it?\n"
        yield f"How many times does it appear between {start} and {end} seconds?\nA. the {thing}\nB. {start}"
        yield f"<think>I first look at the whole video, then at {start}.</think>\nPlan: look, then answer."
        yield (
            f'<tool_call>{{"tool": "frame_select", "arguments": {{"start_time": {start}, "end_time": {end}, '
            f'"nframes": {frames}, "resize": {resize}}}}}</tool_call>'
        )
        yield f'{{"name": "video_clip", "arguments": {{"clip": "a", "begin": {start}, "end": {end}}}}}'
        yield f"Frame {frames} at [00:{start % 60:02d}]: Frame {frames} at {start} seconds: {thing}\n"
        yield f"I see the {thing} at {start} seconds. Now I know. The answer is {letter}."
        yield f"<answer>{letter}</answer><answer>{start}</answer><answer>{thing}</answer>"
