"""The shipped configs of public benchmarks read what their authors publish, and refuse anything else."""

from pathlib import Path

import pytest
import yaml

from eva_lightning.data.intake.row import Beside, Table
from eva_lightning.data.intake.row_shape import RowShape
from eva_lightning.faults import UsageError
from eva_lightning.reports.benchmarks.benchmark import Benchmark, read_benchmark
from eva_lightning.scoring import canonical, renderings, score
from tests.reports.benchmarks.public_forms import FORMS, lay_out

CONFIGS = Path(__file__).parents[3] / "configs" / "benchmarks"


def configured(name):
    """The entry of a config, as plain values: "videommmu/Adaptation" is one of three."""
    file, _, one = name.partition("/")
    held = yaml.safe_load((CONFIGS / f"{file}.yaml").read_text())["data"]["init_args"]["benchmarks"]
    return next(entry for entry in held if entry["name"].endswith(one))


def read(name, folder):
    """The tasks and broken rows of a form that lies in a folder."""
    entry = configured(name)
    table = entry.get("table", {})
    table = Table(**table | {"beside": {key: Beside(**one) for key, one in table.get("beside", {}).items()}})
    shape = RowShape(**entry["shape"])
    file = str(folder / FORMS[name].rows)
    return read_benchmark(
        Benchmark(name=entry["name"], file=file, videos=str(folder / "videos"), shape=shape, table=table)
    )


@pytest.mark.parametrize("name", FORMS)
def test_the_questions_of_a_public_benchmark_are_read_from_what_its_authors_publish(name, tmp_path):
    lay_out(FORMS[name], tmp_path)
    tasks, broken = read(name, tmp_path)
    assert not broken and tuple(canonical(one.answer) for one in tasks) == FORMS[name].golds
    assert len({one.id for one in tasks}) == len(tasks)
    for one in tasks:
        assert all(score(one, way).value == 1.0 for way in renderings(one))


@pytest.mark.parametrize("name", FORMS)
def test_a_field_that_is_something_else_is_refused_by_file_line_and_name(name, tmp_path):
    spoilt, said = FORMS[name].wrong
    file = lay_out(FORMS[name], tmp_path)
    file.write_bytes(spoilt if isinstance(spoilt, bytes) else spoilt.encode())
    _, broken = read(name, tmp_path)
    told = f"{broken[0].place}: {broken[0].detail}"
    assert said in told and str(tmp_path) in told


def test_questions_say_how_to_answer_and_keep_what_belongs_to_them(tmp_path):
    lay_out(FORMS["nextgqa"], tmp_path)
    first, second = read("nextgqa", tmp_path)[0]
    assert first.id == "NExT-GQA/2574374895_8" and first.extra["index"] == "2574374895_8"
    assert first.question.startswith("what did the baby do at the end? Say the seconds")
    assert first.text.endswith("\nA. clap\nB. sit down\nC. lay on floor\nD. jump\nE. crawl")
    assert first.clips[0].path.endswith("videos/0101/2574374895.mp4")
    assert [str(one) for one in second.evidence] == ["1.2 to 5.8 s", "9 to 11 s"]
    assert second.answer.grounds == ((1.2, 5.8), (9.0, 11.0)) and second.extra["category"] == "CW"


def test_kinds_of_answers_follow_the_column_that_names_them(tmp_path):
    lay_out(FORMS["vsibench"], tmp_path)
    assert [one.answer.kind for one in read("vsibench", tmp_path)[0]] == ["mra", "choice", "mra"]


def test_a_file_beside_that_lacks_a_row_is_named(tmp_path):
    lay_out(FORMS["nextgqa"], tmp_path)
    (tmp_path / "map_vid_vidorID.json").write_text("{}")
    tasks, broken = read("nextgqa", tmp_path)
    assert not tasks and broken[0].detail == "map_vid_vidorID.json has no '2574374895', which video_id names"
    (tmp_path / "gsub_test.json").unlink()
    with pytest.raises(UsageError, match=r"gsub_test.json: there is no such file; table.beside names it"):
        read("nextgqa", tmp_path)
