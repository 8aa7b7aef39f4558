"""`eva app`: a page to ask a video in: drop it, ask, and watch plan, calls and frames as they are made.

The loading of models is all that happens here; `reports/app/` serves the page. Trains and scores nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from eva_lightning.agent.config import AgentConfig
from eva_lightning.agent.rollout import Agent
from eva_lightning.commands.arguments import run_command
from eva_lightning.commands.engine_choice import DecoderChoice, Here, choose_engine, make_agent, make_world
from eva_lightning.faults import UsageError
from eva_lightning.reports.app.asking import Speaker
from eva_lightning.reports.app.server import AppServer
from eva_lightning.reports.app.uploads import UploadSettings

GREEDY = AgentConfig(temperature=0.0)
BOUNDS = UploadSettings()


def main(words: Sequence[str]) -> None:
    run_command(app, gathered(words, "--model"), "eva app")


def app(
    model: str | list[str] | None = None,
    engine: Here = "transformers",
    server: str | None = None,
    served_name: str | None = None,
    agent: AgentConfig = GREEDY,
    seed: int = 0,
    decoder: DecoderChoice = "auto",
    host: str = "127.0.0.1",
    port: int = 0,
    uploads: UploadSettings = BOUNDS,
) -> None:
    """Serve a page to ask a video in: plan, calls, frames and answer are shown as they are made.

    It prints the address to open in a browser, and ends with Ctrl-C. Videos that were dropped into the page
    are deleted then.

    Args:
        model: Folder or hub id of a checkpoint to run here. Given twice, both answer, side by side.
        engine: Who writes with --model: transformers, or vllm.
        server: Address of an OpenAI-compatible server to ask instead, or beside one --model.
        served_name: Name of the model on that server; by default its first one. OPENAI_API_KEY is sent if
            set.
        agent: How it speaks, what it can do, when it must end.
        seed: Dice for temperatures above 0.
        decoder: Which video decoder to use; auto takes the GPU where there is one.
        host: Address to listen on. One that other machines reach makes a secret a part of the page's
            address; nothing is encrypted, so an SSH tunnel to 127.0.0.1 is the better way.
        port: Port to listen on; 0 takes a free one.
        uploads: How large videos may be, and how many are kept.
    """
    models = [model] if isinstance(model, str) else list(model or [])
    if not 1 <= len(models) + (server is not None) <= 2:
        raise UsageError("say who answers: --model FOLDER|HUB_ID or --server URL, two of them at most")
    with ExitStack() as stack:
        door = stack.enter_context(AppServer(host, port))  # a wrong port is told before the work
        speakers = []
        for name, path in zip(_names(models), models, strict=True):
            one = make_agent(agent, choose_engine(path, None, None, engine), decoder)
            speakers.append(_seated(name, one, stack))
        if server is not None:
            one = make_agent(agent, choose_engine(None, server, served_name, engine), decoder)
            speakers.append(_seated(server, one, stack))
        pictures = make_world(agent, decoder)
        stack.callback(pictures.close)
        door.furnish(speakers, pictures, uploads, seed)
        stack.callback(door.leave)
        print(f"{door.url}   (Ctrl-C ends it)", flush=True)
        with suppress(KeyboardInterrupt):
            door.serve_forever()


def _seated(name: str, agent: Agent, stack: ExitStack) -> Speaker:
    stack.callback(agent.world.close)
    stack.callback(agent.engine.close)
    return Speaker(name=name, agent=agent)


def _names(models: Sequence[str]) -> list[str]:
    """What checkpoints are called: the last part of their paths, or all of it where that is the same."""
    names = [Path(model).name or model for model in models]
    return names if len({*names}) == len(names) else list(models)


def gathered(words: Sequence[str], option: str) -> list[str]:
    """An option that was given several times, as one list; the last one would win otherwise.

    >>> gathered(["--model", "a", "--port", "1", "--model=b"], "--model")
    ['--port', '1', '--model=["a", "b"]']
    """
    values: list[str] = []
    others: list[str] = []
    waiting = False
    for word in words:
        if waiting:
            values.append(word)
        elif word.startswith(f"{option}="):
            values.append(word.partition("=")[2])
        elif word != option:
            others.append(word)
        waiting = not waiting and word == option
    if waiting:
        others.append(option)  # its value is missing, which the parser will say
    return [*others, f"{option}={json.dumps(values)}"] if len(values) > 1 else list(words)
