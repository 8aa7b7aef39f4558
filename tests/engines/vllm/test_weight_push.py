"""A push from GPU to GPU, on the right GPU and with its problems told. What vLLM does in it needs GPUs, and a
stand-in takes its place; tests/system/test_vllm_servers.py pushes to real servers through memory.
"""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from torch.testing._internal.distributed.fake_pg import FakeStore

from eva_lightning.engines.http_json import HttpJson
from eva_lightning.engines.vllm import weight_push
from eva_lightning.engines.vllm.server_engine import VLLMServerEngine
from eva_lightning.engines.vllm.weight_push import push, transfer_between
from eva_lightning.faults import UsageError
from eva_lightning.policy.loading import PolicyConfig, load_policy


class Agreeing(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Agreeing) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield HttpJson(f"http://127.0.0.1:{listening.server_port}", 10)
        listening.shutdown()


def test_the_thread_that_pushes_works_on_the_card_of_the_weights_and_waits_for_them(server, monkeypatch):
    card, seen = torch.device("cuda", 2), []

    @contextmanager
    def on_card(device):
        seen.append(("on", device, threading.current_thread()))
        yield
        seen.append(("off", device, threading.current_thread()))

    def note(what):
        return lambda *_: seen.append((what, card, threading.current_thread()))

    monkeypatch.setattr(weight_push, "on_card", on_card)
    monkeypatch.setattr(weight_push, "wait_for", note("wait"))
    monkeypatch.setattr(weight_push, "device_push", note("push"))
    assert push([server], dict, 1, "nccl", device=card) == {}
    whats, cards, threads = zip(*seen, strict=True)
    assert whats == ("on", "wait", "push", "off") and set(cards) == {card}
    assert len(set(threads)) == 1 and threads[0] is not threading.current_thread()


def test_what_vllm_asserts_is_a_problem_of_that_server_and_says_what_to_look_at(server, monkeypatch):
    def refuse(*_):
        raise AssertionError(
            "this nccl communicator is created to work on cuda:0, but the input is on cuda:1"
        )

    monkeypatch.setattr(weight_push, "device_push", refuse)
    failed = push([server], dict, 1, "nccl", device=torch.device("cpu"))
    said = failed[server.url]
    assert "created to work on cuda:0" in said and "on another GPU than the trainer's" in said


def test_ipc_is_refused_where_the_trainer_has_more_than_one_rank(tiny_folder):
    policy = load_policy(PolicyConfig(path=str(tiny_folder)))
    VLLMServerEngine(policy, ["http://localhost:1"], transfer="ipc").close()
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        VLLMServerEngine(policy, ["http://localhost:1"], transfer="shared_memory").close()
        with pytest.raises(UsageError, match="transfer is ipc, and the trainer has 2 ranks: .*shared_memory"):
            VLLMServerEngine(policy, ["http://localhost:1"], transfer="ipc")
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("gpus", "hidden", "usual"),
    [
        (0, False, "shared_memory"),
        (1, False, "shared_memory"),  # trainer and server share it, which nccl refuses
        (1, True, "nccl"),  # each was given its own
        (2, False, "nccl"),
    ],
)
def test_nccl_is_usual_where_both_sides_can_have_a_gpu(gpus, hidden, usual):
    assert transfer_between(gpus, hidden=hidden) == usual
