"""`eva ask VIDEO QUESTION`: one question, one video, one trajectory, printed as it reads.

Trains and scores nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from json import dumps
from pathlib import Path

from eva_lightning.agent.config import AgentConfig
from eva_lightning.agent.rollout import Job, derive_seed, rollout
from eva_lightning.commands.arguments import run_command
from eva_lightning.commands.engine_choice import (
    DecoderChoice,
    Here,
    choose_engine,
    make_agent,
    make_world,
    want_one,
)
from eva_lightning.faults import Fault, UsageError
from eva_lightning.files.encoding import encode
from eva_lightning.files.row_version import to_row
from eva_lightning.records import Clip, Task, Trajectory
from eva_lightning.reports.contact_sheet import save_contact_sheet
from eva_lightning.reports.transcript import transcript

GREEDY = AgentConfig(temperature=0.0)


def main(words: Sequence[str]) -> None:
    run_command(ask, words, "eva ask", positional=True)


def ask(
    video: str,
    question: str,
    model: str | None = None,
    engine: Here = "transformers",
    server: str | None = None,
    served_name: str | None = None,
    agent: AgentConfig = GREEDY,
    seed: int = 0,
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
        agent: How it speaks, what it can do, when it must end.
        seed: Dice for temperatures above 0.
        decoder: Which video decoder to use; auto takes the GPU where there is one.
        frames: Save every frame that was watched to this PNG, a row for each look.
        json: Print the trajectory as one JSON object instead of text.
    """
    if not Path(video).is_file():
        what = "is a folder" if Path(video).is_dir() else "no such file"
        raise UsageError(f"{video}: {what}; give the path of a video")
    if not question.strip():
        raise UsageError("the question is empty; ask something about the video")
    clip = Clip(id="video", path=video)
    task = Task(id=Path(video).name, clips=(clip,), question=question)
    want_one(model, server)
    world = make_world(agent, decoder)
    try:
        world.describe(clip)  # what is no video is told now, and not after minutes of loading
        who = make_agent(
            replace(agent, world=world), choose_engine(model, server, served_name, engine), decoder
        )
    except BaseException:
        world.close()
        raise
    try:
        job = Job(task=task, seed=derive_seed(seed, 0, task.id, 0))
        (trajectory,) = asyncio.run(rollout([job], who))
        print(_as_json(trajectory) if json else transcript(trajectory))
        if frames is not None:
            count = save_contact_sheet(trajectory, lambda frame: who.world.pixels(clip, frame), frames)
            if not json:
                print(f"Frames: {count} saved to {frames}" if count else "Frames: none watched, none saved")
    finally:
        who.engine.close()
        who.world.close()
    if trajectory.stop == "fault":
        raise Fault(trajectory.faults[-1])


def _as_json(trajectory: Trajectory) -> str:
    ledger = trajectory.ledger
    tokens = {**encode(ledger), "total": ledger.total}
    return dumps({**to_row(trajectory), "tokens": tokens}, ensure_ascii=False)
