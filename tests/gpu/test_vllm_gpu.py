"""vLLM on a GPU: it agrees with the trainer before and after a push, after sleep, here and as a server."""

import json
import subprocess
import sys

import pytest
import torch

from eva_lightning.engines.vllm.adapter import installed

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.skipif(installed() is None, reason="vLLM is not installed: make vllm"),
]


@pytest.mark.parametrize("sleep_level", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_doctor_finds_no_problem(tiny_folder, dtype, sleep_level):
    words = ["doctor", "--model", str(tiny_folder), "--engine", "vllm", "--dtype", dtype, "--json"]
    words += ["--sleep_level", str(sleep_level)]
    done = subprocess.run(
        [sys.executable, "-m", "eva_lightning", *words], capture_output=True, text=True, timeout=900
    )
    print(done.stdout)  # the figures, for whoever reads the log
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["vision_change_seen"] and found["sleep_keeps_policy"] in (
        (True,) if sleep_level else (None,)
    )


def test_starting_vllm_moves_no_dice_of_the_gpu(tiny_folder):
    """In a process of its own, as every vLLM on this GPU: it keeps its memory until it ends."""
    code = (
        "import torch; from eva_lightning.commands.doctor import DEFAULTS\n"
        "from eva_lightning.engines.vllm.engine import VLLMEngine\n"
        "from eva_lightning.policy.loading import PolicyConfig, load_policy\n"
        f"policy = load_policy(PolicyConfig(path={str(tiny_folder)!r}, dtype='bfloat16'))\n"
        "torch.cuda.manual_seed_all(7); expected = torch.rand(1, device='cuda').item()\n"
        "torch.cuda.manual_seed_all(7); VLLMEngine(policy, DEFAULTS).close()\n"
        "assert torch.rand(1, device='cuda').item() == expected"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("transfer", ["shared_memory", "ipc", "nccl"])
def test_a_server_follows_a_push(tiny_folder, tmp_path, transfer, monkeypatch):
    from eva_lightning.engines.base import Sampling
    from eva_lightning.engines.vllm.server_engine import VLLMServerEngine
    from eva_lightning.policy.loading import PolicyConfig, load_policy
    from eva_lightning.policy.merged_weights import merged_weights
    from eva_lightning.reports.diagnosis.agreement import agreement_of, changed
    from eva_lightning.reports.diagnosis.conversations import make_probe, write_probes
    from tests.system.vllm_servers import TOKEN, VARIABLE, Server

    monkeypatch.setenv(VARIABLE, TOKEN)
    if transfer == "nccl" and torch.cuda.device_count() < 2:
        pytest.skip("nccl needs the server on another GPU than the trainer")
    elsewhere = {"CUDA_VISIBLE_DEVICES": "1"} if transfer == "nccl" else {}  # the trainer is on the first one
    words = ("--transfer", transfer, "--settings.gpu_memory=0.2")
    server = Server(tiny_folder, tmp_path / "server.log", *words, **elsewhere)
    try:
        server.wait(600)
        policy = load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32"))
        policy.model.cuda()
        engine = VLLMServerEngine(policy, [server.url], transfer=transfer)
        probes = [make_probe(f"p{images}", images, seed=images) for images in (0, 1, 4)]
        for version in (1, 2, 3):
            with changed(policy, amount=0.02, seed=version):
                engine.take_weights(lambda: merged_weights(policy.backbone), version)
                written = write_probes(engine, probes, Sampling(max_tokens=24))
                assert agreement_of(policy, written).mean < 0.02
                assert {one.weight_versions for one in written} == {(version,)}
        engine.close()
    finally:
        server.stop()
