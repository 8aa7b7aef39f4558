"""A teacher behind a real HTTP server: it answers /v1/chat/completions as the oracle of a world would, from
the text and the pictures of the request alone.
"""

import base64
import io
import re

from PIL import Image

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.data.synthesis.teachers import Oracle
from eva_lightning.engines.base import Context
from eva_lightning.records import FrameRef, Message

LABEL = re.compile(r"at (\d+) seconds:$")


class OracleServer:
    """A script for `serving`; no two questions of its world may be worded alike. With `wrong` about one of so
    many trajectories guesses, by the seed of its first turn."""

    def __init__(self, world, wrong=0, pause=lambda number: None):
        self.world, self.wrong, self.pause = world, wrong, pause
        self.dialect = EvaDialect(timestamps="seconds")
        self.oracle = Oracle(world.scripts, world.tasks, self.dialect)

    def __call__(self, number, body):
        self.pause(number)
        text = self.turn(body)
        usage = {"prompt_tokens": 1000, "completion_tokens": 10}
        choice = {"message": {"content": text}, "finish_reason": "stop"}
        return 200, {"choices": [choice], "usage": usage}

    def turn(self, body):
        """What the oracle says to a conversation."""
        said = [message for message in body["messages"] if message["role"] == "assistant"]
        if self.wrong and not said and body["seed"] % self.wrong == 0:
            return self.dialect.reply("a guess")
        user = next(message["content"] for message in body["messages"] if message["role"] == "user")
        words = user if isinstance(user, str) else user[-1]["text"]
        (task,) = [task for task in self.world.tasks if words.endswith(task.text.strip())]
        messages = tuple(self.message(task, message) for message in body["messages"])
        return self.oracle(Context(messages=messages, ids=(), pixels=None, task_id=task.id))

    def message(self, task, message):
        """A message of the request as a record: pictures become frames at the times of their labels."""
        content = message["content"]
        if isinstance(content, str):
            return Message(role=message["role"], parts=(content,))
        parts, second = [], 0.0
        for part in content:
            if part["type"] == "text":
                found = LABEL.search(part["text"])
                second = float(found[1]) if found else second
                parts.append(part["text"])
            else:
                png = base64.b64decode(part["image_url"]["url"].partition(",")[2])
                width, height = Image.open(io.BytesIO(png)).size
                parts.append(FrameRef(clip=task.clips[0].id, time=second, height=height, width=width))
        return Message(role=message["role"], parts=tuple(parts))
