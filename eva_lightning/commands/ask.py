"""`eva ask VIDEO QUESTION`: one question, one video, one trajectory, printed as it reads. Trains and scores
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from json import dumps
from pathlib import Path

from eva_lightning.agent.rollout import Job, derive_seed, rollout
from eva_lightning.commands.arguments import run_command, want_one_or_more, want_zero_or_more
from eva_lightning.commands.engine_choice import DecoderChoice, Here, Timestamps, choose_engine, make_agent
from eva_lightning.faults import Fault, UsageError
from eva_lightning.files.encoding import encode
from eva_lightning.records import Clip, Task, Trajectory
from eva_lightning.reports.strip import save_strip
from eva_lightning.reports.transcript import transcript


def main(words: Sequence[str]) -> None:
    run_command(ask, words, "eva ask", positional=True)


def ask(
    video: str,
    question: str,
    model: str | None = None,
    engine: Here = "transformers",
    server: str | None = None,
    served_name: str | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    max_turns: int = 6,
    max_turn_tokens: int = 2048,
    max_tokens: int = 32_768,
    max_visual_tokens: int = 12_000,
    timestamps: Timestamps = "clock",
    decoder: DecoderChoice = "auto",
    frames: str | None = None,
    json: bool = False,
) -> None:
    """Ask a question about a video and print what the agent planned, watched and answered.

    Args:
        video: Path of the video file.
        question: The question; options of a multiple-choice question go into it, one a line.
        model: Folder or hub id of a Qwen2.5-VL checkpoint to run here.
        engine: Who writes with --model: transformers, or vllm, which is faster with many at once.
        server: Address of an OpenAI-compatible server to ask instead, for example http://localhost:8000.
        served_name: Name of the model on that server; by default its first one. OPENAI_API_KEY is sent if
            set.
        temperature: 0 takes the likeliest token.
        seed: Dice for temperatures above 0.
        max_turns: Messages the agent may write.
        max_turn_tokens: Tokens it may write in one message.
        max_tokens: Tokens of the whole conversation, frames included.
        max_visual_tokens: Tokens one look may cost, frame labels included.
        timestamps: How frame labels say the time: "[01:15]" or "75 seconds".
        decoder: Which video decoder to use; auto takes the GPU where there is one.
        frames: Save every frame that was watched to this PNG, a row for each look.
        json: Print the trajectory as one JSON object instead of text.
    """
    if not Path(video).is_file():
        raise UsageError(f"{video}: no such file; give the path of a video")
    if not question.strip():
        raise UsageError("the question is empty; ask something about the video")
    want_one_or_more(
        max_turns=max_turns,
        max_turn_tokens=max_turn_tokens,
        max_tokens=max_tokens,
        max_visual_tokens=max_visual_tokens,
    )
    want_zero_or_more(temperature=temperature)
    task = Task(id=Path(video).name, clips=(Clip(id="video", path=video),), question=question)
    agent = make_agent(
        choose_engine(model, server, served_name, engine),
        temperature=temperature,
        max_turns=max_turns,
        max_turn_tokens=max_turn_tokens,
        max_tokens=max_tokens,
        max_visual_tokens=max_visual_tokens,
        timestamps=timestamps,
        decoder=decoder,
    )
    try:
        job = Job(task=task, seed=derive_seed(seed, 0, task.id, 0))
        (trajectory,) = asyncio.run(rollout([job], agent))
        print(_as_json(trajectory) if json else transcript(trajectory))
        if frames is not None:
            clip = task.clips[0]
            count = save_strip(trajectory, lambda frame: agent.world.pixels(clip, frame), frames)
            if not json:
                print(f"Frames: {count} saved to {frames}" if count else "Frames: none watched, none saved")
    finally:
        agent.engine.close()
        agent.world.close()
    if trajectory.stop == "fault":
        raise Fault(trajectory.faults[-1])


def _as_json(trajectory: Trajectory) -> str:
    ledger = trajectory.ledger
    tokens = {**encode(ledger), "total": ledger.total}
    return dumps({**encode(trajectory), "tokens": tokens}, ensure_ascii=False)
