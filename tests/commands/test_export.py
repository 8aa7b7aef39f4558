"""`eva export`: what is in a checkpoint, whoever wrote it, and what is refused in one line."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import constants

from eva_lightning.cli import main
from eva_lightning.files.store import write
from eva_lightning.policy.checkpoint_weights import read_checkpoint, restore
from eva_lightning.policy.loading import Lora, PolicyConfig, load_policy
from tests.making import task, trajectory

LORA = Lora(rank=2, alpha=4, targets=["q_proj"])


def moved(tiny_folder, lora=LORA):
    """A policy that was trained, in a way."""
    torch.manual_seed(0)
    policy = load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32", lora=lora))
    with torch.no_grad():
        for weight in policy.model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.05)
    return policy


def checkpoint_of(policy, folder, lora=LORA, **more):
    """The file that a run of three iterations would have left in its folder."""
    trained = {f"model.{name}": one for name, one in policy.model.named_parameters() if one.requires_grad}
    how = {"path": str(policy.path), "dtype": "float32"} | ({"lora": vars(lora)} if lora else {})
    stage = {"name": "KTO", "iterations": 3, "data": {"data/good.jsonl": 7}}
    folder.mkdir(parents=True, exist_ok=True)
    told = {"state_dict": trained, "iteration": 3, "told": {"policy": how, "stage": stage}} | more
    torch.save({name: value for name, value in told.items() if value is not None}, folder / "last.ckpt")
    return folder / "last.ckpt"


@pytest.fixture
def run(tiny_folder, tmp_path):
    """A run's folder with its checkpoint."""
    checkpoint_of(moved(tiny_folder), tmp_path / "run" / "checkpoints")
    return tmp_path / "run"


def export(run, *words):
    return main(["export", str(run / "checkpoints" / "last.ckpt"), *map(str, words)])


def table(folder):
    lines = (folder / "README.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    return dict(zip(rows[0], rows[2], strict=True))


def test_the_adapter_of_a_checkpoint_is_added_to_the_weights(run, tiny_folder, tmp_path):
    assert export(run, "--out", tmp_path / "out") == 0
    ids, ours = torch.arange(3, 43)[None], moved(tiny_folder)
    theirs = load_policy(PolicyConfig(path=str(tmp_path / "out"), dtype="float32"))
    with torch.no_grad():
        gap = theirs.model.eval()(input_ids=ids).logits - ours.model.eval()(input_ids=ids).logits
    assert gap.abs().max() < 1e-5
    assert table(tmp_path / "out") == {"stage": "KTO", "iterations": "3", "records": "7"}
    assert "No evaluation was at hand." in (tmp_path / "out" / "README.md").read_text()


def test_the_evaluation_of_its_iteration_is_in_the_card_or_the_one_that_is_named(run, tmp_path):
    rows = [trajectory(task=task(id=f"t{i}"), answer="BBBC"[i]) for i in range(4)]
    write(run / "evaluations" / "validate-000003.jsonl", rows)
    write(run / "evaluations" / "validate-000004.jsonl", rows[:1])  # of weights that came later
    write(tmp_path / "other.jsonl", rows[2:])
    assert export(run, "--out", tmp_path / "out") == 0
    found = table(tmp_path / "out")
    assert (
        found["questions"] == "4" and found["accuracy"].startswith("75.0% (") and found["frames"][:3] == "2.0"
    )
    assert export(run, "--out", tmp_path / "out", "--evaluation", tmp_path / "other.jsonl") == 0
    assert table(tmp_path / "out")["accuracy"].startswith("50.0% (")


def test_the_next_stage_tells_of_the_one_before(run, tmp_path):
    assert export(run, "--out", tmp_path / "kto", "--license", "apache-2.0") == 0
    policy = moved(tmp_path / "kto", lora=None)
    checkpoint_of(policy, tmp_path / "next" / "checkpoints", lora=None)
    assert export(tmp_path / "next", "--out", tmp_path / "out") == 0
    told = json.loads((tmp_path / "out" / "eva_lightning.json").read_text())
    assert (told["license"], len(told["stages"])) == ("apache-2.0", 2)


def test_an_earlier_checkpoint_is_told_by_the_config_of_its_run(run, tiny_folder, tmp_path, capsys):
    assert export(run, "--out", tmp_path / "new") == 0
    checkpoint_of(moved(tiny_folder), run / "checkpoints", told=None)
    assert export(run, "--out", tmp_path / "out") == 1
    assert f"its run's config.yaml would, but there is none in {run}" in capsys.readouterr().err
    how = {"path": str(tiny_folder), "dtype": "float32", "lora": vars(LORA)}
    model = {"class_path": "eva_lightning.modules.KTOModule", "init_args": {"policy": how}}
    (run / "lightning_logs" / "version_10").mkdir(parents=True)
    (run / "lightning_logs" / "version_10" / "config.yaml").write_text(yaml.safe_dump({"model": model}))
    assert export(run, "--out", tmp_path / "old") == 0
    new, old = (tmp_path / name / "model.safetensors" for name in ("new", "old"))
    assert new.read_bytes() == old.read_bytes()
    assert table(tmp_path / "old") == {"stage": "KTO", "iterations": "3", "records": "-"}


class Harm:
    def __reduce__(self):
        return (Path.touch, (Path("harmed"),))


def test_what_can_not_be_is_said_in_a_line_and_nothing_is_written(
    run, tiny_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "thesis.txt").touch()
    shutil.copytree(tiny_folder, tmp_path / "small")
    torch.save({"state_dict": {}, "x": Harm()}, tmp_path / "harm.ckpt")
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "strange.ckpt")
    whole = checkpoint_of(moved(tiny_folder, lora=None), tmp_path / "whole" / "checkpoints", lora=None)
    wide = checkpoint_of(
        moved(tiny_folder, Lora(rank=3, alpha=4, targets=["q_proj"])), tmp_path / "wide" / "checkpoints"
    )
    last = run / "checkpoints" / "last.ckpt"
    cases = {
        f"{last}": "say where it goes: --out FOLDER",
        f"{last} --out {run}": "would take the place of what is read",
        f"{last} --out others": "holds other things than an export",
        f"{last} --out new --push agent": "'agent' is no repository of a hub; want OWNER/NAME",
        f"{last} --out new --push me/agent": "the hub wants to know who you are",
        f"{last} --out new --base nowhere": "there is no folder nowhere",
        f"{last} --out new --evaluation nowhere": "nowhere: neither a JSONL file nor a folder",
        f"{wide} --out new": "(3, 128) there and (2, 128) in",
        f"{whole} --out new --adapter": "holds no adapter, but whole weights",
        "harm.ckpt --out new": "holds more than data",
        "strange.ckpt --out new": "holds no weights of a policy",
        "small/tokenizer.json --out new": "is no checkpoint",
        "nowhere.ckpt --out new": "no such checkpoint",
        "small --out new": "no such checkpoint",
    }
    for words, why in cases.items():
        assert main(["export", *words.split()]) == 1, words
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith("eva export: ") and why in said, said
    assert not (tmp_path / "new").exists() and not (tmp_path / "harmed").exists()


def test_a_push_that_fails_leaves_the_folder_and_says_how_to_go_on(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert export(run, "--out", tmp_path / "out", "--push", "me/agent") == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert (
        "was not pushed to http://127.0.0.1:9 (" in said
        and f"hf upload me/agent {tmp_path}/out . --private" in said
    )
    assert (tmp_path / "out" / "model.safetensors").is_file() and "hf_secret" not in said
    monkeypatch.setattr(constants, "ENDPOINT", "http://hub.example")
    assert export(run, "--out", tmp_path / "none", "--push", "me/agent") == 1
    assert (
        "others can read http:// on the way" in capsys.readouterr().err and not (tmp_path / "none").exists()
    )


def test_weights_of_another_model_are_refused(run, tiny_folder):
    kept = read_checkpoint(run / "checkpoints" / "last.ckpt")
    plain = load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32"))
    with pytest.raises(Exception, match=r"which this policy has not.*give --base"):
        restore(plain, kept, "last.ckpt")
