"""Rows of LongVT, Video-o3, verl and ms-swift about videos become tasks; what was written for them is acted
out by our tool on the videos themselves.
"""

import json
import re

import pyarrow
import pyarrow.parquet
import pytest

from eva_lightning.agent.dialects.vital import VitalDialect
from eva_lightning.agent.tools.clip_frames import ClipFrames
from eva_lightning.cli import main
from eva_lightning.data.exchange.footage import Footage
from eva_lightning.data.exchange.looks import looks_of
from eva_lightning.data.intake.video_folder import VideoFolder
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.files.encoding import FieldError
from eva_lightning.files.store import read
from eva_lightning.records import Span, Task, Trajectory
from tests.data.exchange.public_rows import (
    longvt_question,
    longvt_trace,
    swift_trace,
    verl_question,
    verl_trace,
    video_o3_question,
    video_o3_trace,
)

VITAL = ["--agent.dialect", "VitalDialect", "--agent.dialect.explain_tools", "false"]
VITAL += [
    "--agent.tools",
    '[{"class_path": "ClipFrames", "init_args": {"fps": 1.0, "frames": 8, "calls": null}}]',
]
OPTIONS = ("red", "blue", "green", "pink")
QUESTION = "Which colour comes first?"
TRACES = [
    longvt_trace("a.mp4", QUESTION, "blue"),
    verl_trace("a.mp4", QUESTION, "blue"),
    swift_trace("a.mp4", QUESTION, "blue"),
    video_o3_trace("a.mp4", QUESTION, OPTIONS, "B"),
]
QUESTIONS = [
    longvt_question("a.mp4", QUESTION, "blue"),
    verl_question("a.mp4", QUESTION, "blue"),
    video_o3_question("a.mp4", QUESTION, OPTIONS, "B"),
]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    small = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
    world = build_world(folder, 1, small, families=["colour_at"], per_family=1)
    clips = folder / "videos"
    clips.mkdir()
    (folder / "clips" / f"{world.scripts[0].id}.mp4").rename(clips / "a.mp4")
    return clips


@pytest.fixture
def convert(tmp_path, videos, capsys):
    """The tasks of rows, or the status, and what was said."""

    def converting(*rows, words=(), name="rows.jsonl"):
        file, out = tmp_path / name, tmp_path / "tasks.jsonl"
        if name.endswith(".parquet"):
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), file)
        else:
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        given = ["--rows", str(file), "--out", str(out), "--to", "tasks", "--videos", str(videos)]
        status = main(["convert", *given, *words])
        said = capsys.readouterr()
        return (read(out, Task) if status == 0 else status), said.out + said.err

    return converting


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
@pytest.mark.parametrize("row", TRACES, ids=["LongVT", "verl", "ms-swift", "Video-o3"])
def test_a_trace_is_a_question_with_the_turns_that_were_written(convert, row, name):
    (task,), said = convert(row, words=VITAL, name=name)
    assert (task.id, task.source, task.question) == ("rows/1", "rows", QUESTION)
    assert [clip.path.rpartition("/")[2] for clip in task.clips] == ["a.mp4"]
    look, answer = task.extra["turns"]
    call = re.search(r"<tool_call>(.*)</tool_call>", look)[1]
    assert json.loads(call) == {
        "name": "get_video_clip_frame",
        "arguments": {"start_time": 12, "end_time": 30},
    }
    assert look.startswith("<think>") and answer.startswith("<think>") and answer.endswith("</answer>")
    assert "1 of them with the turns that were written" in said


@pytest.mark.parametrize("row", QUESTIONS, ids=["LongVT", "verl", "Video-o3"])
def test_a_row_for_rl_is_a_question_with_its_gold_answer_and_where_it_is_seen(convert, row):
    (task,), _ = convert(row)
    assert task.question == QUESTION and "turns" not in task.extra
    assert (task.answer.kind, task.answer.value) == (("choice", "B") if task.options else ("text", "blue"))
    assert task.options in ((), OPTIONS)
    if row is not QUESTIONS[1]:
        assert task.evidence == (Span(clip="video", start=12.0, end=30.0),)


def test_what_others_wrote_is_acted_out_on_the_video_itself(convert, tmp_path):
    tasks, said = convert(*TRACES, words=VITAL)
    assert "4 tasks" in said and "1 of them without a gold answer" not in said.split("\n")[0]
    out = tmp_path / "made.jsonl"
    given = ["--tasks", str(tmp_path / "tasks.jsonl"), "--out", str(out), "--written", "turns"]
    assert main(["collect", *given, *VITAL]) == 0
    made = {one.task.id: one for one in read(out, Trajectory)}
    assert len(made) == 4
    for task in tasks:
        one = made[task.id]
        assert (one.stop, one.answer) == ("answered", "B" if task.options else "blue")
        times = [frame.time for frame in one.frames]
        assert len(times) == 8 and 12 <= min(times) < max(times) <= 30
        assert [turn.text for turn in one.turns] == task.extra["turns"]


def test_the_tool_that_will_look_is_told_what_others_do_not_say(convert):
    (task,), _ = convert(TRACES[0], words=["--window", "{nframes: 4, resize: 0.25}"])
    call = re.search(r"<tool_call>(.*)</tool_call>", task.extra["turns"][0])[1]
    asked = {"start_time": 12.0, "end_time": 30.0, "nframes": 4, "resize": 0.25}
    assert json.loads(call) == {"tool": "frame_select", "arguments": asked}


def without(row, *names):
    return {name: value for name, value in row.items() if name not in names}


def calling(call):
    row = json.loads(json.dumps(TRACES[2]))
    row["messages"][2]["content"] = call if isinstance(call, str) else json.dumps(call)
    return row


def saying(words):
    return {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": words}]} | {
        "videos": ["a.mp4"]
    }


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"id": 1}, "row: has columns id; want messages, conversations, prompt, or a question under"),
        (QUESTIONS[1] | {"videos": [{"file": "a.mp4"}]}, r"videos\[0\]: want the path of a video, or an obj"),
        (without(QUESTIONS[1], "videos"), "row: names no video; want videos, video, a part of type video"),
        (QUESTIONS[1] | {"videos": ["b.mp4"]}, "missing video: no file b.mp4 in "),
        (QUESTIONS[1] | {"prompt": 3}, "prompt: want a list of messages"),
        (QUESTIONS[1] | {"reward_model": {"ground_truth": 3}}, "reward_model.ground_truth: want a text, not"),
        (QUESTIONS[2] | {"solution": {"answer": "F"}}, "no such option: answer 'F' is none of 4 options"),
        (QUESTIONS[2] | {"options": "A or B"}, "no options: options: 'A or B' is no list of options"),
        (
            QUESTIONS[2] | {"options": {"A": "red", "C": "blue"}},
            "no options: options: has options A, C",
        ),
        (QUESTIONS[2] | {"options": None}, "no options: answer 'B' is a letter, but no options are found"),
        (
            QUESTIONS[0] | {"extra_info": {"question": "?", "video_segment": [1]}},
            r"evidence: \[1\] is no range",
        ),
        (QUESTIONS[2] | {"problem": ["Why?"]}, "question: want a text, not list"),
        (verl_question("a.mp4", "", "x"), "row: no question; the first turn of the user has no words"),
        (calling({"name": "zoom", "arguments": {"box": [1, 2]}}), "message 2: a call of zoom with {'box': "),
        (calling('{"name": "zoom"'), r"messages\[2\].content: not JSON"),
        (saying("<tool_call>{...}</tool_call>"), r"message 2: the call '\{\.\.\.\}' is not JSON"),
        (saying("<tool_call>{}"), "message 2: a call is not closed with </tool_call>"),
        (saying("<grounding>[1, 2]</grounding>"), r"message 2: the call '\[1, 2\]' is no object; want start"),
        (
            {"messages": TRACES[2]["messages"][:4], "videos": ["a.mp4"]},
            "messages: the last one is not of the",
        ),
        ({"text": "Why?", "solution": "<answer>B</answer>", "video": "a.mp4"}, "row: is one of MTVR"),
    ],
)
def test_a_field_that_can_not_be_read_is_named_with_its_file_and_line(convert, row, told):
    status, said = convert(QUESTIONS[1], row)
    assert status == 1 and re.search(rf"eva convert: \S+rows.jsonl:2: {told}", said), said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--window", "{fps: 2}"], "window: frame_select is told nframes, resize beside the range, not fps"),
        (["--agent.tools", "[]"], "tasks with turns want an agent that looks: leave out --agent.tools []"),
        (["--agent.tools", "[Listen]"], "the tool listen watches no range (start_time, end_time); name one"),
        (["--videos", "nowhere"], "nowhere: no such folder; give the one in which the videos lie"),
        (["--to", "trl"], "--to tasks and --videos FOLDER go together: tasks are questions about videos"),
        (["--images", "i"], "tasks hold references, not images: leave out --images"),
    ],
)
def test_words_that_do_not_go_together_are_refused(convert, words, told):
    status, said = convert(TRACES[0], words=words)
    assert status == 1 and told in said


def changed(value, odd):
    """A value with each of its parts in turn taken out or turned into something odd."""
    yield odd
    if isinstance(value, dict):
        for name, held in value.items():
            yield without(value, name)
            yield from ({**value, name: one} for one in changed(held, odd))
    if isinstance(value, list):
        for place, held in enumerate(value):
            yield from ([*value[:place], one, *value[place + 1 :]] for one in changed(held, odd))


@pytest.mark.parametrize("odd", [None, 3, True, "", "odd", [], [None], {}, {"a": 1}], ids=repr)
def test_whatever_a_field_holds_a_row_is_read_or_refused(videos, odd):
    footage = Footage(looks=looks_of(VitalDialect(), ClipFrames(), None), videos=VideoFolder(videos))
    tried, read_all = 0, 0
    for row in (*TRACES, *QUESTIONS):
        for one in changed(row, odd):
            if not isinstance(one, dict):
                continue
            tried += 1
            try:
                read_all += isinstance(footage.task(one, "rows", 1), Task)
            except FieldError as problem:
                assert str(problem) and "\n" not in str(problem)
    assert tried > 200 and read_all > 50
