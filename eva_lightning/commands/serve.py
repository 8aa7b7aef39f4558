"""`eva serve`: a vLLM server as `VLLMServerEngine` wants it, and no process of it left behind.

vLLM's server is several processes, and those that hold the memory survive the one that listens. So this one
stays and watches: when the listening one ends, however it ends, the others are ended too.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Literal

import torch
from transformers import AutoConfig

from eva_lightning.commands.arguments import run_command
from eva_lightning.engines.http_json import HttpJson, Refused, Unreachable
from eva_lightning.engines.keys import is_here, key_in
from eva_lightning.engines.vllm.adapter import check_version, engine_words, installed
from eva_lightning.engines.vllm.over_http import server_environment, server_words, unpickles
from eva_lightning.engines.vllm.server_token import VARIABLE, sure_token
from eva_lightning.engines.vllm.settings import VLLMSettings
from eva_lightning.engines.vllm.weight_push import Transfer, usual_transfer
from eva_lightning.faults import EngineFault, UsageError, first_line

PICKLES = "VLLM_ALLOW_INSECURE_SERIALIZATION"


def main(words: Sequence[str]) -> None:
    run_command(serve, words, "eva serve")


def serve(
    model: str,
    port: int = 8000,
    host: str = "127.0.0.1",
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    revision: str = "main",
    transfer: Transfer | None = None,
    tensor_parallel: int = 1,
    settings: VLLMSettings | None = None,
    dry_run: bool = False,
) -> None:
    """Serve a policy with vLLM: tokens in, tokens out, weights handed over while it runs.

    It says when it is ready; `VLLMServerEngine` waits for that by itself. Stop it with Ctrl-C. Options may
    also come from a file: --config serve.yaml.

    Args:
        model: Folder of a Qwen2.5-VL checkpoint, or its name on the model hub: what training begins with.
        port: Port to listen on.
        host: Address to listen on. Whoever reaches it and shows its token can have it write, replace its
            weights and stop it; with ipc on a GPU, run any code as its user. The token is EVA_SERVER_TOKEN,
            the same for server and trainer; where that is not set it is made once and kept in
            ~/.config/eva_lightning/server_token, which you alone can read. Nothing is encrypted: an address
            that other machines reach wants EVA_SERVER_TOKEN to be set, and machines that you trust.
        dtype: Type of the weights; must be that of the trainer. auto is the checkpoint's.
        revision: Commit, tag or branch on the hub.
        transfer: How weights will come: shared_memory (same machine), nccl (from another GPU: start this with
            CUDA_VISIBLE_DEVICES) or ipc (from the same GPU, of a trainer without other ranks). The trainer
            must say the same. None: nccl where the machine has several GPUs, else shared_memory.
        tensor_parallel: GPUs that share one copy of the weights.
        settings: How vLLM is set up.
        dry_run: Print the command and its environment, and start nothing.
    """
    if not dry_run:
        _refuse_open_door(host)
        _refuse_taken(host, port)
    check_version(installed())
    settings = settings or VLLMSettings()
    try:
        config = AutoConfig.from_pretrained(model, revision=revision)
    except (OSError, ValueError) as problem:
        raise UsageError(f"there is no checkpoint at {model}: {first_line(problem)}") from None
    cuda = torch.cuda.is_available()
    room = min(settings.max_length, config.get_text_config().max_position_embeddings)
    settings = replace(settings, max_length=room)
    kind = getattr(torch, dtype) if dtype != "auto" else config.dtype or torch.float32
    words = engine_words(model, revision, kind, settings, cuda) | {"tensor_parallel_size": tensor_parallel}
    transfer = transfer or usual_transfer()
    line = server_words(words, host=host, port=port, transfer=transfer)
    environment = server_environment(settings, cuda)
    if dry_run:
        print(" ".join(f"{name}={value}" for name, value in environment.items()), end=" ")
        print(shlex.join([sys.executable, *line]))
        return
    token = sure_token()
    # Whatever else is set: no token but this one, and no pickles that nobody needs.
    decided = {VARIABLE: token.secret, PICKLES: "1" if unpickles(transfer, cuda) else "0"}
    print(_who_can_do_what(host, port, token.name, unpickles(transfer, cuda)), file=sys.stderr)
    _watch([sys.executable, *line], environment | dict(os.environ) | decided, _address(host, port))


def _who_can_do_what(host: str, port: int, token: str, code: bool) -> str:
    more = ", and run any code as you (ipc)" if code else ""
    reach = "on this machine" if is_here(host) else f"that reaches {host}:{port}, unencrypted"
    return (
        f"eva serve: whoever {reach} shows the token ({token}) can have it write, replace its weights and "
        f"stop it{more}; nobody else can"
    )


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _refuse_open_door(host: str) -> None:
    """UsageError where other machines could come in and the user did not say with which secret."""
    if not is_here(host) and key_in(VARIABLE) is None:
        raise UsageError(
            f"--host {host} lets other machines in, and whoever shows the token can replace the weights: set "
            f"{VARIABLE} to a long secret, the same for server and trainer, or keep to 127.0.0.1"
        )


def _refuse_taken(host: str, port: int) -> None:
    """UsageError unless the address can be listened on: vLLM would find out after a minute, at length."""
    if not 1 <= port <= 65535:
        raise UsageError(f"port is {port}: want 1 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as problem:
        why = problem.strerror or problem
        raise UsageError(f"{host}:{port}: {why}; name another --port or --host") from None


def _watch(line: list[str], environment: dict[str, str], url: str) -> None:
    """Run the server until it ends or is told to; then end all of its processes."""
    print(f"vLLM is starting: {url}", flush=True)
    with subprocess.Popen(line, env=environment, start_new_session=True) as server:
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: server.terminate())
        try:
            _wait_until_ready(server, url)
            status = server.wait()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
    if status not in (0, -signal.SIGTERM):
        raise EngineFault(f"the server at {url} ended with status {status}; what it said is above")


def _wait_until_ready(server: subprocess.Popen[bytes], url: str) -> None:
    health = HttpJson(url, timeout=5)
    while server.poll() is None:
        try:
            health.get("/health")
        except (Refused, Unreachable):
            time.sleep(0.5)
        else:
            print(f"ready: {url}", flush=True)
            return
