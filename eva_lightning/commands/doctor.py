"""`eva doctor`: is everything here that training needs, and does the engine write what the policy would?

Trains nothing; what is measured, and how, is in `diagnosis/`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing, redirect_stdout
from json import dumps
from typing import Any, Literal

import torch

from eva_lightning.agent.small_talk import agent_text
from eva_lightning.commands.arguments import run_command
from eva_lightning.device import own_card
from eva_lightning.engines.base import Engine, RefreshedEngine
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.engines.vllm.adapter import installed
from eva_lightning.engines.vllm.settings import VLLMSettings
from eva_lightning.faults import Fault, UsageError
from eva_lightning.policy.loading import Policy, PolicyConfig, load_policy
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.reports.diagnosis.agreement import dtype_of
from eva_lightning.reports.diagnosis.examination import Examination, examine, findings
from eva_lightning.reports.diagnosis.finding import Finding, lines, problems
from eva_lightning.reports.diagnosis.installation import check_installation

EngineChoice = Literal["vllm", "transformers", "server"]
SleepLevel = Literal[0, 1, 2]
DEFAULTS = VLLMSettings(max_length=4096, batch_tokens=4096, max_frames=64, max_frame_tokens=64)
"""Room for what is measured here."""


def main(words: Sequence[str]) -> None:
    run_command(doctor, words, "eva doctor")


def doctor(
    model: str | None = None,
    engine: EngineChoice | None = None,
    urls: str | list[str] | None = None,
    dtype: Literal["float32", "bfloat16", "auto"] = "auto",
    sleep_level: SleepLevel | None = None,
    settings: VLLMSettings = DEFAULTS,
    json: bool = False,
) -> None:
    """Check the installation, then measure an engine against the trainer.

    A line a thing: ok, note (something is slower or missing) or problem (solve it first). With a problem the
    exit status is 1.

    Args:
        model: Folder or hub id of a Qwen2.5-VL checkpoint; None builds a tiny one with random weights.
        engine: What to measure; None takes server if there are `urls`, vllm where it is installed, else
            transformers.
        urls: Addresses of the vLLM servers of `eva serve`, one or a list, for the engine server. They must
            serve `model`.
        dtype: Type of the weights; auto is that of the checkpoint.
        sleep_level: What vLLM gives back between rollouts (see VLLMEngine); None takes 1 on a GPU and 0
            elsewhere.
        settings: How vLLM in this process is set up.
        json: Print one JSON object instead of lines.
    """
    choice = engine or ("server" if urls else "vllm" if installed() else "transformers")
    if (choice == "server") != bool(urls):
        raise UsageError(
            "--engine server needs --urls, the addresses of its servers"
            if choice == "server"
            else f"--urls are addresses of servers, and --engine {choice} has none; leave one of them out"
        )
    if choice == "server" and model is None:
        raise UsageError("name with --model the checkpoint that the servers were started with")
    installation = check_installation(needs_vllm=choice == "vllm")
    if not json:
        print(lines(installation))
    seen = None
    if not problems(installation):
        usual: SleepLevel = 1 if torch.cuda.is_available() else 0
        level = usual if sleep_level is None else sleep_level
        with redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:  # vLLM logs to stdout
            path = model or str(build_tiny(folder, corpus=agent_text()))
            policy = load_policy(PolicyConfig(path=path, dtype=dtype))
            policy.model.to(own_card())
            seen = _measure(policy, choice, urls, level, settings)
        if not json:
            print(f"\n{choice} with {model or 'a tiny policy of random weights (name yours with --model)'}:")
            print(lines(findings(seen)))
    rows = [*installation, *(findings(seen) if seen else ())]
    if json:
        print(dumps(_as_json(choice, model, installation, seen)))
    wrong = problems(rows)
    if wrong:
        names = ", ".join(finding.name for finding in wrong)
        raise Fault(f"{len(wrong)} to solve: {names}" + ("" if seen else "; no engine was measured"))


def _measure(
    policy: Policy,
    choice: EngineChoice,
    urls: str | list[str] | None,
    sleep_level: SleepLevel,
    settings: VLLMSettings,
) -> Examination:
    try:
        with closing(_start(policy, choice, urls, sleep_level, settings)) as engine:
            return examine(policy, engine)
    except Fault as fault:  # it did not even start
        return Examination(dtype=dtype_of(policy), refreshed=choice != "transformers", fault=str(fault))


def _start(
    policy: Policy,
    choice: EngineChoice,
    urls: str | list[str] | None,
    sleep_level: SleepLevel,
    settings: VLLMSettings,
) -> Engine:
    if choice == "transformers":
        return TransformersEngine(policy)
    if choice == "vllm":
        from eva_lightning.engines.vllm.engine import VLLMEngine

        return VLLMEngine(policy, settings, sleep_level=sleep_level)
    from eva_lightning.engines.vllm.server_engine import VLLMServerEngine

    engine: RefreshedEngine = VLLMServerEngine(policy, urls=[urls] if isinstance(urls, str) else urls or [])
    return engine


def _as_json(
    choice: str, model: str | None, installation: Sequence[Finding], seen: Examination | None
) -> dict[str, Any]:
    """Numbers for programs: differences in nats; null where something was not measured."""
    found = {finding.name: {"level": finding.level, "found": finding.found} for finding in installation}
    row: dict[str, Any] = {"engine": choice, "model": model, "installation": found}
    if seen is None:
        seen = Examination(dtype=torch.float32, refreshed=False)
    row["dtype"] = str(seen.dtype).removeprefix("torch.")
    largest = {str(images): one.largest for images, one in seen.by_images.items()}
    mean = {str(images): one.mean for images, one in seen.by_images.items()}
    pushed, change, slept, likeness = seen.after_push, seen.vision_change, seen.after_sleep, seen.greedy
    return row | {
        "max_abs_logprob_difference": max(largest.values(), default=None),
        "mean_abs_logprob_difference": max(mean.values(), default=None),
        "by_images": largest,
        "mean_by_images": mean,
        "tokens": sum(one.tokens for one in seen.by_images.values()),
        "after_push": {
            "max_abs_logprob_difference": pushed and pushed.largest,
            "mean_abs_logprob_difference": pushed and pushed.mean,
        },
        "vision_change_seen": change.seen(seen.dtype) if change else None,
        "sleep_keeps_policy": slept.good(seen.dtype) if slept else None,
        "greedy_equal": likeness.equal == likeness.total if likeness else None,
        "problems": [finding.name for finding in problems([*installation, *findings(seen)])],
    }
