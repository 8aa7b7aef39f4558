"""Answers on disk: taken up after whatever happened, and refused if they are those of something else."""

import json
from dataclasses import replace

import pytest

from eva_lightning.faults import UsageError
from eva_lightning.reports.benchmarks.recorder import Recorder
from tests.making import task, trajectory

SETTINGS = {"policy": "tiny", "temperature": 0.0}


def answered(number, **fields):
    asked = task(id=f"Mine/{number}", source="Mine", extra={"index": number})
    return trajectory(task=asked, **fields)


def begun(folder, rank=0, settings=SETTINGS, **how):
    recorder = Recorder(folder, rank)
    recorder.begin(settings, lambda _: 60.0, **how)
    return recorder


def record(folder, *trajectories, rank=0, **how):
    """What a run does that was not killed."""
    recorder = begun(folder, rank, **how)
    for one in trajectories:
        recorder.append(one)
    recorder.close()


def lines(file):
    return file.read_text().splitlines()


def test_what_is_answered_is_known_after_a_restart(tmp_path):
    record(tmp_path, answered(0), answered(1, replica=1))
    again = begun(tmp_path)
    assert again.done() == {("Mine/0", 0), ("Mine/1", 1)}
    again.append(answered(2))
    assert [row.index for row in again.answered()] == [0, 1, 2]
    assert len(lines(again.trajectories)) == len(lines(again.results)) == 3


def test_a_second_run_in_the_same_folder_is_refused_while_the_first_writes(tmp_path):
    first = begun(tmp_path / "Mine")
    first.append(answered(0))
    begun(tmp_path / "Mine", rank=1).close()  # the same run's second rank
    told = "Mine: another process is writing it .*; wait .*, or give another trainer.default_root_dir"
    with pytest.raises(UsageError, match=told):
        begun(tmp_path / "Mine", fresh=True)
    first.append(answered(1))
    first.close()
    assert begun(tmp_path / "Mine").done() == {("Mine/0", 0), ("Mine/1", 0)}
    begun(tmp_path / "Other").close()
    with pytest.raises(UsageError, match="holds answers with temperature"):
        begun(tmp_path / "Other", settings={**SETTINGS, "temperature": 1.0})
    begun(tmp_path / "Other").close()  # a refused run holds nothing


@pytest.mark.parametrize("torn", ["trajectories.jsonl", "results.jsonl"])
def test_a_torn_last_line_is_cut_off_and_only_a_trajectory_is_asked_again(torn, tmp_path):
    record(tmp_path, answered(0), answered(1))
    file = tmp_path / torn
    file.write_bytes(file.read_bytes()[:-20])
    left = {("Mine/0", 0)} if torn == "trajectories.jsonl" else {("Mine/0", 0), ("Mine/1", 0)}
    assert begun(tmp_path).done() == left


def test_results_are_made_again_from_the_trajectories(tmp_path):
    record(tmp_path, answered(0), answered(1, answer="A"))
    whole = (tmp_path / "results.jsonl").read_text()
    for told in ("", whole.splitlines(keepends=True)[1], whole + whole, "not what it was\n"):
        (tmp_path / "results.jsonl").write_text(told)
        begun(tmp_path).close()
        assert (tmp_path / "results.jsonl").read_text() == whole
    (tmp_path / "trajectories.jsonl").unlink()
    assert begun(tmp_path).done() == set()


def test_fresh_throws_away_the_answers_of_all_ranks(tmp_path):
    record(tmp_path, answered(0))
    record(tmp_path, answered(1), rank=1)
    assert begun(tmp_path, fresh=True, settings={"policy": "other"}).done() == set()
    assert not list(tmp_path.glob("*.rank1.jsonl"))


def test_what_a_fault_ended_is_done_unless_it_is_to_be_retried(tmp_path):
    failed = answered(1, stop="fault", answer=None, faults=["the server is gone"])
    record(tmp_path, answered(0), failed)
    assert ("Mine/1", 0) in begun(tmp_path).done()
    assert begun(tmp_path, retry_errors=True).done() == {("Mine/0", 0)}
    assert len(lines(tmp_path / "trajectories.jsonl")) == 1


def test_the_first_rank_takes_up_the_files_of_a_rank_that_is_no_more(tmp_path):
    record(tmp_path, answered(0))
    failed = answered(2, stop="fault", answer=None)
    record(tmp_path, answered(1), failed, answered(3), rank=1)
    theirs = tmp_path / "trajectories.rank1.jsonl"
    theirs.write_bytes(theirs.read_bytes()[:-20])
    (tmp_path / "results.rank1.jsonl").write_text("")
    assert begun(tmp_path, retry_errors=True).done() == {("Mine/0", 0), ("Mine/1", 0)}


@pytest.mark.parametrize("other", [{"policy": "large"}, {"temperature": 1.0}, {"tools": []}])
def test_answers_of_other_settings_are_refused_and_kept(other, tmp_path):
    record(tmp_path, answered(0))
    ((name, value),) = other.items()
    before = repr(SETTINGS.get(name))
    with pytest.raises(
        UsageError, match=f"holds answers with {name} {before}, and now it is .*--fresh"
    ) as no:
        begun(tmp_path, settings=SETTINGS | other)
    assert "\n" not in str(no.value) and repr(value) in str(no.value)
    assert begun(tmp_path).done() == {("Mine/0", 0)}


STOPS = {
    "turn_limit": "max_turns_exceeded",
    "turn_cut": "no_answer_no_tool_call",
    "no_action": "no_answer_no_tool_call",
    "token_limit": "openai_bad_request",
    "fault": "exception",
}


def test_a_row_has_all_that_the_official_script_reads_even_if_nothing_was_answered(tmp_path):
    unwritten = {"answer": None, "turns": [], "prompt": (), "prompt_ids": []}
    ended = [answered(i, stop=stop, **unwritten) for i, stop in enumerate(STOPS)]
    record(tmp_path, *ended)
    rows = [json.loads(line) for line in lines(tmp_path / "results.jsonl")]
    assert [row["stop_reason"] for row in rows] == list(STOPS.values())
    for row in rows:
        assert (row["gt"], row["answer"], row["num_rounds"], row["total_tokens"]) == ("B", "", 0, 0)
        assert row["correct"] is row["exact"] is False


def test_clips_are_written_by_paths_inside_the_folder_of_the_videos(tmp_path):
    videos = tmp_path / "videos"
    made = answered(0)
    clip = replace(made.task.clips[0], path=str(videos / "sub" / "a.mp4"))
    recorder = Recorder(tmp_path / "mine", root=videos)
    seen = []

    def duration(one):
        seen.append(one.task.clips[0].path)
        return 60.0

    recorder.begin(SETTINGS, duration)
    recorder.append(replace(made, task=replace(made.task, clips=(clip,))))
    recorder.close()
    recorder.begin(SETTINGS, duration)
    (row,) = lines(recorder.trajectories)
    assert json.loads(row)["task"]["clips"][0]["path"] == "sub/a.mp4"
    assert seen == [clip.path] * 2  # of the file that can be opened, now and when it is read again
