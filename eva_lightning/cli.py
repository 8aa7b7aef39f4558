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
from eva_lightning.faults import Fault, UsageError
from eva_lightning.files.full_disk import MAKE_ROOM, refusal_of

STAGES = {
    "fit": "train a stage (SFT, KTO, GRPO): eva fit --config grpo.yaml",
    "validate": "let a policy answer the validation questions",
    "test": "let a policy answer the test questions",
}

COMMANDS = {
    "ask": "ask a question about a video and watch the agent plan, look and answer",
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
    "compare": "put runs side by side: table, plot, TensorBoard layout",
    "doctor": "check the installation, and an engine's log-probs against the trainer's",
    "demo": "the whole walk on this machine: world, agents, table",
}


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
    except (UsageError, Fault, OSError) as problem:
        if isinstance(problem, BrokenPipeError) and _reader_left():
            return 141
        if not _is_no_bug(problem):
            raise
        return _complain(name, problem)
    except BaseExceptionGroup as group:  # raised inside the agent loop
        mistakes, bugs = group.split(_is_no_bug)
        if bugs is not None or mistakes is None:
            raise
        return _complain(name, _first(mistakes))
    except KeyboardInterrupt:
        print(f"eva {name}: interrupted; what was written is kept", file=sys.stderr)
        return 130
    return 0


def _is_no_bug(problem: BaseException) -> bool:
    """Whether a line says it all; a file that the system refuses is the user's to name anew."""
    if isinstance(problem, OSError):
        named = isinstance(problem.filename, str | bytes | os.PathLike)
        return named or refusal_of(problem) is not None
    return isinstance(problem, UsageError | Fault)


def _complain(name: str, problem: BaseException) -> int:
    if isinstance(problem, OSError):
        why = problem.strerror or type(problem).__name__
        if problem.filename is None:
            problem = UsageError(f"nothing can be written any more ({why}); {MAKE_ROOM}")
        else:
            place = os.fsdecode(problem.filename)
            problem = UsageError(f"{place}: can not be read or written ({why}); name another place")
    print(f"eva {name}: {problem}", file=sys.stderr)
    return 1


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


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    problem = group.exceptions[0]
    return _first(problem) if isinstance(problem, BaseExceptionGroup) else problem


def _usage() -> str:
    known = STAGES | COMMANDS
    lines = [f"  {name.ljust(max(map(len, known)))}  {what}" for name, what in known.items()]
    return "usage: eva COMMAND [--help] ...\n\ncommands:\n" + "\n".join(lines)
