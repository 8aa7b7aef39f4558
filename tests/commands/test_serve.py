"""eva serve: the words it starts vLLM with. tests/system/test_vllm_servers.py starts it for real."""

import json
import shlex

import pytest

from eva_lightning.cli import main
from eva_lightning.engines.vllm.adapter import installed
from eva_lightning.engines.vllm.over_http import server_environment
from eva_lightning.engines.vllm.settings import VLLMSettings

pytestmark = pytest.mark.skipif(installed() is None, reason="vLLM is not installed: make vllm")


def words(capsys, *said):
    assert main(["serve", *said, "--dry_run"]) == 0
    return shlex.split(capsys.readouterr().out)


def after(line, flag):
    return line[line.index(flag) + 1]


def test_vllm_is_told_everything_that_the_checkpoint_could_change(tiny_folder, capsys):
    line = words(capsys, "--model", str(tiny_folder), "--port", "8123", "--settings.max_length", "900")
    assert after(line, "--model") == str(tiny_folder) and after(line, "--port") == "8123"
    assert after(line, "--max-model-len") == "900" and after(line, "--dtype") == "float32"
    assert after(line, "--logprobs-mode") == "processed_logprobs" and "--enable-scale-out" in line
    assert after(line, "--generation-config") == "vllm"  # no top_k from the checkpoint
    assert json.loads(after(line, "--mm-processor-kwargs"))["size"]["shortest_edge"] == 28 * 28
    assert json.loads(after(line, "--weight-transfer-config")) == {"backend": "eva_shared_memory"}
    assert "VLLM_SERVER_DEV_MODE=1" in line and "PYTHONSAFEPATH=1" in line


def test_options_come_from_a_file_and_vllm_s_own_words_win(tiny_folder, tmp_path, capsys):
    file = tmp_path / "serve.yaml"
    file.write_text(f"model: {tiny_folder}\ntransfer: nccl\nsettings: {{options: {{block_size: 64}}}}\n")
    line = words(capsys, "--config", str(file))
    assert after(line, "--block-size") == "64"
    assert json.loads(after(line, "--weight-transfer-config")) == {"backend": "nccl"}


def test_no_conversation_is_longer_than_the_checkpoint_can_read(tiny_folder, capsys):
    line = words(capsys, "--model", str(tiny_folder), "--settings.max_length", "10000000")
    assert int(after(line, "--max-model-len")) == 32768


def test_float32_stays_float32_in_vllm_s_kernels_on_a_gpu():
    assert server_environment(VLLMSettings(), cuda=True)["TRITON_F32_DEFAULT"] == "ieee"
    assert "TRITON_F32_DEFAULT" not in server_environment(VLLMSettings(), cuda=False)
