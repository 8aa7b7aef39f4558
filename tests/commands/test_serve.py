"""eva serve: the words it starts vLLM with. tests/system/test_vllm_servers.py starts it for real."""

import json
import shlex

import pytest

from eva_lightning.cli import main
from eva_lightning.engines.vllm.adapter import installed
from eva_lightning.engines.vllm.guard import VARIABLE
from eva_lightning.engines.vllm.over_http import server_environment, unpickles
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
    assert after(line, "--middleware") == "eva_lightning.engines.vllm.guard.Guard"
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


def test_pickles_are_read_where_handles_of_gpu_memory_are_handed_over_and_nowhere_else():
    ways = [(transfer, cuda) for transfer in ("shared_memory", "nccl", "ipc") for cuda in (False, True)]
    assert [way for way in ways if unpickles(*way)] == [("ipc", True)]
    assert not any("SERIALIZATION" in name for name in server_environment(VLLMSettings(), cuda=True))


def test_the_door_is_not_opened_to_other_machines_without_a_secret(tiny_folder, monkeypatch, capsys):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert main(["serve", "--model", str(tiny_folder), "--host", "0.0.0.0"]) == 1
    said = capsys.readouterr().err
    assert "lets other machines in" in said and f"set {VARIABLE} to a long secret" in said


def test_the_token_is_not_in_the_words_that_everybody_can_see(tiny_folder, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, "very-secret")
    assert "very-secret" not in " ".join(words(capsys, "--model", str(tiny_folder)))


def test_the_manual_says_who_can_do_what(capsys):
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for words in ("replace its weights", "run any code as its user", VARIABLE, "Nothing is encrypted"):
        assert words in said
