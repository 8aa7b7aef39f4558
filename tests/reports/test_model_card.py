"""The card of an export: a head that the hub reads, a row a stage, and how each kind of folder is used."""

import pytest
import yaml

from eva_lightning.faults import UsageError
from eva_lightning.reports.estimate import Estimate
from eva_lightning.reports.lineage import FILE, Lineage, Stage, lineage_of
from eva_lightning.reports.model_card import beside, model_card

SFT = Stage(name="SFT", iterations=50, data={"data/shown.jsonl": 400})
GRPO = Stage(
    name="GRPO",
    iterations=120,
    data={"data/open.jsonl": 900, "data/choice.jsonl": 100},
    settings={"optimizer.lr": 1e-6, "lora.rank": 12},
    questions=200,
    measures={"accuracy": Estimate(mean=0.5, low=0.43, high=0.57)},
)
KNOWN = Lineage(base="Qwen/Qwen2.5-VL-7B-Instruct", on_hub=True, license="apache-2.0", stages=(SFT, GRPO))


def head(card):
    return yaml.safe_load(card.partition("---\n")[2].partition("\n---")[0])


def test_the_head_names_base_licence_and_stages():
    card = model_card(KNOWN, name="me/agent", sees=True, adapter=False)
    assert card.startswith("---\n") and head(card) == {
        "base_model": "Qwen/Qwen2.5-VL-7B-Instruct",
        "base_model_relation": "finetune",
        "library_name": "transformers",
        "pipeline_tag": "video-text-to-text",
        "license": "apache-2.0",
        "tags": ["eva_lightning", "video-agent", "sft", "grpo"],
    }


def test_a_row_a_stage_and_no_number_where_nothing_was_measured():
    card = model_card(KNOWN, name="me/agent", sees=True, adapter=False)
    assert "| stage | iterations | records | questions | accuracy |\n" in card
    assert "| SFT | 50 | 400 | - | - |\n| GRPO | 120 | 1000 | 200 | 50.0% (43-57) |\n" in card
    assert "* `data/choice.jsonl`: 100 records" in card and "optimizer.lr: 1.0e-06" in card


def test_an_adapter_is_used_on_its_base_with_its_rank():
    card = model_card(KNOWN, name="me/adapter", sees=True, adapter=True)
    assert head(card)["base_model_relation"] == "adapter" and head(card)["library_name"] == "peft"
    line = f"vllm serve {KNOWN.base} --enable-lora --max-lora-rank 16 --lora-modules agent=me/adapter"
    assert line in card and 'PeftModel.from_pretrained(base, "me/adapter")' in card


def test_a_policy_of_words_and_a_base_that_is_nowhere():
    card = model_card(Lineage(base="mine", stages=(SFT,)), name="out", sees=False, adapter=False)
    assert head(card)["pipeline_tag"] == "text-generation" and "base_model" not in head(card)
    assert (
        "license" not in head(card)
        and "That of its base model (mine), which its trainer did not name." in card
    )
    assert "AutoModelForCausalLM" in card and "eva ask" not in card.partition("## How to use it")[2]


def test_what_was_written_is_read_by_the_next_stage(tmp_path):
    for name, text in beside(KNOWN, name="me/agent", sees=True, adapter=False).items():
        (tmp_path / name).write_text(text)
    assert lineage_of(str(tmp_path)) == KNOWN
    assert lineage_of(str(tmp_path), license="mit").license == "mit"
    (tmp_path / FILE).unlink()  # a model of somebody else: its card speaks
    assert lineage_of(str(tmp_path)) == Lineage(base=tmp_path.name, license="apache-2.0")
    (tmp_path / "README.md").write_text("---\nlicense: [a, b\n---\n")
    assert lineage_of(str(tmp_path)).license == ""
    (tmp_path / FILE).write_text("{")
    with pytest.raises(UsageError, match=r"eva_lightning\.json: can not be read"):
        lineage_of(str(tmp_path))
