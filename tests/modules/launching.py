"""Starts a program in several processes on this machine that find each other: ranks."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def launch(program, *words, ranks=2, folder, limit=400):
    """Run `python -m PROGRAM WORDS` in each rank; what went wrong in one of them is the error of all.

    Args:
        program: A module of this repository.
        words: What it is told.
        ranks: Processes.
        folder: Where their errors are written.
        limit: Seconds after which whoever still runs is killed, which is an error.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    shared |= {"OMP_NUM_THREADS": "1", "TORCHELASTIC_RUN_ID": "t", "DS_ACCELERATOR": "cpu"}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", program, *map(str, words)],
            cwd=ROOT,
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=(folder / f"{rank}.err").open("w"),
        )
        for rank in range(ranks)
    ]
    try:
        for rank, one in enumerate(running):
            assert one.wait(timeout=limit) == 0, (folder / f"{rank}.err").read_text()[-3000:]
    finally:
        for one in running:
            one.kill()
