"""Whole commands, as a user types them: what they print, what they write, what they say when something is
wrong.
"""

import json
import re
import subprocess
import sys

import pytest
from PIL import Image

from eva_lightning import __version__
from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.cli import main
from eva_lightning.commands.arguments import _short_words, _spell_out
from eva_lightning.commands.collect import collect
from eva_lightning.commands.courses.grounder import GROUNDING
from eva_lightning.data.synthesis.world import load_tasks
from eva_lightning.files.store import read
from eva_lightning.records import Task, Trajectory
from tests.engines.test_server_engine import says, serving

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A world of two short clips, made by the command itself."""
    folder = tmp_path_factory.mktemp("world")
    words = ["--videos", "2", "--held_out", "1", "--settings.duration", "[60,60]", "--attempts", "2"]
    assert main(["synthesize", "world", "--out", str(folder), *words]) == 0
    return folder


def test_help_lists_every_command_and_loads_no_torch():
    code = (
        "import sys; from eva_lightning.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(f"  {name} " in done.stdout for name in ("ask", "synthesize", "demo"))


def test_the_module_runs_like_the_script():
    done = subprocess.run(
        [sys.executable, "-m", "eva_lightning", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"eva {__version__}\n")


def test_a_world_holds_clips_tasks_and_two_teachers(world, capsys):
    tasks, oracle = read(world / "tasks.jsonl", Task), read(world / "oracle.jsonl", Trajectory)
    assert len(list((world / "clips").glob("*.mp4"))) == 2
    assert [one.task for one in oracle[::2]] == tasks  # two attempts each, paths relative to the folder
    assert {one.stop for one in oracle} == {"answered"}
    assert len(read(world / "sloppy.jsonl", Trajectory)) == 2 * len(tasks)


def test_asking_a_tiny_model_prints_the_walk_and_the_ledger(world, tiny_folder, capsys):
    task = load_tasks(world)[0]
    status = main(
        [
            "ask",
            task.clips[0].path,
            task.question,
            "--model",
            str(tiny_folder),
            "--agent.limits.turn_tokens=8",
        ]
    )
    printed = capsys.readouterr().out
    assert status == 0
    assert task.question in printed
    assert "Tokens: " in printed
    assert "stop: turn_cut" in printed


CALL = EvaDialect().call("frame_select", start_time=0, end_time=30, nframes=3)


def test_asking_a_server_shows_plan_frames_and_answer_and_saves_the_strip(world, tmp_path, capsys):
    clip = load_tasks(world)[0].clips[0].path
    script = lambda number, body: says(f"I look.\n{CALL}" if number == 1 else "<answer>blue</answer>")  # noqa: E731
    strip = tmp_path / "strip.png"
    with serving(script) as (url, asked):
        status = main(["ask", clip, "Which colour?", "--server", url, "--frames", str(strip)])
    printed = capsys.readouterr().out
    assert status == 0
    assert "3 frames of 224x224 (192 visual tokens) at 0.0, 10.0, 29.8 s" in printed
    assert "Answer: blue   stop: answered" in printed
    assert "3 saved to" in printed
    assert Image.open(strip).width == 3 * 112 + 2 * 4
    assert len(asked[1][1]["messages"][3]["content"]) == 7  # three labels, three frames, the question again


def test_json_is_one_trajectory_that_reads_back(world, capsys):
    clip = load_tasks(world)[0].clips[0].path
    with serving(lambda number, body: says("<answer>blue</answer>")) as (url, _):
        assert main(["ask", clip, "Which colour?", "--server", url, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["answer"], row["stop"], row["tokens"]["visual"]) == ("blue", "answered", 0)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["ask", "none.mp4", "What?", "--server", "http://localhost:1"], "none.mp4: no such file"),
        (
            ["ask", __file__, "What?"],
            "say who answers: --model FOLDER|HUB_ID to run it here, or --server URL",
        ),
        (["ask", __file__, "What?", "--server", "http://localhost:1"], "test_commands.py"),
        (["ask", __file__, "What?", "--model", "/nowhere"], "test_commands.py: can not be read as a video"),
        (["ask", "/tmp", "What?", "--model", "/nowhere"], "/tmp: is a folder; give the path of a video"),
        (["app", "--model", "/nowhere"], "no folder /nowhere"),
        (["synthesize", "world", "--out", "x", "--families", "[smell]"], "no question family 'smell'"),
        (["synthesize", "world", "--out", "x", "--videos", "0"], "want 1 or more videos"),
        (["synthesize", "moon"], "say what to synthesize"),
    ],
)
def test_a_mistake_is_one_line_and_a_non_zero_exit(words, complaint, capsys):
    assert main(words) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert complaint in said[-1]
    assert said[-1].startswith(f"eva {words[0]}: ")
    assert not any("Traceback" in line for line in said)


def test_an_unknown_command_names_the_known_ones(capsys):
    assert main(["fly"]) == 2
    assert "no command 'fly'; the commands are fit" in capsys.readouterr().err


def test_an_unknown_option_is_refused_by_name(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["synthesize", "world", "--out", "x", "--vidoes", "3"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "eva synthesize world: there is no option --vidoes 3; did you mean videos?",
    ]


def test_a_word_of_the_wrong_kind_is_one_line_too(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["synthesize", "world", "--out", "x", "--videos", "many"])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("eva synthesize world: ") and "videos" in line and "many" in line


def test_the_whole_demo_runs_on_a_fiftieth_of_its_training_and_is_not_done_twice(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--share", "0.02"]) == 0
    said, log = capsys.readouterr().out, (tmp_path / "runs/demo/demo.log").read_text()
    stages = ("warmup", "sft", "kto", "grpo")
    assert all(f"> eva fit --config demo/{stage}.yaml" in log for stage in stages) and "eva fit" not in said
    assert [line.split()[0] for line in said.splitlines()[:5]] == ["world", *stages]
    assert re.search(r"^grpo +accuracy 0\.\d{3} \(0\.\d{3} greedily\), .* \(0:\d\d\)$", said, re.MULTILINE)
    assert "tensorboard --logdir runs/demo" in said and "\r" not in log and "iteration " in log
    assert (tmp_path / "runs/demo/comparison/comparison.png").exists()
    assert main(["demo", "--share=0.02"]) == 0
    assert (tmp_path / "runs/demo/demo.log").read_text().count("eva fit") == log.count("eva fit") == 4
    assert main(["demo"]) == 1  # what was learned in a fiftieth is not told as the demo
    assert "was made with share 0.02, and now it is 1.0: name another --out" in capsys.readouterr().err


def test_the_demo_of_the_grounding_agent_runs_on_a_small_share_of_its_training(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--agent", "vital", "--share", "0.005"]) == 0
    log = (tmp_path / "runs/demo_vital/demo.log").read_text()
    stages = ("warmup", "reading", "rehearsal", "sft", "dgrpo")
    assert all(f"eva fit --config demo/vital/{stage}.yaml" in log for stage in stages)
    made = read(tmp_path / "runs/demo_vital/held_out/dgrpo.jsonl", Trajectory)
    assert made and all(len(one.prompt[-1].frames) == 8 for one in made)  # it has seen the overview
    settings = json.loads((tmp_path / "runs/demo_vital/held_out/dgrpo.settings.json").read_text())
    for name, value in GROUNDING.facts().items():
        assert name.startswith(("limits", "temperature")) or settings[f"agent.{name}"] == value, name
    assert main(["demo", "--out", "runs/demo_vital", "--share", "0.02"]) == 1  # it is another agent's
    assert "runs/demo_vital was made with" in capsys.readouterr().err


def test_the_demo_of_two_videos_in_words_runs_on_a_fiftieth_of_its_training(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--agent", "agentcvr", "--share", "0.02"]) == 0
    said = capsys.readouterr().out
    made = read(tmp_path / "runs/demo_agentcvr/held_out/grpo.jsonl", Trajectory)
    assert made and all(len(one.task.clips) == 2 and not one.frames for one in made)
    settings = json.loads((tmp_path / "runs/demo_agentcvr/held_out/grpo.settings.json").read_text())
    assert settings["agent.world"] == "ScriptWorld"
    assert settings["agent.world.scripts"] == "runs/demo_agentcvr/world/words.jsonl"
    assert "sft" in said and "grpo" in said and not (tmp_path / "runs/demo_agentcvr/world/clips").exists()


def test_the_demo_of_a_search_runs_on_a_small_share_of_its_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--agent", "search", "--share", "0.005"]) == 0
    log = (tmp_path / "runs/demo_search/demo.log").read_text()
    stages = ("warmup", "reading", "sft", "kto", "grpo")
    assert all(f"eva fit --config demo/search/{stage}.yaml" in log for stage in stages)
    made = read(tmp_path / "runs/demo_search/held_out/grpo.jsonl", Trajectory)
    assert {one.task.source for one in made} <= {"plate_while", "right_after"} and len(made) >= 4
    taught = read(tmp_path / "runs/demo_search/world/sloppy.jsonl", Trajectory)
    assert {len(turn.observation.frames) for one in taught for turn in one.turns if turn.observation} >= {12}


def test_a_fresh_demo_deletes_no_folder_but_a_demo_s(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years")
    assert main(["demo", "--fresh", "--out", str(tmp_path)]) == 1
    assert "is no folder of a demo" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "years"


def test_a_command_without_any_word_takes_its_defaults():
    short = {"--json": "true", "--coach": "{}"}
    assert _spell_out([], short) == []
    words = ["--json", "--n", "3", "--json", "false"]
    assert _spell_out(words, short) == ["--json=true", *words[1:]]


def test_a_group_of_options_may_be_asked_for_by_its_name_alone():
    short = _short_words(collect)
    switches = dict.fromkeys(("--oracle", "--allow_outside", "--keep.only_good"), "true")
    assert short == switches | {"--coach": "{}", "--audit": "{}"}
    words = ["--coach", "--audit", "--coach.bank", "b.jsonl", "--audit", "{}"]
    assert _spell_out(words, short) == ["--coach={}", "--audit={}", *words[2:]]
