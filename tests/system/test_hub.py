"""The page "On a hub", line by line: a policy goes to a hub of the tests and comes back.

vLLM, which has the weights from the hub by their name, answers fifty questions as the policy did that was
trained.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.engines.vllm.adapter import installed
from eva_lightning.files.store import read
from eva_lightning.policy.checkpoint_weights import read_checkpoint, restore
from eva_lightning.policy.loading import PolicyConfig, load_policy
from eva_lightning.records import Trajectory
from tests.system.hub_at_work import logits
from tests.system.hub_server import TOKEN, serving_hub
from tests.system.pages import ROOT, commands, lay_out

pytestmark = pytest.mark.system

PAGE = "docs/hub.md"
LINES = commands(PAGE)
SAME_AGENT = ["dialect=EvaDialect", "dialect.timestamps=seconds", "overview.frames=4"]
SAME_AGENT += ["overview.frame_tokens=4", "limits.turns=2", "limits.turn_tokens=8"]


def small(words, tiny):
    """The words of a line, and what makes it end in seconds on a CPU."""
    if words[0] == "synthesize":
        return [*words, "--settings.height=112", "--settings.width=112", "--settings.fps=2"]
    if words[0] == "ask":
        return [*words, "--agent.limits.turn_tokens=8"]
    if words[0] != "fit":
        return words
    first = "--model.policy.path" not in words
    words += ["--model.policy.path", str(tiny)] if first else []
    asked = 50 if first and "strategies/lora.yaml" not in words else 8
    words += ["--model.policy.dtype=float32", "--trainer.precision=32-true", "--trainer.accelerator=cpu"]
    words += ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--data.batch_size=2"]
    words += ["--model.optimizer.lr=0.001", "--model.optimizer.warmup_steps=0", f"--data.eval_limit={asked}"]
    return words + [f"--model.agent.{one}" for one in SAME_AGENT]


@pytest.fixture(scope="module")
def brought(tmp_path_factory, tiny_folder):
    """What the page has before its first line: its configs, a video, a policy to begin with."""
    folder = tmp_path_factory.mktemp("hub")
    world = build_world(folder / "other", 1, ScriptSettings(duration=(12, 12), height=112, width=112, fps=2))
    shutil.copy(world.folder / "clips" / f"{world.scripts[0].id}.mp4", folder / "talk.mp4")
    shutil.copytree(tiny_folder, folder / "base")
    (folder / "base" / "README.md").write_text("---\nlicense: mit\n---\n# A base model\n")
    lay_out(PAGE, folder)
    return folder


@pytest.fixture(scope="module")
def page(brought):
    """Where all lines of the page were run, and the hub that they spoke to."""
    if installed() is None:
        pytest.skip("vLLM is not installed: `make vllm` installs it")
    split = [shlex.split(line) for line in LINES]
    lines = [[command, *small(words, brought / "base")] for command, *words in split]
    (brought / "lines.json").write_text(json.dumps(lines))
    known = {"HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(brought / "home")}
    known |= {"PYTHONPATH": str(ROOT), "HF_HUB_DISABLE_TELEMETRY": "1"}
    with serving_hub() as hub:
        done = subprocess.run(
            [sys.executable, "-m", "tests.system.hub_at_work", "lines.json", "said.pt"],
            cwd=brought,
            env=os.environ | known | {"HF_ENDPOINT": hub.address},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    (brought / "printed.txt").write_text(done.stdout + done.stderr)
    return brought, hub


def head(card):
    return yaml.safe_load(card.partition("---\n")[2].partition("\n---")[0])


def test_vllm_has_the_weights_by_their_name_and_answers_fifty_questions_as_the_policy_did(page):
    folder, _ = page
    (file,) = folder.rglob("runs/sft/**/evaluations/validate-000002.jsonl")
    policy, theirs = (
        {one.task.id: one for one in read(path, Trajectory)} for path in (file, folder / "answers.jsonl")
    )
    assert len(policy) == 50 and policy.keys() <= theirs.keys()
    assert all(len(one.frames) == 4 and len(one.turns[0].token_ids) == 8 for one in policy.values())
    gaps = []
    for name, one in policy.items():
        assert [turn.token_ids for turn in theirs[name].turns] == [turn.token_ids for turn in one.turns]
        for mine, turn in zip(one.turns, theirs[name].turns, strict=True):
            gaps.append(np.abs(np.subtract(mine.logprobs, turn.logprobs)).max())
    assert max(gaps) < 1e-5, max(gaps)
    # what is seen makes a difference
    assert len({tuple(one.turns[0].token_ids) for one in policy.values()}) > 5


def test_the_card_s_own_python_loads_the_weights_of_the_checkpoint(page, tiny_folder):
    folder, _ = page
    policy = load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32"))
    before = logits(policy.model)
    restore(policy, read_checkpoint(folder / "runs/sft/checkpoints/last.ckpt"), "last.ckpt")
    assert torch.equal(torch.load(folder / "said.pt"), logits(policy.model))
    assert not torch.equal(before, logits(policy.model))


def test_the_hub_has_the_folder_to_the_byte_and_the_weights_came_by_lfs(page):
    folder, hub = page
    assert set(hub.repositories) == {"me/agent", "me/next", "me/adapter", "datasets/me/answers"}
    assert all(one.private for one in hub.repositories.values())
    agent = hub.repositories["me/agent"]
    assert agent.large == {"model.safetensors"} and agent.commits == ["after iteration 2"]
    assert agent.files == {path.name: path.read_bytes() for path in (folder / "agent").iterdir()}
    assert {"tokenizer.json", "chat_template.jinja", "preprocessor_config.json"} <= set(agent.files)
    put = hashlib.sha256((folder / "agent" / "model.safetensors").read_bytes()).hexdigest()
    assert ("PUT", f"/objects/{put}", 200) in hub.said
    # one for `every`, one at the end
    assert hub.repositories["me/next"].commits == ["after iteration 2"] * 2


def test_a_card_tells_of_all_stages_with_intervals(page):
    folder, hub = page
    card = (folder / "agent" / "README.md").read_text()
    assert head(card)["license"] == "apache-2.0" and head(card)["tags"][-1] == "sft"
    assert "* `world/oracle.jsonl`: " in card and "optimizer.lr: 0.001" in card
    assert "eva ask talk.mp4" in card and "vllm serve me/agent" in card and str(folder) not in card
    second = json.loads(hub.repositories["me/next"].files["eva_lightning.json"])
    assert (second["base"], second["license"]) == ("base", "apache-2.0")
    assert [one["name"] for one in second["stages"]] == ["SFT", "SFT"]
    rows = [
        line.split("|")[1:-1]
        for line in hub.repositories["me/next"].files["README.md"].decode().splitlines()
        if line.startswith("| SFT")
    ]
    assert len(rows) == 2
    for row, asked in zip(rows, ("50", "8"), strict=True):
        _, iterations, _, questions, accuracy = map(str.strip, row[:5])
        assert (iterations, questions) == ("2", asked) and re.match(r"[\d.]+% \(\d+-\d+\)", accuracy)


def test_an_adapter_is_one_in_peft_s_layout_and_merged_it_is_a_model(page, tiny_folder):
    folder, hub = page
    adapter = hub.repositories["me/adapter"]
    assert {"adapter_model.safetensors", "adapter_config.json"} <= set(adapter.files)
    assert "model.safetensors" not in adapter.files
    card = adapter.files["README.md"].decode()
    assert head(card)["library_name"] == "peft" and head(card)["license"] == "mit"  # as the base's card says
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    base = AutoModelForImageTextToText.from_pretrained(tiny_folder, dtype="float32")
    adapted = PeftModel.from_pretrained(base, folder / "adapter")
    merged = AutoModelForImageTextToText.from_pretrained(folder / "merged", dtype="float32")
    assert (logits(adapted) - logits(merged)).abs().max() < 1e-5


def test_trajectories_come_back_from_parquet_on_the_hub(page):
    folder, _ = page
    assert read(folder / "back.jsonl", Trajectory) == read(folder / "answers.jsonl", Trajectory)
