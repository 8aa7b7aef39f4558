"""Rows of any shape become questions of a benchmark; what can not be asked is put aside by cause and never
guessed at."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from eva_lightning.data.intake.row_shape import RowShape
from eva_lightning.data.intake.wording import split_options
from eva_lightning.faults import UsageError
from eva_lightning.reports.benchmarks.benchmark import Benchmark, read_benchmark
from eva_lightning.scoring import score
from tests.reports.benchmarks.making_rows import SHAPE, row, write_rows


@pytest.fixture
def read(tmp_path):
    """Reads rows whose videos are a.mp4 and sub/b.mp4."""
    (tmp_path / "videos" / "sub").mkdir(parents=True)
    for name in ("a.mp4", "sub/b.mp4"):
        (tmp_path / "videos" / name).touch()

    def reading(*rows, **settings):
        file = write_rows(tmp_path / "rows.jsonl", rows)
        videos, shape = str(tmp_path / "videos"), RowShape(**SHAPE | settings)
        return read_benchmark(Benchmark(name="Mine", file=str(file), videos=videos, shape=shape))

    return reading


STYLES = {
    "A. ": "What colour?\nA. red\nB. blue",
    "A: ": "What colour?\\nA: red\\nB: blue",  # the two characters, as LSDBench has them
    "(A) ": "What colour?\n(A) red\n(B) blue\nOnly give the best option.",
}


@pytest.mark.parametrize("style", STYLES)
def test_every_style_of_options_is_read_and_the_wording_is_the_row_s_own(style, read):
    (task,), broken = read(row(text=STYLES[style]), option_style=style)
    assert (task.question, task.options, task.answer.value) == ("What colour?", ("red", "blue"), "B")
    assert task.text == STYLES[style].replace("\\n", "\n") and not broken
    assert task.id == "Mine/0" and task.source == "Mine"


def test_a_line_of_the_question_that_looks_like_an_option_is_none():
    text = "Read this:\nA. Smith wrote it.\nWho?\nA. Smith\nB. Jones"
    assert split_options(text, "A. ") == ("Read this:\nA. Smith wrote it.\nWho?", ("Smith", "Jones"))


def test_a_video_is_found_by_the_longest_tail_of_its_path(read, tmp_path):
    rows = [row(0), row(1, "/data/MLVU/video/sub/b.mp4"), row(2, str(tmp_path / "videos" / "a.mp4"))]
    tasks, _ = read(*rows)
    assert [task.clips[0].path.removeprefix(str(tmp_path)) for task in tasks] == [
        "/videos/a.mp4",
        "/videos/sub/b.mp4",
        "/videos/a.mp4",
    ]


def test_kind_and_evidence_are_kept(read):
    extra = {"question_type": "['entity recognition']", "time_reference": "01:05-01:20"}
    (task,), _ = read(row(**extra), category="question_type", evidence="time_reference")
    assert task.extra["category"] == "entity recognition" and list(map(str, task.evidence)) == ["65 to 80 s"]


def test_what_can_not_be_asked_is_counted_by_cause(read):
    without = row(7)
    del without["reward_model"]
    nameless = row(8)
    del nameless["index"]
    tasks, broken = read(
        row(0),
        row(0),
        row(1, "gone.mp4"),
        "{not json",
        without,
        nameless,
        row(2, text="What colour? red or blue"),
        row(3, truth="D"),
        row(4, text=" "),
        row(5) | {"videos": []},
    )
    assert [task.id for task in tasks] == ["Mine/0"]
    assert Counter(one.cause for one in broken) == {
        "duplicate id": 1,
        "missing video": 1,
        "not JSON": 1,
        "no reward_model.ground_truth": 1,
        "no index": 1,
        "no options": 1,
        "no such option": 1,
        "empty question": 1,
        "no videos": 1,
    }
    assert [int(one.place.rpartition(":")[2]) for one in broken] == [2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_a_letter_is_a_letter_though_an_option_says_the_same(read):
    # The second option is the word A: as words, the gold "A" would mean B.
    (task,), _ = read(row(text="Which letter is on the shirt?\nA. B\nB. A", truth="a"))
    assert task.answer.value == "A"
    _, (broken,) = read(row(truth="blue"))
    assert broken.detail == "answer 'blue' counts from A, but there are 3 options"


def test_ids_and_what_is_kept_are_those_of_answers_that_are_there_already(read):
    (first, second), _ = read(row(7, source="web"), row("x8"))
    assert (first.id, first.source, dict(first.extra)) == ("Mine/7", "Mine", {"index": 7})
    assert (second.id, dict(second.extra)) == ("Mine/x8", {"index": "x8"})


def test_a_benchmark_of_another_kind_is_a_table_and_a_shape(tmp_path):
    (tmp_path / "3MSZA.mp4").touch()
    (tmp_path / "rows.csv").write_text("vid,query,moment\n3MSZA,When does it rain?,24.3-30.4\n")
    shape = RowShape(
        id=None, video="vid", video_path="{}.mp4", question="query", answer="moment", answer_kind="interval"
    )
    charades = Benchmark(name="C", file=str(tmp_path / "rows.csv"), videos=str(tmp_path), shape=shape)
    (task,), broken = read_benchmark(charades)
    assert (task.id, task.extra["index"], task.answer.kind, task.answer.value, broken) == (
        "C/1",
        1,
        "interval",
        (24.3, 30.4),
        [],
    )
    assert score(task, "24.3-30.4").correct
    nested = replace(charades, file=str(tmp_path / "a.json"), shape=replace(shape, answer="gold.when"))
    (tmp_path / "a.json").write_text(
        json.dumps([{"vid": "3MSZA", "query": "When?", "gold": {"when": [1, 2]}}])
    )
    assert read_benchmark(nested)[0][0].answer.value == (1.0, 2.0)
    with pytest.raises(UsageError, match="C: shape.answer is null"):
        read_benchmark(replace(charades, shape=replace(shape, answer=None)))


def test_an_open_question_has_no_options(read):
    (task,), _ = read(row(text="What colour?", truth="a pale blue"), option_style="none")
    assert task.options == () and task.answer.kind == "text"


def test_a_missing_file_is_one_line():
    with pytest.raises(UsageError, match="Mine: gone.jsonl: there is no such file"):
        read_benchmark(Benchmark(name="Mine", file="gone.jsonl", videos="."))
