"""Real vLLM servers for tests: started as a user would, by `eva serve`, and killed as the kernel would."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from eva_lightning.engines.http_json import HttpJson, Refused, Unreachable
from eva_lightning.engines.vllm.guard import VARIABLE

TOKEN = "of-these-tests"
SETTINGS = {"max_length": 2048, "batch_tokens": 2048, "max_frame_tokens": 64, "max_sequences": 32}


class Server:
    """One `eva serve`, in a process group of its own."""

    def __init__(self, folder, log, *more, **environment):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        words = ["serve", "--model", str(folder), "--port", str(self.port), "--dtype", "float32"]
        words += [f"--settings.{name}={value}" for name, value in SETTINGS.items()]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "eva_lightning", *words, *more],
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", VARIABLE: TOKEN, **environment},
        )

    def wait(self, seconds=240):
        """Until it answers."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                return HttpJson(self.url, timeout=5).get("/health")
            except (Refused, Unreachable):
                time.sleep(0.3)
        raise AssertionError(f"{self.url} does not answer: {self.log.read_text()[-3000:]}")

    def processes(self):
        """Ids of vLLM's processes: the one that listens first."""
        found = subprocess.run(
            ["pgrep", "-f", f"api_server.*--port {self.port}"], capture_output=True, text=True
        )
        return [int(line) for line in found.stdout.split()]

    def kill_in_mid_turn(self, writing):
        """kill -9 of the process that listens, while it owes turns: it is frozen first, so that none ends."""
        listens = self.processes()[0]
        while True:
            while writing() < 4:
                time.sleep(0.001)
            os.kill(listens, signal.SIGSTOP)
            time.sleep(0.1)  # what it had sent is read
            if writing():
                return os.kill(listens, signal.SIGKILL)
            os.kill(listens, signal.SIGCONT)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)


@contextmanager
def servers(folder, logs, count=2):
    """Some servers of one checkpoint, started side by side."""
    started = [Server(folder, logs / f"server-{number}.log") for number in range(count)]
    try:
        for server in started:
            server.wait()
        with pytest.MonkeyPatch.context() as here:
            here.setenv(VARIABLE, TOKEN)
            yield started
    finally:
        for server in started:
            server.stop()
