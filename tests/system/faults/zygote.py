"""A process that has read every library, and runs each command of `eva` in a copy of itself.

Starting Python and torch takes longer than a tiny run, and many runs are wanted. The copy ends as any process
does: threads that nobody waits for any more, and what runs at exit, are a part of it.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]


class Zygote:
    """Runs commands, one at a time: `with Zygote() as zygote: zygote.run(["fit", ...], file)`."""

    def __enter__(self):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.faults.zygote"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def run(self, words, said, *, kill_after=None, largest=None, wait=300.0):
        """How a command ended: `code` (negative: by that signal, None: it hung and was killed) and `seconds`.

        Args:
            words: What follows `eva`.
            said: File for what it prints.
            kill_after: Seconds after which it is killed as the kernel would; None lets it live.
            largest: Bytes of a file at which the disk is full; None has room.
            wait: Seconds after which it counts as hanging.
        """
        order = {"words": [str(word) for word in words], "said": str(said), "kill_after": kill_after}
        self._process.stdin.write(json.dumps(order | {"largest": largest, "wait": wait}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _serve():
    from transformers import Qwen2_5_VLForConditionalGeneration  # noqa: F401

    import eva_lightning.commands.collect
    import eva_lightning.commands.stages
    import eva_lightning.policy.loading  # noqa: F401

    out = os.fdopen(os.dup(1), "w")
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            out.close()
            _become(order)
        print(json.dumps(_ended(child, order)), file=out, flush=True)


def _become(order):
    """Run a command as if this process had been started for it. Does not return."""
    from eva_lightning.cli import main

    said = os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if order["largest"] is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that it is an error of the write
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest"], order["largest"]))
    sys.exit(main(order["words"]))


def _ended(child, order):
    began, killed = time.monotonic(), False
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        spent = time.monotonic() - began
        if found:
            code = os.waitstatus_to_exitcode(status)
            return {"code": None if killed and order["kill_after"] is None else code, "seconds": spent}
        limit = order["wait"] if order["kill_after"] is None else order["kill_after"]
        if spent > limit and not killed:
            os.kill(child, signal.SIGKILL)
            killed = True
        time.sleep(0.002)


if __name__ == "__main__":
    _serve()
