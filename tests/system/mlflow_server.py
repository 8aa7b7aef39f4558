"""A real MLflow server of one worker, for as long as a test wants it; skips where it is not installed."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

NEEDED = ("mlflow", "flask", "sqlalchemy", "alembic", "graphene")


@contextmanager
def mlflow_server(folder, patience=120):
    """Its address. Everything it keeps is in the folder."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        pytest.skip(f"no MLflow server here ({', '.join(missing)} missing): pip install mlflow")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    words = (
        f"server --host 127.0.0.1 --port {port} --workers 1 --backend-store-uri sqlite:///{folder}/runs.db"
    )
    words = [*words.split(), "--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log.txt").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )
    try:
        _wait(server, address, folder / "log.txt", time.monotonic() + patience)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait(server, address, log, until):
    while True:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except OSError:
            assert server.poll() is None and time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.2)
