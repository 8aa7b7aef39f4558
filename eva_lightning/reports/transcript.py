"""A trajectory as text for a person: what was planned, called, seen and answered, and its cost in tokens."""

from __future__ import annotations

from eva_lightning.records import FrameRef, Observation, Trajectory


def transcript(trajectory: Trajectory) -> str:
    """The whole conversation after the question, one block a turn."""
    blocks = [f"Question: {trajectory.task.text}"]
    for number, turn in enumerate(trajectory.turns, start=1):
        blocks.append(f"[{number}] agent\n{_indented(turn.text.strip() or '(nothing)')}")
        if turn.observation is not None:
            blocks.append(f"[{number}] world\n{_indented(_seen(turn.observation))}")
    blocks += [f"Fault: {fault}" for fault in trajectory.faults]
    said = "(none)" if trajectory.answer is None else trajectory.answer
    blocks.append(f"Answer: {said}   stop: {trajectory.stop}")
    blocks.append(ledger_line(trajectory))
    return "\n\n".join(blocks)


def ledger_line(trajectory: Trajectory) -> str:
    """Where the tokens went, on one line."""
    ledger = trajectory.ledger
    looks = f"{len(trajectory.frames)} frames in {trajectory.rounds} rounds"
    if not trajectory.turns:
        return f"Tokens: none; {looks}"
    if not trajectory.prompt_ids:
        return f"Tokens: visual {ledger.visual} (the server keeps its text tokens to itself); {looks}"
    return (
        f"Tokens: {ledger.total} = prompt {ledger.prompt} + written {ledger.written}"
        f" + tool text {ledger.tool} + visual {ledger.visual}; {looks}"
    )


def _seen(observation: Observation) -> str:
    """Frames by time and size; the words only where something went wrong."""
    lines = [_frames(observation.frames)] if observation.frames else []
    if observation.frames_cut:
        lines.append(f"({observation.frames_cut} frames left out: token budget)")
    if observation.error:
        lines.append(f"Error: {observation.error}")
    return "\n".join(lines) or "".join(part for part in observation.parts if isinstance(part, str))


def _frames(frames: tuple[FrameRef, ...]) -> str:
    sizes = sorted({(frame.width, frame.height) for frame in frames})
    shape = ", ".join(f"{width}x{height}" for width, height in sizes)
    times = ", ".join(f"{frame.time:.1f}" for frame in frames[:16]) + (", ..." if len(frames) > 16 else "")
    tokens = sum(frame.visual_tokens for frame in frames)
    return f"{len(frames)} frames of {shape} ({tokens} visual tokens) at {times} s"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
