"""Tasks in the forms that AgentCVR released, with contents of our own, become tasks and scripts of ours."""

import json
from pathlib import Path

import pytest

from eva_lightning.agent.worlds.script import read_scripts
from eva_lightning.cli import main
from eva_lightning.data.scripts.released import released_task
from eva_lightning.data.scripts.story import Refused
from eva_lightning.files.store import read
from eva_lightning.records import Task
from eva_lightning.scoring import canonical, renderings, score


def seen(start, end, visual, caption=""):
    return {"start": start, "end": end, "visual": visual, "caption": caption}


def clip(*events, duration=None, under="timeline"):
    return {under: list(events)} | ({} if duration is None else {"duration": duration})


def two(begin, number):
    return seen(begin, begin + 5, f"a{number}"), seen(begin + 5, begin + 12, f"b{number}")


DEED = {"start": 0, "end": 9, "action_type": "ATTACH"}
FOUR = {str(i): clip(seen(0, 7, f"way {i}", "three eggs"), duration=60 + i) for i in range(1, 5)}
WHICH = ["A. Video 1", "B. Video 2", "C. Video 3", "D. Video 4"]
STAMPS = [
    {"timestamp": 0, "view_a": "{A1} red van waits", "view_b": "{B1} red van from behind"},
    {"timestamp": 2, "view_a": "{A1} turns right", "view_b": "{B2} white car appears"},
]


def views(kind, text):
    asked = {"type": kind, "text": text, "options": ["A. 1", "B. 2", "C. 3", "D. 4"], "correct_answer": "B"}
    return {"id": 1, "videos": STAMPS, "question": asked}


ROWS = {
    "PSS": {
        "id": 7,
        "question": "Which order of the clips makes congee?",
        "answer": "3->1->2",
        "videos": {
            str(i): {"interval": [[12 * i, 12 * i + 12]]}
            | clip(*two(12 * i, i), under="detailed_timeline")
            for i in (3, 1, 2)
        },
    },
    "FSA": {
        "id": 3,
        "ref_segment": [11.0, 23.0],
        "answer": [7.0, 15.0],
        "question": "Which part of Video B does the chopping that Video A shows at [11.0, 23.0]?",
        "videos": {
            "video_A": clip(seen(0, 11, "x"), seen(11, 23, "a knife"), duration=40),
            "video_B": clip(seen(0, 7, "y"), seen(7, 15, "a machine"), duration=31),
        },
    },
    "PEA": {
        "id": 0,
        "question": "Which video removes the cabin?",
        "options": ["A. Video 1", "B. Video 2", "C. None"],
        "correct_answer": "B",
        "videos": {f"video_{i}": clip(DEED | {"visual": f"seat {i}"}, under="clips") for i in (1, 2)},
    },
    "CC": {"id": 12, "question": "Which cook?", "options": WHICH, "correct_answer": "B", "videos": FOUR},
    "NC": {"id": 13, "question": "Which scene?", "options": WHICH, "correct_answer": "D", "videos": FOUR},
    "BU": {"id": 5, "question": "Which videos?", "options": WHICH, "answer": ["A", "C"], "videos": FOUR},
    "PI": {
        "id": 9,
        "question": "What happened in between?",
        "options": ["A: alarm fails", "B: a gate falls", "C: they quarrel"],
        "correct_answer": "B",
        "videos": {
            "beginning": clip(seen(0, 12, "two thieves"), duration=90),
            "ending": clip(seen(190, 203, "one behind bars"), duration=110),
        },
    },
    "MOC": views("MOC", "How many distinct cars pass?"),
    "MSR": views("MSR", "Where is {B2}?"),
}  # fmt: skip
GOLDS = {"PSS": "3, 1, 2", "FSA": "7.0 to 15.0", "PEA": "B", "CC": "B", "NC": "D", "BU": "A, C", "PI": "B"}
GOLDS |= {"MOC": "B", "MSR": "B"}


@pytest.mark.parametrize("kind", ROWS)
def test_every_kind_is_read_with_its_gold_answer_and_scripts(kind):
    task, scripts = released_task(ROWS[kind], kind, 1)
    assert canonical(task.answer) == GOLDS[kind] and task.source == kind
    assert [Path(one.path).stem for one in task.clips] == [one.clip for one in scripts]
    assert all(score(task, way).value == 1.0 for way in renderings(task))
    assert all(one.events[0].start == 0.0 for one in scripts)


def test_pieces_of_one_film_count_from_their_own_begin():
    _, pieces = released_task(ROWS["PSS"], "PSS", 1)
    assert [one.events[0].see for one in pieces] == ["a1", "a2", "a3"]  # by number, however they stand
    assert [(one.duration, one.events[1].start) for one in pieces] == [(12.0, 5.0)] * 3
    _, (opening, ending) = released_task(ROWS["PI"], "PI", 1)
    assert (opening.duration, ending.duration, ending.events[0].end) == (90.0, 110.0, 13.0)


def test_two_views_are_two_clips_of_the_same_time():
    _, (one, other) = released_task(ROWS["MOC"], "MOC", 1)
    assert [(event.start, event.end) for event in one.events] == [(0.0, 2.0), (2.0, 4.0)]
    assert other.events[1].see == "{B2} white car appears" and one.duration == other.duration == 4.0


def test_a_row_of_training_says_its_kind_and_holds_its_scripts_as_text():
    asked = "\n".join(["Which videos?", *WHICH])
    row = {
        "data_source": "crossvid_behavior",
        "prompt": [{"role": "system", "content": "."}, {"role": "user", "content": asked}],
        "reward_model": {"style": "rule", "ground_truth": "AC"},
        "extra_info": {"task_name": "behavior", "videos": json.dumps(FOUR)},
    }  # fmt: skip
    task, scripts = released_task(row, None, 4)
    assert (task.source, task.answer.value, task.question, len(scripts)) == (
        "BU",
        ("A", "C"),
        "Which videos?",
        4,
    )
    fsa = {
        "data_source": "crossvid_grounding",
        "prompt": [{"role": "user", "content": "Which part?"}],
        "reward_model": {"ground_truth": "[12.0, 30.0]"},
        "extra_info": {"videos": json.dumps(ROWS["FSA"]["videos"])},
    }
    task, _ = released_task(fsa, None, 5)
    assert task.answer.value == (12.0, 30.0) and [str(one) for one in task.evidence] == ["12 to 30 s"]


@pytest.mark.parametrize(
    ("kind", "changed", "cause"),
    [
        ("CC", {"correct_answer": "F"}, "not a story"),
        ("CC", {"videos": {**FOUR, "4": clip()}}, "not a story"),
        ("CC", {"videos": {**FOUR, "4": clip(seen(5, 2, "x"))}}, "times"),
        ("CC", {"videos": {**FOUR, "4": clip(seen(0, 5, "x"), seen(3, 8, "y"))}}, "times"),
        ("FSA", {"answer": [9, 3]}, "not a story"),
        ("MOC", {"videos": "none"}, "not a story"),
        (None, {}, "no such kind"),
    ],
)
def test_a_row_is_refused_by_cause(kind, changed, cause):
    with pytest.raises(Refused) as problem:
        released_task(ROWS[kind or "CC"] | changed, kind, 1)
    assert problem.value.cause == cause


def test_the_command_reads_a_folder_and_counts_what_it_leaves_out(tmp_path, capsys):
    (tmp_path / "rows").mkdir()
    for number in range(4):
        row = ROWS["CC"] | {"id": number} | ({"correct_answer": "Q"} if number == 3 else {})
        (tmp_path / "rows" / f"task_{number}.json").write_text(json.dumps(row))
    words = ["synthesize", "scripts", "--out", str(tmp_path / "out"), "--rows", str(tmp_path / "rows")]
    assert main([*words, "--kinds", "[CC]", "--held_out", "1"]) == 0
    told = capsys.readouterr().out
    assert "2 tasks and 1 held out" in told and "not a story 1" in told
    tasks = read(tmp_path / "out" / "tasks.jsonl", Task)
    assert {Path(one.path).stem for task in tasks for one in task.clips} < set(
        read_scripts(tmp_path / "out" / "scripts.jsonl")
    )
    assert main([*words[:3], str(tmp_path / "more"), *words[4:]]) != 0
    assert "say which kind it is" in capsys.readouterr().err.strip().splitlines()[-1]
