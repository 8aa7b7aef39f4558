"""Evaluations in the files that lmms-eval writes: attempts are repeats, faults are left out, intervals count
by their overlap.
"""

import json
from datetime import datetime

import pytest

from eva_lightning.reports.benchmarks.lmms_eval_files import write_lmms_eval
from tests.making import task, trajectory

NOW = datetime(2026, 11, 29, 21, 5, 7)


def asked(index, answer, source="LVBench", replica=0, **fields):
    held = task(id=f"{source}/{index}", source=source, extra={"index": index}, **fields)
    return trajectory(task=held, answer=answer, replica=replica)


def written(folder, *answered, model="runs/kto"):
    files = write_lmms_eval(folder, model, answered, NOW)
    results, *samples = [file.read_text() for file in files]
    rows = [[json.loads(line) for line in text.splitlines()] for text in samples]
    return [str(file.relative_to(folder)) for file in files], json.loads(results), rows


def test_each_benchmark_has_a_file_and_all_of_them_one_of_scores(tmp_path):
    ones = [asked(0, "B"), asked(1, "A"), asked(7, "B", source="a: b")]
    names, results, (first, second) = written(tmp_path, *ones)
    stamp = "runs__kto/20261129_210507"
    assert names == [
        f"{stamp}_results.json",
        f"{stamp}_samples_LVBench.jsonl",
        f"{stamp}_samples_a__ b.jsonl",
    ]
    assert [(row["doc_id"], row["target"], row["filtered_resps"], row["score"]) for row in first] == [
        (0, "B", "B", 1.0),
        (1, "B", "A", 0.0),
    ]
    assert [row["doc_id"] for row in second] == [7]
    told = results["results"]["LVBench"]
    assert (told["score,none"], told["score_stderr,none"]) == (0.5, 0.5)  # sqrt(0.5 / 2)
    assert results["n-samples"]["a: b"] == {"original": 1, "effective": 1}


def test_attempts_at_a_question_are_its_repeats_and_count_by_their_mean(tmp_path):
    ones = [asked(0, "B"), asked(0, "A", replica=1), asked(0, None, replica=2), asked(0, "B", replica=3)]
    _, results, ((row,),) = written(tmp_path, *ones)
    assert row["filtered_resps"] == ["B", "A", "", "B"] and row["score"] == 0.5
    assert len(row["token_counts"]) == 4 and results["results"]["LVBench"]["score_stderr,none"] == "N/A"


def test_an_interval_counts_by_its_overlap(tmp_path):
    one = asked(0, "from 10 to 15", kind="interval", value=(10.0, 20.0))
    _, _, ((row,),) = written(tmp_path, one)
    assert row["score"] == pytest.approx(0.5)


def test_what_a_fault_ended_is_left_out(tmp_path):
    broken = asked(1, None)
    broken.stop = "fault"
    _, results, (rows,) = written(tmp_path, asked(0, "B"), broken)
    assert [row["doc_id"] for row in rows] == [0]
    assert results["n-samples"]["LVBench"]["effective"] == 1
