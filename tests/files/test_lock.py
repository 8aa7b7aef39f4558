import errno
import fcntl
import multiprocessing
import os
import re
import signal
import subprocess
import sys

import pytest

from eva_lightning.faults import UsageError
from eva_lightning.files.lock import in_turn, sole_writer

HOLD = (
    "import sys, time; from eva_lightning.files.lock import sole_writer\n"
    "with sole_writer(sys.argv[1], 'go away'):\n"
    "    print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def other(tmp_path):
    """Another process that holds the file out.jsonl."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "out.jsonl")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_told_what_to_do(other, tmp_path):
    out = tmp_path / "out.jsonl"
    told = (
        r"out\.jsonl: another process is writing it "
        rf"\(process {other.pid} on {re.escape(os.uname().nodename)}, since 20..-..-.. ..:..:.. .....\); "
        "wait until it is done, or name another file$"
    )
    with pytest.raises(UsageError, match=told), sole_writer(out, "name another file"):
        pass
    with sole_writer(tmp_path / "else.jsonl", "name another file"):
        pass


def test_what_a_killed_process_held_is_free(other, tmp_path, capsys):
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / "out.jsonl.lock").exists()
    with sole_writer(tmp_path / "out.jsonl", "name another file"):
        pass
    assert os.listdir(tmp_path) == [] and capsys.readouterr().err == ""


def test_a_lock_that_another_host_left_is_taken_and_told_of(tmp_path, capsys):
    (tmp_path / "out.jsonl.lock").write_text("process 7 on node9, since 2026-01-01 00:00:00 +0000\n")
    with sole_writer(tmp_path / "out.jsonl", "name another file"):
        pass
    assert "out.jsonl: was held by process 7 on node9, since 2026-01-01" in capsys.readouterr().err


def test_where_there_are_no_locks_who_signed_and_lives_here_is_believed(other, tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with pytest.raises(UsageError, match="another process"), sole_writer(tmp_path / "out.jsonl", "wait"):
        pass
    other.kill()
    other.wait()
    with sole_writer(tmp_path / "out.jsonl", "wait"):
        pass
    assert os.listdir(tmp_path) == []


def test_nothing_is_left_behind_even_by_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), sole_writer(tmp_path / "deep" / "out.jsonl", "name another file"):
        assert os.listdir(tmp_path / "deep") == ["out.jsonl.lock"]
        1 / 0  # noqa: B018
    assert os.listdir(tmp_path / "deep") == []


def one_more(path, counter, times):
    done = 0
    while done < times:
        try:
            with sole_writer(path, "wait"):
                counter.write_text(str(int(counter.read_text()) + 1))
                done += 1
        except UsageError:
            pass


def one_more_in_turn(path, counter, times):
    for _ in range(times):
        with in_turn(path):
            counter.write_text(str(int(counter.read_text()) + 1))


@pytest.mark.parametrize("adding", [one_more, one_more_in_turn])
def test_two_that_come_and_go_are_never_in_together(adding, tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    two = [
        multiprocessing.get_context("spawn").Process(target=adding, args=(tmp_path / "out", counter, 200))
        for _ in range(2)
    ]
    for process in two:
        process.start()
    for process in two:
        process.join(60)
    assert counter.read_text() == "400"


def test_a_folder_that_can_not_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UsageError, match="can not be written .*; name another file"),
        sole_writer(tmp_path / "file" / "out.jsonl", "name another file"),
    ):
        pass


@pytest.mark.parametrize("nameless", ["", ".", "/"])
def test_what_names_no_file_is_refused_in_a_line(nameless):
    with (
        pytest.raises(UsageError, match="names no file; name another file"),
        sole_writer(nameless, "name another file"),
    ):
        pass


def test_a_link_and_what_it_leads_to_are_one_file(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "out.jsonl")
    with (
        sole_writer(tmp_path / "out.jsonl", "name another file"),
        pytest.raises(UsageError, match="link: another process is writing it"),
        sole_writer(tmp_path / "link", "name another file"),
    ):
        pass
