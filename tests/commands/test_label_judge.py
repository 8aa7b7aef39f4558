"""eva label with a judge: what it is shown, what it rejects, what it costs, and what happens when it dies.

Real clips, the oracle's looks at them, and a judge over HTTP.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.cli import main
from eva_lightning.commands import label
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.selection.feedback import FeedbackRules
from eva_lightning.data.selection.second_opinion import judged as marked_by
from eva_lightning.data.selection.sufficiency import SUFFICIENCY
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.teachers import Oracle
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.engines.server_engine import ServerEngine
from eva_lightning.faults import UsageError
from eva_lightning.files.store import portable, read, write
from eva_lightning.records import Score, Trajectory
from eva_lightning.rewards.judging.judge import Judge
from eva_lightning.rewards.judging.rulings import Ruling
from tests.engines.test_server_engine import says, serving
from tests.making import StillWorld, task, trajectory

CONFIG = Path(__file__).parent.parent.parent / "configs" / "eva" / "label.yaml"


@pytest.fixture(scope="module")
def attempts(tmp_path_factory):
    """A file of six good attempts at questions about three clips, and one wrong one."""
    folder = tmp_path_factory.mktemp("world")
    settings = ScriptSettings(duration=(30, 30), height=112, width=112, fps=2)
    world = build_world(folder, 3, settings, families=["colour_at"], per_family=2, open_share=0.0)
    dialect = EvaDialect(timestamps="seconds")
    made = teach("oracle", Oracle(world.scripts, world.tasks, dialect), world.tasks, 1, dialect, 0)
    assert len(made) == 6
    wrong = replace(made[0], answer="nothing of these")
    write(folder / "a.jsonl", [portable(one, folder) for one in [*made, wrong]])
    return folder / "a.jsonl"


def verdict(word, reason="so it seems"):
    return says(json.dumps({"reason": reason, "verdict": word}))


def text_of(body):
    """The words of a prompt, and how many pictures it has."""
    parts = body["messages"][0]["content"]
    if isinstance(parts, str):
        return parts, 0
    words = "".join(part["text"] for part in parts if part["type"] == "text")
    return words, sum(part["type"] == "image_url" for part in parts)


def run(attempts, out, url, *more):
    return main(["label", "--trajectories", str(attempts), "--out", str(out), "--judge_server", url, *more])


def by_turns(number, body):
    return verdict("insufficient", "too small to be seen") if number == 1 else verdict("sufficient")


def test_the_judge_sees_frames_question_and_answer_of_what_the_rules_call_good(attempts, tmp_path, capsys):
    out = tmp_path / "f.jsonl"
    with serving(by_turns) as (url, asked):
        assert run(attempts, out, url, "--judge_concurrency", "1") == 0
    made, rows = read(attempts, Trajectory), read(out, Trajectory)
    assert [one.desirable for one in rows] == [False, *[True] * 5, False]
    for one, (_, body, _) in zip(made, asked, strict=False):
        words, pictures = text_of(body)
        assert pictures == len(set(one.frames)) > 0
        assert one.task.text in words and f"Answer that was given: {one.answer}" in words
    assert len(asked) == 6, "nobody asks about the wrong one"
    said = "too small to be seen (judge tiny, prompt sufficiency/1)"
    assert rows[0].scores["feedback"].reason == f"insufficient: {said}"
    assert rows[0].scores["sufficiency"].value == 0.0 and rows[1].scores["sufficiency"].value == 1.0
    told = capsys.readouterr()
    assert f"judge, prompt sufficiency/1: 6 asked, 0 from {tmp_path / 'f.judged.jsonl'}\n" in told.out
    assert "5 good, 2 bad" in told.out and "judging: 100%" in told.err
    (row,) = [line.split()[:4] for line in told.out.splitlines() if line.startswith("insufficient")]
    assert row == ["insufficient", "bad", "1", "14.3%"]


def test_what_was_judged_is_not_asked_again(attempts, tmp_path, capsys):
    with serving(by_turns) as (url, asked):
        assert run(attempts, tmp_path / "f.jsonl", url) == 0
        first = (tmp_path / "f.jsonl").read_bytes()
        cache = str(tmp_path / "f.judged.jsonl")
        assert run(attempts, tmp_path / "g.jsonl", url, "--judge_cache", cache) == 0
    assert len(asked) == 6 and (tmp_path / "g.jsonl").read_bytes() == first
    assert f"0 asked, 6 from {cache}" in capsys.readouterr().out


def test_where_the_judge_dies_the_command_stops_in_one_line_and_goes_on_later(attempts, tmp_path, capsys):
    out = tmp_path / "f.jsonl"
    with serving(lambda n, body: verdict("sufficient") if n <= 2 else (503, {})) as (url, _):
        assert run(attempts, out, url, "--judge_concurrency", "1") == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(f"eva label: {url}/v1/chat/completions did not answer in 5 tries; last: HTTP 503")
    assert last.endswith(f"2 verdicts are kept in {tmp_path / 'f.judged.jsonl'}: call it again to go on")
    assert not out.exists() and len(read(tmp_path / "f.judged.jsonl", Ruling)) == 2
    with serving(lambda n, body: verdict("sufficient")) as (url, asked):
        assert run(attempts, out, url) == 0
    assert len(asked) == 4 and sum(bool(one.desirable) for one in read(out, Trajectory)) == 6


def test_what_the_judge_will_not_or_can_not_say_is_left_out_and_counted(attempts, tmp_path, capsys):
    def script(number, body):
        return {1: (400, {"error": "too many images"}), 2: says("hm"), 3: says("hm")}.get(
            number, verdict("sufficient")
        )

    with serving(script) as (url, _):
        assert run(attempts, tmp_path / "f.jsonl", url, "--judge_concurrency", "1") == 0
    assert len(read(tmp_path / "f.jsonl", Trajectory)) == 5
    said = capsys.readouterr().out
    assert "6 asked, 0 from" in said and "1 asked twice, 2 without a verdict and left out" in said
    assert "5 of 7 trajectories marked" in said


def test_a_judge_that_refuses_everything_is_no_judge(attempts, tmp_path, capsys):
    with serving(lambda n, body: (404, {"error": "no such model"})) as (url, _):
        assert run(attempts, tmp_path / "f.jsonl", url, "--judge_name", "typo") == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "the judge ruled on none of 6 trajectories" in last and "no such model" in last


def test_a_checkpoint_can_judge_here(attempts, tiny_folder, tmp_path, capsys):
    """Weights without training write no verdict, which is no mark; but frames and question were read."""
    words = ["label", "--trajectories", str(attempts), "--out", str(tmp_path / "f.jsonl")]
    assert main([*words, "--judge_model", str(tiny_folder)]) == 1
    assert "the judge's reply could not be read, twice" in capsys.readouterr().err.splitlines()[-1]


def looked(frames, name, **fields):
    return trajectory(frames=frames, task=task(id=name), **fields)


def judged(script, *ones):
    with serving(script) as (url, asked):
        judge = Judge(ServerEngine(url, "m", retries=0), SUFFICIENCY, world=StillWorld(), concurrency=1)
        return [one.cause for one in marked_by(judge, ones, FeedbackRules())], asked


def test_what_was_waste_beside_lucky_guesses_is_judged_once_they_are_found_out():
    """Median of 1, 1, 1, 4, 4 frames: 4 are waste. Without the guesses 4 are usual."""
    ones = [*(looked(1, f"guess{i}") for i in range(3)), looked(4, "a"), looked(4, "b", answer="b")]

    def script(number, body):
        return verdict("insufficient" if text_of(body)[1] == 1 else "sufficient")

    causes, asked = judged(script, *ones)
    assert causes == ["insufficient"] * 3 + ["good"] * 2
    assert [text_of(body)[1] for _, body, _ in asked] == [1, 4, 4], "equal guesses are asked about once"


def test_without_frames_there_is_nothing_to_show_and_what_another_judge_said_does_not_count():
    stale = {"sufficiency": Score(value=0.0, reason="insufficient: old")}
    (one, other), asked = judged(
        lambda n, body: verdict("sufficient"), looked(0, "a"), looked(1, "b", scores=stale)
    )
    assert (one, other, len(asked)) == ("good", "good", 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--judge_server", "http://x", "--judge_model", "y"], "two judges"),
        (["--judge_name", "x"], "say --judge_server URL as well"),
        (["--judge_server", "nowhere"], "is no address of a server"),
        (["--judge_cache", "x.jsonl"], "say --judge_server or --judge_model"),
        (["--judge_server", "http://x", "--judge_concurrency", "0"], "judge_concurrency 0"),
        (["--share", "1"], r"share 1.0: want 1 or more, and between 0 and 1"),
    ],
)
def test_words_that_do_not_go_together_are_refused(words, said, attempts, tmp_path):
    with pytest.raises(UsageError, match=said):
        label.main(["--trajectories", str(attempts), "--out", str(tmp_path / "f.jsonl"), *words])


def test_the_shipped_config_judges_and_balances(attempts, tmp_path, capsys):
    """Of 6 good and 1 bad, 63 % is 2 good ones."""
    words = ["label", "--config", str(CONFIG), "--trajectories", str(attempts)]
    with serving(lambda n, body: verdict("sufficient")) as (url, asked):
        assert main([*words, "--out", str(tmp_path / "f.jsonl"), "--judge_server", url]) == 0
    assert len(asked) == 6
    assert [one.desirable for one in read(tmp_path / "f.jsonl", Trajectory)].count(True) == 2
    said = capsys.readouterr().out
    assert f"7 of 7 trajectories marked, 3 kept for a share of 63% in {tmp_path / 'f.jsonl'}" in said
    assert "2 good, 1 bad (66.7% good); KTO will take desirable_weight 0.58" in said


def test_the_judge_sees_through_the_world_of_the_agent(tmp_path):
    write(tmp_path / "a.jsonl", [trajectory()])  # its clip v.mp4 is no file
    with serving(lambda n, body: verdict("sufficient")) as (url, asked):
        words = ["--agent.world", "tests.making.StillWorld"]
        assert run(tmp_path / "a.jsonl", tmp_path / "f.jsonl", url, *words) == 0
    assert [text_of(body)[1] for _, body, _ in asked] == [2]


def test_clips_that_are_gone_are_named(attempts, tmp_path, capsys):
    rows = read(attempts, Trajectory)
    gone = [
        replace(one, task=replace(one.task, clips=(replace(one.task.clips[0], path="gone.mp4"),)))
        for one in rows
    ]
    write(tmp_path / "a.jsonl", gone)
    words = ["--trajectories", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "f.jsonl")]
    with serving(lambda n, body: verdict("sufficient")) as (url, asked):
        assert main(["label", *words, "--judge_server", url]) == 1
    assert asked == []
    last = capsys.readouterr().err.splitlines()[-1]
    assert "the judge ruled on none of 6 trajectories" in last and "gone.mp4" in last
