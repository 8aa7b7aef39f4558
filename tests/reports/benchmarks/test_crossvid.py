"""CrossVid as its authors publish it: what each kind asks, what is right, and what the config makes of it."""

import json
from pathlib import Path

import pytest
import yaml

from eva_lightning.data.intake.row_shape import RowShape
from eva_lightning.reports.benchmarks.benchmark import Benchmark, read_benchmark
from eva_lightning.scoring import canonical, renderings, score
from tests.reports.benchmarks.crossvid_rows import GOLDS, QA

CONFIG = Path(__file__).parents[3] / "configs" / "benchmarks" / "crossvid.yaml"


def held():
    return yaml.safe_load(CONFIG.read_text())["data"]["init_args"]["benchmarks"]


@pytest.fixture
def tasks(tmp_path):
    """The task of each kind, its videos empty files."""
    (tmp_path / "uav" / "drawn").mkdir(parents=True)
    for name in ("a", "b", *(f"uav/drawn/{kind}-0-{view}" for kind in ("MSR", "MOC") for view in "12")):
        (tmp_path / f"{name}.mp4").touch()
    read = {}
    for one in held():
        file = tmp_path / f"{one['name']}.json"
        file.write_text(json.dumps(QA[one["name"]]))
        benchmark = Benchmark(
            name=one["name"], file=str(file), videos=str(tmp_path), shape=RowShape(**one["shape"])
        )
        made, broken = read_benchmark(benchmark)
        assert broken == []
        (read[one["name"]],) = made
    return read


def test_every_kind_is_read_with_its_gold_answer(tasks):
    assert {kind: canonical(task.answer) for kind, task in tasks.items()} == GOLDS
    kinds = {kind: task.answer.kind for kind, task in tasks.items()}
    assert (kinds["BU"], kinds["FSA"], kinds["PSS"], kinds["CCQA"]) == ("multi", "interval", "order", "text")
    assert tasks["CCQA"].extra["points"] == ["1 uses toast", "2 makes dough"]


def test_every_kind_has_its_clips(tasks):
    cuts = {kind: [(clip.id, clip.begin, clip.end) for clip in task.clips] for kind, task in tasks.items()}
    assert [len(cuts[kind]) for kind in ("BU", "NC", "CC", "PEA", "FSA", "MSR", "CCQA")] == [
        4,
        4,
        4,
        2,
        2,
        2,
        2,
    ]
    assert cuts["PEA"] == [("video 1", 3.0, 50.0), ("video 2", 0.0, 41.5)]
    assert cuts["PI"] == [("video 1", 0.0, 20.0), ("video 2", 40.0, 60.0)]
    assert cuts["PSS"] == [("video 1", 40.0, 51.0), ("video 2", 10.0, 19.0), ("video 3", 20.0, 39.0)]
    assert [Path(clip.path).name for clip in tasks["MOC"].clips] == ["MOC-0-1.mp4", "MOC-0-2.mp4"]


def test_a_question_that_no_column_holds_is_asked_in_our_words(tasks):
    assert tasks["FSA"].text.startswith("Video 1 shows a step at [5, 16] seconds. From which second")
    assert "A. They flee" in tasks["PI"].text and "shuffled pieces" in tasks["PSS"].text
    assert "{A1}" in tasks["MSR"].text  # the tag that is drawn


@pytest.mark.parametrize("kind", QA)
def test_every_rendering_of_the_gold_answer_scores_one(tasks, kind):
    for way in [GOLDS[kind], *renderings(tasks[kind])]:
        assert score(tasks[kind], way).value == 1.0, way


@pytest.mark.parametrize(
    ("kind", "said", "value"),
    [
        ("FSA", "[16, 23]", 1.0),  # a list
        ("FSA", "[16.0, 23.0]", 1.0),
        ("FSA", "[16, 19.5]", 0.5),
        ("FSA", "15,23", 7 / 8),
        ("BU", '["B", "D"]', 1.0),
        ("BU", "D, B", 1.0),
        ("BU", "BD", 1.0),
        ("BU", "Video B, Video D", 1.0),  # not the A of a word
        ("BU", "B", 0.0),
        ("PSS", "2 -> 3 -> 1", 1.0),  # spaces in an order
        ("PSS", "2, 3, 1", 1.0),
        ("PSS", "231", 1.0),
        ("PSS", "2->1->3", 0.0),
        ("MOC", "Because it is C", 0.0),  # the B of "Because" is no letter
        ("MSR", "Answer: A", 1.0),  # nor is that of "Answer"
        ("MOC", "B: 3", 1.0),
        ("PI", "B: They trade", 1.0),
        ("PI", "Error: Loop ended unexpectedly.", 0.0),
    ],
)
def test_what_other_scorers_get_wrong_is_right(tasks, kind, said, value):
    assert score(tasks[kind], said).value == pytest.approx(value)


def test_a_folder_of_pictures_is_refused_by_its_name(tmp_path):
    (tmp_path / "frames" / "22-1").mkdir(parents=True)
    (tmp_path / "MOC.json").write_text(json.dumps(QA["MOC"]))
    shape = RowShape(video=["frames/{vid}-1"], options="options")
    benchmark = Benchmark(name="MOC", file=str(tmp_path / "MOC.json"), videos=str(tmp_path), shape=shape)
    tasks, (broken,) = read_benchmark(benchmark)
    assert tasks == [] and broken.cause == "folder of pictures" and "eva draw" in broken.detail


@pytest.mark.parametrize(
    ("kind", "changed", "detail"),
    [
        ("PEA", {"begin": [3]}, "begin: 1 seconds for 2 videos"),
        ("PSS", {"segments": {"1": [[1, 2]], "3": [[4, 5]]}}, "has the keys 1, 3; want 1, 2, 3"),
        ("PSS", {"segments": {"1": [[5, 2]]}}, "begin 5"),
        ("PI", {"ending": "late"}, "no range of seconds"),
        ("CCQA", {"scoring_points": "toast"}, "no list of statements"),
        ("FSA", {"video B": ""}, "video B is empty"),
    ],
)
def test_a_row_that_can_not_be_asked_says_which_column(tmp_path, kind, changed, detail):
    for name in "ab":
        (tmp_path / f"{name}.mp4").touch()
    (tmp_path / "rows.json").write_text(json.dumps([QA[kind][0] | changed]))
    (shape,) = (one["shape"] for one in held() if one["name"] == kind)
    benchmark = Benchmark(
        name=kind, file=str(tmp_path / "rows.json"), videos=str(tmp_path), shape=RowShape(**shape)
    )
    tasks, (broken,) = read_benchmark(benchmark)
    assert tasks == [] and detail in broken.detail
