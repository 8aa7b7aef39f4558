"""Conversations for the tests: with and without frames, as messages and as trajectories."""

from dataclasses import replace

from eva_lightning.records import Clip, FrameRef, Message, Observation, Task, Trajectory, Turn


def frame(time=1.0, rows=2, columns=3):
    return FrameRef(clip="v", time=time, height=28 * rows, width=28 * columns)


def user(*parts):
    return Message(role="user", parts=parts)


def tool(*parts):
    return Message(role="tool", parts=parts)


def assistant(text):
    return Message(role="assistant", parts=(text,))


def plain(messages):
    """The same messages as a chat template takes them."""
    rows = []
    for message in messages:
        content = [
            {"type": "text", "text": p} if isinstance(p, str) else {"type": "image"} for p in message.parts
        ]
        rows.append({"role": message.role, "content": content if message.frames else message.text})
    return rows


LOOK = '<tool_call>{"tool": "frame_select", "arguments": {"start_time": 12}}</tool_call>'
CONVERSATION = (
    user("The video is 99 seconds long.\nWhat colour is the circle?\nA. red\nB. blue"),
    assistant(LOOK),
    tool("Frame 0 at [00:12]: ", frame(12.0), "Frame 1 at [00:13]: ", frame(13.0, 4, 4), "\n"),
    assistant("I see a red circle. Now closer.\n" + LOOK),
    tool(frame(14.0, 1, 1), frame(15.0, 2, 5)),
    assistant("<answer>A</answer>"),
)


def trajectory(renderer, messages=CONVERSATION, cut=()):
    """A conversation as if an engine had written it; the turns numbered in `cut` lack their end."""
    task = Task(id="t", clips=(Clip(id="v"),), question="What colour?")
    record = Trajectory(task=task, prompt=(messages[0],), prompt_ids=renderer.opening(messages[:1]))
    for i in range(1, len(messages), 2):
        cut_here = (i // 2) in cut
        ids = renderer.turn_ids(messages[i].text)
        ids = ids[:-1] if cut_here else ids
        turn = Turn(text=messages[i].text, token_ids=ids, logprobs=[0.0] * len(ids), cut=cut_here)
        if i + 1 < len(messages):
            turn = replace(
                turn,
                observation=Observation(parts=messages[i + 1].parts),
                observation_ids=renderer.follow(messages[:i], messages[i + 1], cut=cut_here),
            )
        record.turns.append(turn)
    return record
