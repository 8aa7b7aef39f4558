"""Files as lmms-eval writes them: a row for each question, and the scores of all tasks.

So its tools read what was measured here: its tables, and `--baseline`, which pairs two evaluations question
by question.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from eva_lightning.files.atomic import appearing
from eva_lightning.files.encoding import encode
from eva_lightning.files.store import write
from eva_lightning.records import Trajectory
from eva_lightning.reports.benchmarks.result import Result, result_of

METRICS = ("score", "correct")
"""What a task is told by: how good an answer is (an overlap, a judge's points), and whether it is right."""


def write_lmms_eval(folder: Path, model: str, answered: Sequence[Trajectory], date: datetime) -> list[Path]:
    """The files of one model: `DATE_results.json`, and `DATE_samples_TASK.jsonl` of each benchmark.

    What a fault ended is in none of them.
    """
    tasks: dict[str, dict[str, list[Trajectory]]] = {}
    for one in answered:
        if one.stop != "fault":
            tasks.setdefault(one.task.source or "all", {}).setdefault(one.task.id, []).append(one)
    place, stamp = folder / _sanitized(model), date.strftime("%Y%m%d_%H%M%S")
    written, held = list[Path](), dict[str, list[dict[str, Any]]]()
    for name, questions in tasks.items():
        held[name] = [sample_row(attempts) for attempts in questions.values()]
        written.append(place / f"{stamp}_samples_{_sanitized(name)}.jsonl")
        write(written[-1], held[name])
    results = place / f"{stamp}_results.json"
    with appearing(results) as part:
        part.write_text(json.dumps(_results(held, model, stamp), indent=2, ensure_ascii=False) + "\n")
    return [results, *written]


def sample_row(attempts: Sequence[Trajectory]) -> dict[str, Any]:
    """The row of a question: its attempts are lmms-eval's repeats, told by their mean."""
    first, results = attempts[0], [result_of(one) for one in attempts]
    said = [one.answer for one in results]
    return {
        "doc_id": results[0].index,
        "target": results[0].gt,
        "filtered_resps": said[0] if len(said) == 1 else said,
        "token_counts": [_tokens(one) for one in results],
        "doc_hash": hashlib.sha256(json.dumps(encode(first.task), sort_keys=True).encode()).hexdigest(),
        "score": fmean(one.value for one in results),
        "correct": fmean(float(one.correct) for one in results),
        "input": first.task.text,
    }


def _tokens(one: Result) -> dict[str, int]:
    return {"input_tokens": one.ledger.total - one.ledger.written, "output_tokens": one.ledger.written}


def _results(held: dict[str, list[dict[str, Any]]], model: str, stamp: str) -> dict[str, Any]:
    """What lmms-eval prints as a table."""
    return {
        "results": {name: {"alias": name, **_scores(rows)} for name, rows in held.items()},
        "group_subtasks": {name: [] for name in held},
        "configs": {name: _config(name) for name in held},
        "versions": dict.fromkeys(held, "eva test"),
        "n-shot": dict.fromkeys(held, 0),
        "higher_is_better": {name: dict.fromkeys(METRICS, True) for name in held},
        "n-samples": {name: {"original": len(rows), "effective": len(rows)} for name, rows in held.items()},
        "config": {"model": "eva_agent", "model_args": f"pretrained={model}"},
        "date": stamp,
        "model_name": model,
        "model_name_sanitized": _sanitized(model),
    }


def _scores(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard error of each metric, under lmms-eval's keys "METRIC,FILTER"."""
    scores: dict[str, Any] = {}
    for metric in METRICS:
        values = [row[metric] for row in rows]
        scores[f"{metric},none"] = fmean(values)
        error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else "N/A"
        scores[f"{metric}_stderr,none"] = error
    return scores


def _config(name: str) -> dict[str, Any]:
    metrics = [{"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in METRICS]
    return {"task": name, "output_type": "generate_until", "score_key": "score", "metric_list": metrics}


def _sanitized(name: str) -> str:
    """A name as lmms-eval makes it a file's.

    >>> _sanitized("runs/kto: 2")
    'runs__kto__ 2'
    """
    return re.sub(r'["<>:/|\\?*\[\]]+', "__", name)
