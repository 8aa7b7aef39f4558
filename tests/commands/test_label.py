"""eva label: trajectories of a real world in, marked ones out, with the balance KTO needs."""

import pytest

from eva_lightning.commands import label
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.faults import UsageError
from eva_lightning.files.store import read, write
from eva_lightning.records import Trajectory
from tests.making import task, trajectory


def test_rows_get_a_mark_a_reason_and_a_balance(tmp_path, capsys):
    right, wrong = trajectory(), trajectory(task=task(id="t2"), answer="C")
    write(tmp_path / "a.jsonl", [right, right, wrong])
    label.main(["--trajectories", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "f.jsonl")])
    rows = read(tmp_path / "f.jsonl", Trajectory)
    assert [one.desirable for one in rows] == [True, True, False]
    assert rows[2].scores["feedback"].reason == "wrong: chose C, gold B"
    said = capsys.readouterr().out
    assert "3 of 3 trajectories marked" in said
    assert (
        "2 good, 1 bad (66.7% good); KTO will take desirable_weight 0.58 (recommended: 0.50 to 0.67)" in said
    )
    (row,) = [line.split(maxsplit=4) for line in said.splitlines() if line.startswith("wrong")]
    assert row == ["wrong", "bad", "1", "33.3%", "t2: chose C, gold B"]


def test_a_sloppy_teacher_is_told_from_the_oracle(tmp_path, capsys):
    from eva_lightning.agent.dialects.eva import EvaDialect
    from eva_lightning.commands.synthesize import teach
    from eva_lightning.data.synthesis.sloppy import SloppyTeacher
    from eva_lightning.data.synthesis.teachers import Oracle

    settings = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
    world = build_world(tmp_path, 1, settings, per_family=3)
    dialect = EvaDialect(timestamps="seconds")
    oracle = Oracle(world.scripts, world.tasks, dialect)
    guesser = SloppyTeacher(world.scripts, world.tasks, dialect, 0, rate=1.0, mistakes=["guess", "garbled"])
    for name, teacher in (("oracle", oracle), ("sloppy", guesser)):
        write(tmp_path / f"{name}.jsonl", teach(name, teacher, world.tasks, 1, dialect, 0))
    both = f"[{tmp_path}/oracle.jsonl,{tmp_path}/sloppy.jsonl]"
    label.main(["--trajectories", both, "--out", str(tmp_path / "feedback.jsonl")])
    rows = read(tmp_path / "feedback.jsonl", Trajectory)
    half = len(world.tasks)
    good = [one.desirable for one in rows]
    assert sum(good[:half]) >= 0.9 * half and sum(good[half:]) == 0
    assert rows[0].task.clips[0].path.startswith("clips/")
    assert "malformed" in capsys.readouterr().out


def test_ambiguous_rows_can_be_left_out(tmp_path):
    two = task(extra={"evidence": [[0, 0.5], [40, 50]]})
    write(tmp_path / "a.jsonl", [trajectory(task=two), trajectory()])
    words = ["--trajectories", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "f.jsonl")]
    label.main([*words, "--rules.drop_ambiguous", "true"])
    assert [one.task.evidence for one in read(tmp_path / "f.jsonl", Trajectory)] == [()]


def test_a_file_of_faults_can_not_be_marked(tmp_path):
    write(tmp_path / "a.jsonl", [trajectory(stop="fault")])
    with pytest.raises(UsageError, match=r"a.jsonl: none of 1 trajectories can be marked"):
        label.main(["--trajectories", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "f.jsonl")])
    assert not (tmp_path / "f.jsonl").exists()
