"""eva prepare: rows of files people have in, tasks out; what is left out is counted and told."""

import asyncio
import json
import shutil
from contextlib import closing
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eva_lightning.agent.config import AgentConfig
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.cli import main
from eva_lightning.files.store import read
from eva_lightning.records import Task
from eva_lightning.video.frame_store import FrameStore
from tests.files.small_disk import small_disk
from tests.video import footage

GOOD = {"id": 1, "question": "Who?", "answer": "a dog", "video": "a.mp4", "length": 1800}


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Two seconds of film."""
    return footage.write(tmp_path_factory.mktemp("film") / "film.mp4", times=[i / 25 for i in range(50)])


@pytest.fixture
def prepare(tmp_path, capsys):
    """Runs `eva prepare` on rows; its status, what it wrote, what it said."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").touch()

    def preparing(rows, *words, name="rows.jsonl"):
        file = tmp_path / name
        if name.endswith(".parquet"):
            pq.write_table(pa.Table.from_pylist(rows), file)
        else:
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        out = tmp_path / "tasks.jsonl"
        given = ["--rows", str(file), "--videos", str(tmp_path / "clips"), "--out", str(out)]
        status = main(["prepare", *given, *words])
        said = capsys.readouterr()
        return status, read(out, Task) if out.exists() else [], said.out + said.err

    return preparing


def test_tasks_videos_and_hours_are_told(prepare):
    rows = [GOOD, GOOD | {"id": 2, "answer": 3}, GOOD | {"id": 3, "from": "tv"}]
    status, tasks, said = prepare(rows, "--shape.duration", "length")
    assert status == 0
    assert [one.id for one in tasks] == ["rows/1", "rows/2", "rows/3"]
    assert tasks[0].clips[0].path == "clips/a.mp4"  # the folder can be moved
    assert "rows    number      1\nrows      text      2" in said
    assert "1 videos, 0.5 hours\n3 tasks in" in said


def test_a_column_to_keep_that_no_row_has_is_refused_and_one_that_some_have_is_not(prepare):
    rows = [GOOD, GOOD | {"id": 2, "from": "tv"}]
    status, tasks, said = prepare(rows, "--shape.keep", "[foo]")
    assert status == 1 and tasks == []
    assert "no row has the column 'foo' of shape.keep (id, question, answer, video, length, from)" in said
    status, tasks, _ = prepare(rows, "--shape.keep", "[from]")
    assert status == 0 and [one.extra.get("from") for one in tasks] == [None, "tv"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            GOOD | {"video": "b.mp4"},
            "rows.jsonl:2: no file b.mp4 in {} (--missing skip leaves such rows out)",
        ),
        (GOOD, "rows.jsonl:2: id: rows/1 came before; shape.id null numbers the rows (--bad skip"),
        (GOOD | {"id": 2, "question": " "}, "rows.jsonl:2: question is empty (--bad skip"),
    ],
)
def test_a_row_that_can_not_be_asked_stops_it_with_its_place(prepare, tmp_path, row, said):
    status, tasks, told = prepare([GOOD, row])
    assert status == 1 and tasks == []
    assert said.format(tmp_path / "clips") in told


def test_rows_of_several_files_are_numbered_on(prepare, tmp_path):
    other = tmp_path / "other.json"
    other.write_text(json.dumps([GOOD, GOOD]))
    words = ["--rows", f"[{tmp_path / 'rows.jsonl'},{other}]", "--shape.id", "null", "--shape.name", "tv"]
    _, tasks, _ = prepare([GOOD], *words)
    assert [one.id for one in tasks] == ["tv/1", "tv/2", "tv/3"]


def test_in_parquet_the_place_is_the_row_s_number(prepare):
    _, _, said = prepare([GOOD, GOOD], name="rows.parquet")
    assert "rows.parquet row 2: id: rows/1 came before" in said


def test_rows_left_out_are_counted_by_cause_with_one_of_each(prepare):
    rows = [
        GOOD,
        GOOD | {"id": 2, "video": "b.mp4"},
        GOOD | {"id": 3, "video": "c.mp4"},
        GOOD | {"id": 4, "question": ""},
        GOOD,
    ]
    status, tasks, said = prepare(rows, "--missing", "skip", "--bad", "skip")
    assert status == 0 and len(tasks) == 1
    assert "4 rows left out: 2 missing video, 1 empty question, 1 duplicate id" in said
    assert "missing video, for example" in said and "rows.jsonl:2: no file b.mp4" in said


def test_a_line_that_can_not_be_read_is_left_out_like_any_other_row(prepare, tmp_path, capsys):
    prepare([GOOD])
    file, out = tmp_path / "rows.jsonl", tmp_path / "tasks.jsonl"
    file.write_bytes(b'{"id": ,}\n' + file.read_bytes() + b'{"id": "\xff"}\n')
    words = ["prepare", "--rows", str(file), "--videos", str(tmp_path / "clips"), "--out", str(out)]
    assert main(words) == 1
    assert "rows.jsonl:1: not JSON (Expecting value at column 8) (--bad skip" in capsys.readouterr().err
    assert main([*words, "--bad", "skip"]) == 0
    assert [one.id for one in read(out, Task)] == ["rows/1"]
    assert "2 rows left out: 1 not JSON, 1 not UTF-8" in capsys.readouterr().out


def test_rows_of_which_none_can_be_asked_write_nothing(prepare):
    status, tasks, said = prepare([GOOD | {"video": "b.mp4"}], "--missing", "skip")
    assert status == 1 and tasks == []
    assert "none of 1 rows can be asked (1 missing video)" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--limit", "0"], "limit is 0: want 1 or more"),
        (["--videos", "nowhere"], "nowhere: is no folder"),
        (["--shape.answer_kind", "guess"], "answer_kind"),
        (["--config", "eva/none.yaml"], "none.yaml"),
    ],
)
def test_wrong_words_are_refused_in_a_line(prepare, capsys, words, said):
    try:
        status, _, told = prepare([GOOD], *words)
    except SystemExit as leaving:
        status, told = leaving.code, capsys.readouterr().err
    assert status in (1, 2)
    assert said in told.splitlines()[-1] and "Traceback" not in told


def test_held_out_videos_are_trained_on_by_nobody_and_stay_held_out_when_rows_are_added(prepare, tmp_path):
    rows = [
        GOOD | {"id": i, "video": f"{i // 2}.mp4"} for i in range(80)
    ]  # two questions about each of 40 videos
    for number in range(50):
        (tmp_path / "clips" / f"{number}.mp4").touch()
    status, tasks, said = prepare(rows, "--held_out", "0.25")
    kept = read(tmp_path / "tasks.held_out.jsonl", Task)
    videos = {one.clips[0].path for one in kept}
    assert status == 0 and len(tasks) + len(kept) == 80 and len(kept) == 2 * len(videos)
    assert 4 <= len(videos) <= 16 and not videos & {one.clips[0].path for one in tasks}
    assert f"{len(tasks)} tasks in" in said and f"{len(kept)} tasks in" in said
    more = [GOOD | {"id": 100 + i, "video": f"{40 + i}.mp4"} for i in range(10)]
    prepare(more + rows, "--held_out", "0.25")
    again = {one.clips[0].path for one in read(tmp_path / "tasks.held_out.jsonl", Task)}
    assert videos <= again and not again & {one.clips[0].path for one in tasks}


@pytest.mark.parametrize(("share", "taken"), [("0.01", "none"), ("0.9999", "all")])
def test_a_share_that_takes_none_or_all_is_told_and_nothing_is_written(prepare, share, taken):
    prepare([GOOD, GOOD | {"id": 2}])
    status, tasks, said = prepare([GOOD], "--held_out", share)
    assert status == 1 and f"held_out {share} takes {taken} of the videos; want another share" in said
    assert len(tasks) == 2  # of the run before


def test_tasks_that_were_held_out_are_not_trained_on_by_a_forgotten_word(prepare, tmp_path):
    (tmp_path / "tasks.held_out.jsonl").touch()
    status, tasks, said = prepare([GOOD])
    assert status == 1 and not tasks and "say --held_out again, or delete it" in said


def test_proxies_are_made_once_and_a_video_that_has_none_is_told_in_one_line(prepare, tmp_path, video):
    shutil.copy(video.path, tmp_path / "clips" / "b.mp4")
    shutil.copy(video.path, tmp_path / "clips" / "c.mp4")  # the same content: one proxy
    rows = [GOOD | {"id": name, "video": f"{name}.mp4"} for name in "abc"]
    words = ("--proxies", str(tmp_path / "proxies"), "--proxy_pixels", "4704")
    status, tasks, said = prepare(rows, *words)
    assert status == 0 and len(tasks) == 3
    assert "no proxy: " in said and "a.mp4: the file is empty; fetch the video again\n" in said
    assert "1 proxies made in" in said and "1 were there; 1 videos have none" in said
    (made,) = (tmp_path / "proxies").iterdir()
    before = made.stat().st_mtime_ns
    assert "0 proxies made in" in prepare(rows, *words)[2]
    assert made.stat().st_mtime_ns == before
    task = next(one for one in tasks if one.id.endswith("/b"))
    with closing(VideoWorld(FrameStore(proxies=tmp_path / "proxies"))) as world:
        clip = replace(task.clips[0], path=str(tmp_path / task.clips[0].path))
        (seen,) = asyncio.run(world.look(clip, [1.0], 56, 84))
        assert seen.content.proxy == made.stem
        assert world.pixels(clip, seen.content).shape == (56, 84, 3)
        assert AgentConfig(world=world).facts()["proxies"] == str(tmp_path / "proxies")
    assert "proxies" not in AgentConfig(world=VideoWorld()).facts()


def test_a_full_disk_is_no_fault_of_a_video_and_leaves_no_half_of_a_proxy(prepare, tmp_path, video):
    shutil.copy(video.path, tmp_path / "clips" / "b.mp4")
    (tmp_path / "file").touch()
    rows = [GOOD | {"video": "b.mp4"}]
    status, _, said = prepare(rows, "--proxies", str(tmp_path / "file"))
    assert status == 1 and "file: can not be a folder (File exists); name another" in said
    with small_disk(20_000):
        status, _, said = prepare(rows, "--proxies", str(tmp_path / "proxies"))
    assert status == 1 and "can not be written (File too large); make room, and call it again" in said
    assert not list((tmp_path / "proxies").iterdir())
