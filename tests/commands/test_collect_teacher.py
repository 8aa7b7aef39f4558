"""eva collect with a teacher behind a real HTTP server: briefed, audited, filtered, paid for, taken up."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from eva_lightning.agent.dialects.eva import SYSTEM, EvaDialect
from eva_lightning.commands import collect
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.data.teaching.bill import read_bill
from eva_lightning.data.teaching.filters import Dropped
from eva_lightning.faults import Fault, UsageError
from eva_lightning.files.store import read
from eva_lightning.records import Trajectory
from tests.data.teaching.oracle_server import OracleServer
from tests.engines.test_server_engine import says, serving

CONFIG = Path(__file__).parents[2] / "configs" / "eva" / "collect.yaml"
TOO_MANY = EvaDialect().call("frame_select", start_time=0, end_time=4, nframes=9)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two clips of a minute with two questions each, no two of them worded alike."""
    settings = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
    folder = tmp_path_factory.mktemp("world")
    made = build_world(folder, 2, settings, families=["colour_at", "mark_at"], open_share=1.0)
    assert len({task.text for task in made.tasks}) == len(made.tasks) == 4
    return made


def run(world, out, url, *more):
    collect.main(["--tasks", str(world.folder), "--out", str(out), "--server", url, *more])
    return read(out, Trajectory)


def system_of(body):
    assert body["messages"][0]["role"] == "system"
    return body["messages"][0]["content"]


def test_a_briefed_teacher_leaves_trajectories_with_the_plain_opening(world, tmp_path, capsys):
    with serving(OracleServer(world)) as (url, asked):
        made = run(world, tmp_path / "a.jsonl", url, "--coach", "--attempts", "3", "--concurrency", "1")
    assert len(made) == 12 and all(one.stop == "answered" for one in made)
    briefings = {system_of(body) for _, body, _ in asked}
    assert all(SYSTEM in one and "<tool_call>" in one for one in briefings)
    assert {one.prompt[0].text for one in made} == {SYSTEM}
    assert "riefing" not in (tmp_path / "a.jsonl").read_text()
    kinds = {one.hint for one in made}
    assert kinds == {"experience", "workflow", "reflection"}
    stories = [one for one in briefings if "was answered well" in one]
    assert stories  # of the run's own first successes
    for told in stories:
        story = told.partition("Question: ")[2]
        (old,) = [task for task in world.tasks if story.startswith(task.text)]
        (new,) = {
            task.clips[0].id
            for _, body, _ in asked
            for task in world.tasks
            if system_of(body) == told and body["messages"][1]["content"].endswith(task.text)
        }
        assert old.clips[0].id != new
    assert "100.0%" in capsys.readouterr().out


def test_a_run_in_two_parts_draws_the_hints_of_a_run_in_one(world, tmp_path):
    words = ["--coach.hints", "[workflow,reflection,format]", "--attempts", "4"]
    with serving(OracleServer(world)) as (url, _):
        whole = run(world, tmp_path / "whole.jsonl", url, *words)
        run(world, tmp_path / "parts.jsonl", url, *words, "--limit", "2")
        parts = run(world, tmp_path / "parts.jsonl", url, *words)

    def hints(made):
        return {(one.task.id, one.replica): one.hint for one in made}

    assert hints(parts) == hints(whole) and set(hints(whole).values()) == {"workflow", "reflection", "format"}


def test_a_bank_of_an_earlier_run_is_told_from_the_first_question_on(world, tmp_path):
    with serving(OracleServer(world)) as (url, asked):
        run(world, tmp_path / "bank.jsonl", url)
        begun = len(asked)
        words = ["--coach.hints", "[experience]", "--coach.bank", str(tmp_path / "bank.jsonl")]
        made = run(world, tmp_path / "a.jsonl", url, *words)
    assert all("was answered well" in system_of(body) for _, body, _ in asked[begun:])
    assert {one.hint for one in made} == {"experience"}


def test_a_bank_without_a_good_trajectory_is_refused(world, tmp_path):
    with serving(lambda n, body: says("<answer>a guess</answer>")) as (url, _):
        run(world, tmp_path / "bank.jsonl", url)
        with pytest.raises(UsageError, match=r"bank\.jsonl: none of its 4 trajectories is good"):
            run(world, tmp_path / "a.jsonl", url, "--coach.bank", str(tmp_path / "bank.jsonl"))


def test_a_call_that_breaks_a_rule_is_mended_and_only_the_mended_one_is_kept(world, tmp_path, capsys):
    teacher = OracleServer(world)

    def hasty(number, body):
        talk = [message["role"] for message in body["messages"]]
        if (
            talk[-1] == "user" and "assistant" not in talk
        ):  # the first turn; what follows an objection is good
            return says(TOO_MANY)
        kept = [one for one in body["messages"] if one["content"] != TOO_MANY]
        kept = [one for one in kept if "auditor" not in str(one["content"])]
        return teacher(number, body | {"messages": kept})

    with serving(hasty) as (url, _):
        made = run(world, tmp_path / "a.jsonl", url, "--audit", "--keep.only_good")
        loose = run(world, tmp_path / "b.jsonl", url, "--keep.only_good")
    assert len(made) == 4 and not (tmp_path / "a.dropped.jsonl").exists()
    assert TOO_MANY not in {turn.text for one in made for turn in one.turns}
    assert "objection: dense" in capsys.readouterr().out
    assert read_bill(tmp_path / "a.cost.json").objections == {"dense": 4}
    assert {one.turns[0].text for one in loose} == {TOO_MANY}  # nobody objected


def test_only_good_ones_are_kept_and_the_others_are_not_made_again(world, tmp_path, capsys):
    out, words = tmp_path / "a.jsonl", ["--keep.only_good", "--attempts", "4"]
    with serving(OracleServer(world, wrong=2)) as (url, asked):
        made = run(world, out, url, *words)
        dropped = read(tmp_path / "a.dropped.jsonl", Dropped)
        assert 0 < len(made) < 16 and len(made) + len(dropped) == 16
        assert {row.cause for row in dropped} == {"wrong"} and dropped[0].trajectory.answer == "a guess"
        assert f"dropped  trajectories\nwrong{len(dropped):>16}\n" in capsys.readouterr().out
        before = len(asked), out.read_bytes()
        assert run(world, out, url, *words) == made and before == (len(asked), out.read_bytes())
    said = capsys.readouterr().out
    assert f"{len(made)} trajectories in {out}, {len(dropped)} dropped to" in said
    assert f"wrong{len(dropped):>16}" in said


def test_a_fault_is_made_again_whichever_file_it_lies_in(world, tmp_path):
    """The second attempt finds the server well."""
    teacher, out = OracleServer(world), tmp_path / "a.jsonl"
    words = ["--keep.only_good", "--concurrency", "1"]
    with serving(lambda n, body: (400, {"error": "too long"}) if n == 1 else teacher(n, body)) as (url, _):
        assert len(run(world, out, url, *words)) == 3
        (row,) = read(tmp_path / "a.dropped.jsonl", Dropped)
        assert row.cause == "fault" and "too long" in row.reason
        assert len(run(world, out, url, *words)) == 4
    assert read(tmp_path / "a.dropped.jsonl", Dropped) == []
    bill = read_bill(tmp_path / "a.cost.json")
    assert bill.faults == bill.usage.failures == {"HTTP 400": 1}


def test_a_budget_drops_what_took_more(world, tmp_path):
    with serving(OracleServer(world)) as (url, _):
        made = run(world, tmp_path / "a.jsonl", url, "--keep.only_good", "--keep.rounds", "1")
    assert made == []
    causes = [row.cause for row in read(tmp_path / "a.dropped.jsonl", Dropped)]
    assert causes == ["over budget"] * 4


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["--keep.rounds", "3"], "keep.rounds 4, and now it is 3"),
        (["--audit.density.long_frames", "5"], "audit.density.long_frames 4, and now it is 5"),
        (["--coach.bank", "b.jsonl"], "coach.bank None, and now it is 'b.jsonl'"),
        (["--served_name", "huge"], "served_model 'tiny', and now it is 'huge'"),
    ],
)
def test_what_decides_which_trajectories_come_out_is_the_same_all_along(changed, said, world, tmp_path):
    words, out = ["--coach", "--audit", "--keep.only_good", "--keep.rounds", "4"], tmp_path / "a.jsonl"
    with serving(OracleServer(world)) as (url, _):
        assert len(run(world, out, url, *words, "--limit", "1")) == 1
        with pytest.raises(UsageError, match=f"made with {said}: give another --out"):
            run(world, out, url, *words, *changed)
    with serving(OracleServer(world)) as (elsewhere, _):
        assert len(run(world, out, elsewhere, *words, "--served_name", "tiny")) == 4
    assert len(run(world, out, url, *words)) == 4  # all is done: nobody is asked


def test_a_run_of_a_version_that_noted_less_is_gone_on_with(world, tmp_path):
    out, words = tmp_path / "a.jsonl", ["--keep.only_good", "--keep.rounds", "4"]
    with serving(OracleServer(world)) as (url, _):
        run(world, out, url, *words, "--limit", "1")
        noted = json.loads((tmp_path / "a.settings.json").read_text())
        less = {name: value for name, value in noted.items() if not name.startswith(("keep.", "served"))}
        assert len(less) == len(noted) - 5
        old = {"served_name": "tiny", "keep": "good", "good.rounds": 4, "hints": None}
        (tmp_path / "a.settings.json").write_text(json.dumps(less | old))
        assert len(run(world, out, url, *words)) == 4


def test_costs_are_told_in_tokens_and_money_and_go_on(world, tmp_path, capsys):
    prices = ["--prices.read", "1", "--prices.written", "100"]
    with serving(OracleServer(world)) as (url, asked):
        run(world, tmp_path / "a.jsonl", url, "--limit", "2", *prices)
        first = len(asked)
        run(world, tmp_path / "a.jsonl", url, *prices)
        said = capsys.readouterr().out
        assert first < len(asked)
    rows = dict(line.rsplit(maxsplit=1) for line in said.splitlines() if "  " in line)
    money = len(asked) * (1000 * 1 + 10 * 100) / 1e6
    assert rows["prompt tokens"] == f"{1000 * len(asked):,}" and rows["requests"] == str(len(asked))
    assert float(rows["money"]) == pytest.approx(money, abs=0.005)
    assert float(rows["money per trajectory kept"]) == pytest.approx(money / 4, abs=1e-4)
    frames = sum(json.dumps(body).count("image_url") // 2 for _, body, _ in asked)
    assert rows["frames sent"] == str(frames)


def test_uniform_frames_come_without_a_tool(world, tmp_path):
    with serving(lambda n, body: says("blue")) as (url, asked):
        made = run(world, tmp_path / "u.jsonl", url, "--agent.overview.frames=4", "--agent.tools=[]")
    assert {(one.rounds, len(one.frames), one.answer) for one in made} == {(1, 4, "blue")}
    assert sum(part["type"] == "image_url" for part in asked[0][1]["messages"][1]["content"]) == 4


def test_the_role_of_tool_messages_can_be_the_user_s(world, tmp_path):
    with serving(OracleServer(world)) as (url, asked):
        run(world, tmp_path / "a.jsonl", url, "--tool_role", "user", "--limit", "1")
    assert [one["role"] for one in asked[-1][1]["messages"]] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--agent.overview.frames=-1"], "overview: frames is -1"),
        (["--agent.tools=[]", "--coach"], "neither --coach nor --audit"),
    ],
)
def test_orders_that_contradict_themselves_are_refused(world, tmp_path, more, said):
    with pytest.raises(UsageError, match=said):
        run(world, tmp_path / "o.jsonl", "http://127.0.0.1:9", *more)


def test_a_local_teacher_can_be_briefed_and_its_ids_fit_the_plain_opening(
    world, tmp_path, tiny_folder, capsys
):
    from eva_lightning.policy.renderer import Renderer

    words = ["--tasks", str(world.folder), "--out", str(tmp_path / "a.jsonl"), "--model", str(tiny_folder)]
    words += ["--limit", "2", "--agent.limits.turns=2", "--agent.limits.turn_tokens=8", "--coach", "--audit"]
    collect.main(words)
    renderer = Renderer.from_pretrained(tiny_folder)
    made = read(tmp_path / "a.jsonl", Trajectory)
    assert len(made) == 2 and {one.hint for one in made} <= {"workflow", "reflection"}
    for one in made:
        assert one.prompt_ids == renderer.opening(one.prompt) and "riefing" not in one.prompt[0].text
        assert renderer.decode(one.turns[0].token_ids) == one.turns[0].text


def test_a_dead_server_is_a_fault_and_is_counted(world, tmp_path):
    refusing = serving(lambda n, body: (403, {"error": "no key"}))
    with refusing as (url, _), pytest.raises(Fault, match="all 4 attempts ended by a fault"):
        run(world, tmp_path / "a.jsonl", url)
    assert read_bill(tmp_path / "a.cost.json").faults == {"HTTP 403": 4}


def test_the_config_of_the_teacher_runs(world, tmp_path, capsys):
    with serving(OracleServer(world)) as (url, asked):
        words = ["--config", str(CONFIG), "--tasks", str(world.folder), "--out", str(tmp_path / "a.jsonl")]
        collect.main([*words, "--server", url, "--attempts", "2"])
    made = read(tmp_path / "a.jsonl", Trajectory)
    assert len(made) == 8 and all(one.hint for one in made)
    assert {(body["temperature"], body["max_tokens"]) for _, body, _ in asked} == {(1.0, 2048)}
    assert "requests" in capsys.readouterr().out


def test_asking_a_server_loads_no_torch():
    code = "import sys, eva_lightning.commands.collect; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
