"""Rows on disk: what is written is read back, what is wrong is named, what is torn is repaired."""

import json

import pytest

from eva_lightning.faults import UsageError
from eva_lightning.files import store
from eva_lightning.records import Clip, Score, Task, ToolCall, Trajectory
from tests.making import frame, task, trajectory


def test_a_trajectory_comes_back_equal(tmp_path):
    one = trajectory(scores={"accuracy": Score(value=0.5, reason="half")}, advantage=-0.25, desirable=False)
    one.turns[0].calls = (ToolCall(name="frame_select", arguments={"start_time": 1.5, "n": [1]}, text="{}"),)
    store.write(tmp_path / "t.jsonl", [one, one])
    assert store.read(tmp_path / "t.jsonl", Trajectory) == [one, one]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("choice", "A"),
        ("multi", ("A", "C")),
        ("order", ("C", "A")),
        ("interval", (1.0, 2.5)),
        ("interval", ((1.0, 2.5), (4.0, 5.0))),
        ("text", "a dog"),
        ("transcript", "a dog"),
        ("number", 3.0),
        ("mra", 3.0),
    ],
)
def test_every_kind_of_answer_comes_back_equal(tmp_path, kind, value):
    grounds = () if kind == "interval" else ((3.0, 4.0), (5.0, 5.5))
    one = task(kind=kind, value=value, grounds=grounds, extra={"evidence": [[1.0, 2.0]]})
    store.write(tmp_path / "t.jsonl", [one])
    (back,) = store.read(tmp_path / "t.jsonl", Task)
    assert back == one and hash(back.answer) == hash(one.answer)
    assert list(map(str, back.evidence)) == ["1 to 2 s"]


def test_a_trajectory_of_60_frames_takes_under_50_kilobytes_and_holds_no_pixels():
    one = trajectory(frames=60)
    one.turns[0].token_ids, one.turns[0].logprobs = [15000] * 1000, [-0.123456] * 1000
    one.turns[0].observation_ids = [15000] * 15 * 60
    assert len(store.line(one).encode()) < 50_000
    assert "pixel" not in store.line(one)


def test_defaults_are_left_out_of_a_row():
    assert json.loads(store.line(Clip(id="v", path="v.mp4"))) == {"id": "v", "path": "v.mp4"}


GOOD = '{"id":"a","clips":[{"id":"v"}],"question":"?"}'


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ('{"id":"b","clips":[{"id":"v"}]}', r"tasks.jsonl:2: question: missing"),
        ('{"id":"b","clips":[{"id":7}],"question":"?"}', r":2: clips\[0\].id: 7 is not str"),
        ('{"id":"b","clips":[{"id":"v","begin":"x"}],"question":"?"}', r":2: clips\[0\].begin: 'x' is not "),
        (
            '{"id":"b","clips":[{"id":"v"}],"question":"?","anser":1}',
            r":2: anser: unknown field; Task has id",
        ),
        ('{"id":"b","clips":[],"question":"?"}', r":2: Task: task 'b' needs one or more clips"),
        (
            '{"id":"b","clips":[{"id":"v"}],"question":"?","answer":{"kind":"letter","value":"A"}}',
            r":2: answer.kind: 'letter' is not 'choice'",
        ),
        ('{"id":"b"', r":2: not JSON"),
        ("[1]", r":2: row: \[1\] is not an object \(Task\)"),
        (GOOD.replace('"a"', "NaN"), r":2: id: nan is not str"),
    ],
)
def test_a_bad_row_is_refused_with_file_line_and_field(tmp_path, row, complaint):
    path = tmp_path / "tasks.jsonl"
    path.write_text(f"{GOOD}\n{row}\n")
    with pytest.raises(UsageError, match=complaint):
        store.read(path, Task)


def test_a_missing_file_is_one_clear_line(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        store.read(tmp_path / "none.jsonl", Task)


@pytest.mark.parametrize("kept", range(1, 20))
def test_a_writer_killed_inside_a_row_loses_that_row_only(tmp_path, kept):
    path = tmp_path / "t.jsonl"
    with store.Appender(path) as out:
        out.append(task(id="first"))
        out.append(task(id="second"))
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    cut = first + (len(whole) - first) * kept // 20
    path.write_bytes(whole[:cut])
    with pytest.raises(UsageError, match=":2: torn last line"):
        store.read(path, Task)
    with store.Appender(path) as out:
        assert out.repaired == cut - first
        out.append(task(id="third"))
    assert [one.id for one in store.read(path, Task)] == ["first", "third"]


def test_a_last_row_without_newline_is_read_and_kept(tmp_path):
    """Editors and `printf` leave it out; what is appended goes on a line of its own."""
    path = tmp_path / "t.jsonl"
    store.write(path, [task(id="first"), task(id="last")])
    path.write_bytes(path.read_bytes()[:-1])
    assert [one.id for one in store.read(path, Task)] == ["first", "last"]
    with store.Appender(path) as out:
        assert out.repaired == 0
        out.append(task(id="new"))
    assert [one.id for one in store.read(path, Task)] == ["first", "last", "new"]


def test_a_torn_line_longer_than_one_block_is_found(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"a":1}\n' + b"x" * 200_000)
    assert store.repair(path) == 200_000
    assert path.read_bytes() == b'{"a":1}\n'


def test_a_whole_file_appears_complete_or_not_at_all(tmp_path):
    path = tmp_path / "t.jsonl"
    store.write(path, [task(id="old")])

    def failing():
        yield task(id="new")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        store.write(path, failing())
    assert [one.id for one in store.read(path, Task)] == ["old"]


def test_a_frame_reference_takes_about_sixty_bytes():
    assert len(store.line(frame(time=123.456789))) < 70


@pytest.mark.parametrize("name", ["folder", "file/below"])
def test_a_place_that_can_not_be_written_is_named_before_any_work(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()

    def records():
        raise AssertionError("work began")
        yield

    with pytest.raises(UsageError, match=f"{name}: can not be written"):
        store.write(tmp_path / name, records())
    with pytest.raises(UsageError, match=f"{name}: can not be written"):
        store.Appender(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "t.jsonl:1: not JSON .nested too deeply"),
        ('{"id":' + "1" * 5000 + "}", "t.jsonl:1: not JSON .a number of thousands of digits"),
        ('{"value":NaN}', "t.jsonl:1: value: nan is not a finite number"),
        ('{"value":1' + "0" * 400 + "}", "t.jsonl:1: value: 1000.* is not a finite number"),
        ('{"value":' + "[" * 900 + "]" * 900 + "}", "t.jsonl:1: value: .* is not float"),
    ],
)
def test_what_json_allows_and_nobody_can_read_is_refused(tmp_path, text, said):
    (tmp_path / "t.jsonl").write_text(text + "\n")
    with pytest.raises(UsageError, match=said):
        store.read(tmp_path / "t.jsonl", Score)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[" * 33 + "]" * 33, "nested more than 32 deep"),
        ("NaN", "nan is no number in JSON"),
        ("1e999", "inf is no number in JSON"),
        ('"\\ud83d"', "half a character"),
    ],
)
def test_what_could_not_be_written_again_is_not_read(tmp_path, value, said):
    row = store.line(task(extra={"note": 0})).replace('"note":0', f'"note":{value}')
    (tmp_path / "t.jsonl").write_text(row)
    with pytest.raises(UsageError, match=f"t.jsonl:1: extra.note: {said}"):
        store.read(tmp_path / "t.jsonl", Task)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"question":"What colour?"', '"question":"\\ud83d"', "question: half a character"),
        ('"options":["red"', '"options":["\\ude00"', r"options\[0\]: half a character"),
    ],
)
def test_half_a_character_is_no_text(tmp_path, before, after, said):
    row = store.line(task())
    assert before in row
    (tmp_path / "t.jsonl").write_text(row.replace(before, after))
    with pytest.raises(UsageError, match=f"t.jsonl:1: {said}"):
        store.read(tmp_path / "t.jsonl", Task)


def test_half_a_character_names_no_score(tmp_path):
    row = store.line(trajectory(scores={"accuracy": Score(value=1.0)})).replace('"accuracy"', '"\\ud83d"')
    (tmp_path / "t.jsonl").write_text(row)
    with pytest.raises(UsageError, match="t.jsonl:1: scores: half a character"):
        store.read(tmp_path / "t.jsonl", Trajectory)


def test_a_line_without_end_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "LONGEST", 1000)
    rows = store.line(task()) * 2
    (tmp_path / "t.jsonl").write_text(rows + "x" * 5000)
    read = store.stream(tmp_path / "t.jsonl", Task)
    assert [next(read), next(read)] == [task(), task()]
    with pytest.raises(UsageError, match="t.jsonl:3: a line of more than 1000 characters"):
        next(read)
    assert store.repair(tmp_path / "t.jsonl") == 5000
    assert store.read(tmp_path / "t.jsonl", Task) == [task(), task()]


def test_log_probs_that_are_no_numbers_are_refused_with_their_place(tmp_path):
    row = store.line(trajectory()).replace("-0.25", "-Infinity")
    (tmp_path / "t.jsonl").write_text(row)
    with pytest.raises(UsageError, match=r"turns\[0\].logprobs\[1\]: -inf is not a finite number"):
        store.read(tmp_path / "t.jsonl", Trajectory)


def test_files_that_windows_wrote_are_read(tmp_path):
    (tmp_path / "t.jsonl").write_bytes(b"\xef\xbb\xbf" + store.line(task()).encode().replace(b"\n", b"\r\n"))
    assert store.read(tmp_path / "t.jsonl", Task) == [task()]
