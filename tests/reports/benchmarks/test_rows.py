"""Rows become tasks; what can not be asked is put aside by cause and never guessed at."""

from collections import Counter

import pytest

from eva_lightning.data.intake.wording import split_options
from eva_lightning.faults import UsageError
from eva_lightning.reports.benchmarks.benchmark import Benchmark
from eva_lightning.reports.benchmarks.rows import causes, read_benchmark
from tests.reports.benchmarks.making_rows import row, write_rows


@pytest.fixture
def read(tmp_path):
    """Reads rows whose videos are a.mp4 and sub/b.mp4."""
    (tmp_path / "videos" / "sub").mkdir(parents=True)
    for name in ("a.mp4", "sub/b.mp4"):
        (tmp_path / "videos" / name).touch()

    def reading(*rows, **settings):
        file = write_rows(tmp_path / "rows.jsonl", rows)
        return read_benchmark(
            Benchmark(name="Mine", file=str(file), videos=str(tmp_path / "videos"), **settings)
        )

    return reading


STYLES = {
    "A. ": "What colour?\nA. red\nB. blue",
    "A: ": "What colour?\\nA: red\\nB: blue",  # the two characters, as LSDBench has them
    "(A) ": "What colour?\n(A) red\n(B) blue\nOnly give the best option.",
}


@pytest.mark.parametrize("style", STYLES)
def test_every_style_of_options_is_read_and_the_wording_is_the_row_s_own(style, read):
    (task,), broken = read(row(text=STYLES[style]), options=style)
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
        "duplicate index": 1,
        "missing video": 1,
        "no JSON": 1,
        "no ground truth": 1,
        "no index": 1,
        "no options": 1,
        "no such option": 1,
        "no question": 1,
        "no video": 1,
    }
    assert [one.line for one in broken] == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert causes(broken[:1]) == "1 duplicate index"


def test_an_open_question_has_no_options(read):
    (task,), _ = read(row(text="What colour?", truth="a pale blue"), options="none")
    assert task.options == () and task.answer.kind == "text"


def test_a_missing_file_is_one_line():
    with pytest.raises(UsageError, match="Mine: there is no file gone.jsonl"):
        read_benchmark(Benchmark(name="Mine", file="gone.jsonl", videos="."))
