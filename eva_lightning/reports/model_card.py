"""The model card of an export: what the policy is, where it comes from, what it can do, how it is used.

Words only, all of them from the lineage; the head is what the model hub reads.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import yaml  # type: ignore[import-untyped]

from eva_lightning.files.row_version import to_row
from eva_lightning.reports.comparison import as_markdown, spelled
from eva_lightning.reports.lineage import FILE, Lineage, Stage

VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks of adapters that vLLM can make room for."""


def beside(lineage: Lineage, *, name: str, sees: bool, adapter: bool) -> dict[str, str]:
    """The texts that go with an export, by file: its card, and the lineage for whoever trains on.

    Args:
        lineage: Where the policy comes from.
        name: How it is called by whoever loads it: OWNER/NAME on a hub, or its folder.
        sees: Whether it is shown frames; a policy of words is not.
        adapter: Whether the folder holds an adapter alone.
    """
    told = json.dumps(to_row(lineage), indent=2, ensure_ascii=False) + "\n"
    return {"README.md": model_card(lineage, name=name, sees=sees, adapter=adapter), FILE: told}


def model_card(lineage: Lineage, *, name: str, sees: bool, adapter: bool) -> str:
    """The whole of README.md."""
    last = lineage.stages[-1].name if lineage.stages else "not trained"
    parts = [
        f"---\n{yaml.safe_dump(_head(lineage, sees, adapter), sort_keys=False, allow_unicode=True)}---",
        f"# {name}",
        _opening(lineage, sees, adapter, last),
        "## How it was trained",
        _table(lineage.stages),
        *map(_data, lineage.stages),
        *map(_settings, lineage.stages),
        "## How to use it",
        _use(lineage, name, sees, adapter),
        "## Licence",
        _licence(lineage),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(lineage: Lineage, sees: bool, adapter: bool) -> dict[str, object]:
    head: dict[str, object] = {}
    if lineage.on_hub:
        head |= {"base_model": lineage.base, "base_model_relation": "adapter" if adapter else "finetune"}
    head["library_name"] = "peft" if adapter else "transformers"
    head["pipeline_tag"] = "video-text-to-text" if sees else "text-generation"
    if lineage.license:
        head["license"] = lineage.license
    stages = dict.fromkeys(stage.name.lower() for stage in lineage.stages)
    head["tags"] = ["eva_lightning", "video-agent", *stages]
    return head


def _opening(lineage: Lineage, sees: bool, adapter: bool, last: str) -> str:
    kind = "An adapter (PEFT) that makes" if adapter else "Weights of"
    agent = "a video agent that plans before it looks" if sees else "an agent that plans before it asks"
    base = (
        f"[{lineage.base}](https://huggingface.co/{lineage.base})" if lineage.on_hub else f"`{lineage.base}`"
    )
    of = f" of {base}" if adapter else f", trained from {base}"
    return (
        f"{kind} {agent}{of}; its last stage is {last}. Trained with eva_lightning, which acts with it: "
        f"tools and limits are the agent's, not the model's. `{FILE}` holds all that is said here as JSON."
    )


def _table(stages: Sequence[Stage]) -> str:
    """A row a stage, with 95 % intervals over questions where it was evaluated."""
    known = list(dict.fromkeys(name for stage in stages for name in stage.measures))
    head = ["stage", "iterations", "records", *(["questions"] if known else []), *known]
    rows = [head]
    for stage in stages:
        found = [spelled(stage.measures.get(name), name) for name in known]
        asked = [str(stage.questions or "-")] if known else []
        rows.append([stage.name, str(stage.iterations), str(sum(stage.data.values()) or "-"), *asked, *found])
    below = "Held-out questions after each stage; in brackets 95 % intervals over questions."
    return f"{as_markdown(rows)}\n{below if known else 'No evaluation was at hand.'}"


def _data(stage: Stage) -> str:
    rows = "".join(f"\n* `{name}`: {count} records" for name, count in stage.data.items())
    return f"{stage.name} drew from{rows}" if rows else ""


def _settings(stage: Stage) -> str:
    if not stage.settings:
        return ""
    told = yaml.safe_dump(dict(stage.settings), sort_keys=True, allow_unicode=True)
    return f"Settings of {stage.name} that are not the usual ones:\n\n```yaml\n{told}```"


def _use(lineage: Lineage, name: str, sees: bool, adapter: bool) -> str:
    architecture = "AutoModelForImageTextToText" if sees else "AutoModelForCausalLM"
    reader = "AutoProcessor" if sees else "AutoTokenizer"
    ask = f'eva ask talk.mp4 "When does the speaker switch on the projector?" --model {name}'
    if adapter:
        base = lineage.base or "BASE"
        python = (
            f"from peft import PeftModel\nfrom transformers import {architecture}\n\n"
            f'base = {architecture}.from_pretrained("{base}")\n'
            f'model = PeftModel.from_pretrained(base, "{name}")'
        )
        asked = lineage.stages[-1].settings.get("lora.rank", 64) if lineage.stages else 64
        rank = next((one for one in VLLM_RANKS if one >= asked), asked)
        serve = f"vllm serve {base} --enable-lora --max-lora-rank {rank} --lora-modules agent={name}"
        merged = "`eva` wants it merged: `eva export` without `--adapter`."
        return f"```python\n{python}\n```\n\n```bash\n{serve}\n```\n\n{merged}"
    python = (
        f"from transformers import {reader}, {architecture}\n\n"
        f'processor = {reader}.from_pretrained("{name}")\nmodel = {architecture}.from_pretrained("{name}")'
    )
    lines = [ask, f"vllm serve {name}"] if sees else [f"vllm serve {name}"]
    return f"```python\n{python}\n```\n\n```bash\n" + "\n".join(lines) + "\n```"


def _licence(lineage: Lineage) -> str:
    if lineage.license:
        return f"{lineage.license}. Of the data nothing is said by it."
    base = f" ({lineage.base})" if lineage.base else ""
    return f"That of its base model{base}, which its trainer did not name."
