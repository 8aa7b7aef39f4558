"""The front door: finds the command, runs it, and turns a user's mistake into one line and a non-zero exit.

Commands live in `commands/`, one file each, and are imported only when called: `eva --help` loads no torch.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence
from importlib import import_module

from eva_lightning import __version__
from eva_lightning.commands.mistakes import mistake_in

STAGES = {
    "fit": "train a stage (SFT, KTO, GRPO): eva fit --config grpo.yaml",
    "validate": "let a policy answer the validation questions",
    "test": "let a policy answer the test questions",
}

COMMANDS = {
    "ask": "ask a question about a video and watch the agent plan, look and answer",
    "app": "the same as a page of this machine: drop a video, ask, watch; two checkpoints side by side",
    "synthesize": "the embedded world with its teachers, or questions across clips that are scripts",
    "prepare": "questions in whatever file people have, as tasks",
    "draw": "folders of pictures as videos, with boxes around what questions name",
    "convert": "trajectories to chat data of other trainers, and chat data of others to trajectories",
    "collect": "roll a policy or a teacher over tasks into trajectories",
    "sift": "keep the tasks that are neither too easy nor out of reach",
    "label": "mark trajectories good or bad, for KTO",
    "augment": "new tasks of the kinds at which a policy failed",
    "replay": "make trajectories again from their record, and say where they diverge",
    "view": "one page to read trajectories in a browser: filter them, see what was watched",
    "serve": "start a vLLM server that writes the turns of a policy in training",
    "estimate": "memory, tokens, seconds and price of an iteration, before it is launched",
    "export": "the policy of a checkpoint as a Hugging Face folder with its card, and on a hub",
    "compare": "put runs side by side: table, plot, TensorBoard layout",
    "doctor": "check the installation, and an engine's log-probs against the trainer's",
    "demo": "the whole walk on this machine: world, agents, table",
    "tunnel": "a finding about training, tried on this machine: several ways from one policy",
}

RESUMABLE = {"collect", "demo", "test", "tunnel"}
"""Commands that go on where they were interrupted if they are typed again; `fit` wants `--ckpt_path last`."""


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    words = list(sys.argv[1:] if args is None else args)
    if os.getcwd() not in sys.path:  # a `class_path` may name a file beside the config; nothing is shadowed
        sys.path.append(os.getcwd())
    if not words or words[0] in ("-h", "--help"):
        print(_usage())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"eva {__version__}")
        return 0
    if words[0] not in COMMANDS | STAGES:
        known = ", ".join(STAGES | COMMANDS)
        print(f"eva: there is no command {words[0]!r}; the commands are {known}", file=sys.stderr)
        return 2
    return _run(words[0], words[1:])


def _run(name: str, words: list[str]) -> int:
    try:
        if name in STAGES:
            import_module("eva_lightning.commands.stages").run_stage([name, *words], STAGES)
        else:
            import_module(f"eva_lightning.commands.{name}").main(words)
        sys.stdout.flush()  # now, while a reader that has left is no bug
    except Exception as problem:
        if isinstance(problem, BrokenPipeError) and _reader_left():
            return 141
        said = mistake_in(problem)
        if said is None:
            raise
        print(f"eva {name}: {said}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        goes_on = "; the same command goes on from there" if name in RESUMABLE else ""
        print(f"eva {name}: interrupted; what was written is kept{goes_on}", file=sys.stderr)
        return 130
    return 0


def _reader_left() -> bool:
    """Whether it is our output that nobody reads any more (`| head`), and not another pipe that broke.

    If so, Python is kept from writing the rest as it ends.
    """
    output = select.poll()
    output.register(sys.stdout, 0)  # 0: ask for errors only
    if not output.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _usage() -> str:
    known = STAGES | COMMANDS
    lines = [f"  {name.ljust(max(map(len, known)))}  {what}" for name, what in known.items()]
    return "usage: eva COMMAND [--help] ...\n\ncommands:\n" + "\n".join(lines)
