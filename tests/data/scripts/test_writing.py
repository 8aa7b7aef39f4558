"""Orders worked off: balanced, deterministic offline, resumed, and refused ones counted by cause."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from eva_lightning.agent.worlds.script import read_scripts
from eva_lightning.cli import main
from eva_lightning.data.scripts.authors import EngineAuthor, GrammarAuthor, request
from eva_lightning.data.scripts.kinds import KINDS, SPECS
from eva_lightning.data.scripts.spec import orders
from eva_lightning.data.scripts.writing import Desk, told
from eva_lightning.engines.server_engine import ServerEngine
from eva_lightning.faults import UsageError
from eva_lightning.files.store import read
from eva_lightning.records import Task, Trajectory
from eva_lightning.scoring import renderings, score
from tests.engines.test_server_engine import serving


def work_off(folder, author, asked, **settings):
    desk = Desk(folder, author, **settings)
    desk.begin({})
    return asyncio.run(desk.work_off(asked))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return work_off(tmp_path_factory.mktemp("scripts"), GrammarAuthor(), list(orders(SPECS, 240, 0)))


def test_every_letter_is_right_equally_often(written):
    rows = {kind: labels for kind, _, labels, _ in told(written)}
    for kind in ("NC", "CC", "MSR", "MOC"):
        assert rows[kind] == Counter(A=6, B=6, C=6, D=6), kind
    assert rows["PI"] == dict.fromkeys("ABCDEF", 4)


def test_the_grammar_fills_every_order_of_every_kind(written):
    assert {one.kind for one in written} == set(KINDS) and all(one.task is not None for one in written)
    assert sum(len(one.refused) for one in written) <= 5


def test_every_clip_has_its_script_and_every_evidence_lies_in_it(written):
    for one in written:
        assert [Path(clip.path).stem for clip in one.task.clips] == [script.clip for script in one.scripts]
        lengths = {f"video {i}": script.duration for i, script in enumerate(one.scripts, start=1)}
        assert one.task.evidence and all(
            0 <= it.start < it.end <= lengths[it.clip] for it in one.task.evidence
        )


def test_every_gold_answer_scores_one_however_it_is_written(written):
    for one in written:
        for way in renderings(one.task):
            assert score(one.task, way).value == 1.0, (one.task.answer, way)


def test_the_same_seed_writes_the_same_and_more_orders_begin_with_the_same(tmp_path):
    first = work_off(tmp_path / "a", GrammarAuthor(), list(orders(SPECS, 20, 3)))
    more = work_off(tmp_path / "b", GrammarAuthor(), list(orders(SPECS, 30, 3)))
    assert more[:20] == first and {one.name for one in first}.isdisjoint({one.name for one in more[20:]})


def scene(start, see):
    return [{"start": start, "end": 40, "see": see, "key": True}]


def test_a_teacher_s_stories_are_checked_and_its_refused_ones_counted(tmp_path):
    asked = list(orders([KINDS["CCQA"]], 2, 0))
    fork, spoon = scene(0, "a cook stirs with a fork"), scene(0, "a cook stirs with a spoon")
    sound, gap = story(fork, spoon), story(fork, scene(5, "a cook stirs by hand"))
    replies, heard = ["sorry", json.dumps(gap), json.dumps(sound), json.dumps(sound), "no", "no"], []

    def reply(number, body):
        heard.append(body["messages"][0]["content"])
        said = {"role": "assistant", "content": replies[number - 1]}
        return 200, {"choices": [{"message": said, "finish_reason": "stop"}]}

    with serving(reply) as (url, _):
        engine = ServerEngine(url, "m")
        made = work_off(tmp_path, EngineAuthor(engine), asked, concurrency=1)
        engine.close()
    ((kind, count, _, causes),) = told(made)
    assert (kind, count) == ("CCQA", 1) and causes == {"not JSON": 3, "times": 1, "duplicate": 1}
    assert made[0].task.answer.value == sound["answer"] and made[0].task.extra["points"] == [
        "a fork",
        "a spoon",
    ]
    assert '"points": ["...", "..."]' in str(heard[0]) and "Two cooks make" in str(heard[0])
    assert work_off(tmp_path, GrammarAuthor(), asked) == made  # nobody is asked again


def story(*clips):
    return {
        "clips": list(clips),
        "question": "How do they differ in tools?",
        "answer": "one stirs with a fork, the other with a spoon",
        "points": ["a fork", "a spoon"],
    }


def test_a_request_says_the_case_and_no_place():
    for order in orders(SPECS, 10, 0):
        said = request(KINDS[order.kind], order)
        assert all(value in said for name, value in order.case.items() if name in KINDS[order.kind].prompt)
        assert "{A1}" in said or order.kind not in ("MOC", "MSR")


def test_the_command_writes_holds_out_and_goes_on(tmp_path, capsys):
    words = ["synthesize", "scripts", "--out", str(tmp_path / "s"), "--held_out", "10"]
    assert main([*words, "--count", "30"]) == 0
    assert "20 tasks and 10 held out" in capsys.readouterr().out
    held = read(tmp_path / "s" / "held_out.jsonl", Task)
    assert main([*words, "--count", "40"]) == 0
    assert read(tmp_path / "s" / "held_out.jsonl", Task) == held  # what was held out stays so
    tasks = read(tmp_path / "s" / "tasks.jsonl", Task)
    scripts = read_scripts(tmp_path / "s" / "scripts.jsonl")
    shown = read(tmp_path / "s" / "oracle.jsonl", Trajectory)
    assert [one.task.id for one in shown] == [task.id for task in tasks]
    assert all(one.rounds == 4 and score(one.task, one.answer).value == 1.0 for one in shown)
    assert all(len(one.evidence_met) == len(one.task.evidence) for one in shown)
    assert len(tasks) == 30 and {
        Path(clip.path).stem for one in [*tasks, *held] for clip in one.clips
    } == set(scripts)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--kinds", "[CC, XX]"], "there is no kind 'XX'"),
        (["--count", "0"], "count is 0"),
        (["--held_out", "11"], "held_out 11 of 10"),
        (["--seed", "1"], "with seed 0, and now it is 1"),
    ],
)
def test_a_mistake_is_told_in_one_line(tmp_path, capsys, more, said):
    words = ["synthesize", "scripts", "--out", str(tmp_path), "--count", "10"]
    assert main(words) == 0
    assert main([*words, *more]) != 0
    err = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in err and "Traceback" not in err


def test_another_folder_is_left_alone(tmp_path):
    (tmp_path / "tasks.jsonl").write_text("")
    with pytest.raises(UsageError, match="something else"):
        Desk(tmp_path, GrammarAuthor()).begin({})


def test_a_server_that_is_not_there_is_given_up(tmp_path):
    engine = ServerEngine("http://localhost:9", "m")
    with pytest.raises(UsageError, match="did not answer 8 times"):
        work_off(tmp_path, EngineAuthor(engine, timeout=0.1), list(orders(SPECS, 20, 0)), concurrency=1)
