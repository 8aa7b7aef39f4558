"""Every command that the README and the pages print is run by a test, or marked as needing a GPU.

Pages that another test runs line by line are compared with what that test runs. The other blocks are run
below, in a folder where the names of large checkpoints lead to the tiny policy. What needs a GPU is read by
the real parser.
"""

import json
import re
import shlex
import subprocess
import textwrap
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from eva_lightning.agent.worlds.script_world import ScriptWorld
from eva_lightning.cli import main
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world, load_tasks
from eva_lightning.engines.vllm.adapter import installed
from eva_lightning.files.store import located, read, write
from eva_lightning.records import Clip, Task, Trajectory
from eva_lightning.reports.app.server import AppServer
from tests.engines.test_server_engine import says, serving
from tests.reports.benchmarks.making_rows import rows_of, write_rows
from tests.system.pages import ROOT, Block, blocks, commands, pages, status
from tests.system.test_your_own_videos import Everybody, cg_bench, configs_for

pytestmark = pytest.mark.system

LINE_BY_LINE = {
    "docs/agentcvr.md": ("test_agentcvr", lambda test: test.LINES),
    "docs/coming-from.md": ("test_coming_from", lambda test: test.LINES),
    "docs/hub.md": ("test_hub", lambda test: test.LINES),
    "docs/lmms-eval.md": ("test_lmms_eval", lambda test: test.LINES),
    "docs/loggers.md": ("test_loggers", lambda test: test.LINES),
    "docs/placement.md": ("test_placement", lambda test: [line for line, _ in test.SHEETS]),
    "docs/vital.md": ("test_vital", lambda test: test.LINES),
    "docs/wind-tunnel.md": ("test_wind_tunnel", lambda test: test.commands(test.PAGE)),
    "docs/your-own-reward.md": ("test_your_own_reward", lambda test: test.commands(test.PAGE)),
    "docs/your-own-tool.md": ("test_your_own_tool", lambda test: test.blocks("bash")),
    "docs/your-own-videos.md": ("test_your_own_videos", lambda test: test.LINES),
    "docs/your-own-world.md": ("test_your_own_world", lambda test: test.commands(test.PAGE)),
}
"""Pages that a test of their own runs, and which lines that test takes."""
ON_A_GPU = (
    "eva doctor --model Qwen/Qwen2.5-VL-7B-Instruct --engine vllm",
    "eva fit --config grpo.yaml --model.engine VLLMEngine",
    "eva fit --config grpo.yaml --model.engine VLLMServerEngine",
    "eva fit --config grpo.yaml --config strategies/fsdp2.yaml",
    "eva fit --config kto.yaml --config strategies/fsdp2.yaml",
)
"""Beginnings of commands that need a GPU, or several: they are read by the parser, not carried out. What they
do is run with the tiny policy on CPUs by the tests of engines, ranks and `eva doctor`."""
ELSEWHERE = {"eva demo --agent vital": 'main(["demo", "--agent", "vital", "--share", "0.005"])'}
"""Commands that test_commands.py runs, and its words."""
HERE = {
    "train": ("README.md", "eva synthesize world"),
    "data": ("README.md", "eva prepare"),
    "searches": ("docs/data.md", "eva synthesize world"),
    "augment": ("README.md", "eva augment"),
    "serve": ("README.md", "eva serve"),
    "evaluate": ("README.md", "eva test"),
    "ask": ("README.md", "eva ask"),
    "app": ("docs/app.md", "eva app"),
    "replay": ("docs/replay.md", "eva replay"),
    "strategies": ("docs/strategies.md", "eva estimate"),
}
"""Blocks that are run below, each named by how one of its commands begins."""
ON_A_CPU = ["--trainer.accelerator=cpu", "--model.agent.limits.turn_tokens=8", "--model.concurrency=4"]


def block_here(name):
    page, beginning = HERE[name]
    (found,) = [one for one in blocks(page) if any(line.startswith(beginning) for line in one.commands)]
    return found


def sort_of(block, line):
    """Who runs a command: another test, one below, `make -n`, or nobody because it needs a GPU or Docker."""
    if block.page in LINE_BY_LINE:
        return "line by line"
    if line.startswith("make ") or line == ". .venv/bin/activate":
        return "set-up"
    if line.startswith("docker "):
        return "docker"  # test_containers.py reads their words, and runs them where a daemon answers
    if line in ELSEWHERE:
        return "elsewhere"
    if line.startswith(ON_A_GPU):
        return "gpu"
    return "here" if block in map(block_here, HERE) else "nobody"


def every_command():
    return [(one, line) for page in pages() for one in blocks(page) for line in one.commands]


def test_every_command_of_every_page_is_run_or_marked():
    nobody = [f"{one.page}: {line}" for one, line in every_command() if sort_of(one, line) == "nobody"]
    assert nobody == [], "run it: a block in HERE, a page in LINE_BY_LINE; or mark it in ON_A_GPU"
    counts = Counter(sort_of(one, line) for one, line in every_command())
    print(dict(counts))
    assert counts["gpu"] <= 6 and counts["set-up"] <= 5 and counts["docker"] <= 6, (
        "what is marked is the exception"
    )
    assert sum(counts[sort] for sort in ("line by line", "here", "elsewhere")) >= 90


def test_a_command_that_nobody_runs_is_found():
    new = Block("docs/new.md", "bash", "eva collect --a b  # why\neva fit \\\n    --c d\n# said\n")
    assert new.commands == ["eva collect --a b", "eva fit --c d"]
    assert [sort_of(new, line) for line in new.commands] == ["nobody"] * 2


def test_marks_and_tables_name_what_is_there():
    said = [line for _, line in every_command()]
    assert all(any(line.startswith(mark) for line in said) for mark in ON_A_GPU)
    assert set(ELSEWHERE) <= set(said)
    assert all(
        words in Path(__file__).with_name("test_commands.py").read_text() for words in ELSEWHERE.values()
    )
    assert all(len(block_here(name).commands) for name in HERE)


@pytest.mark.parametrize("page", LINE_BY_LINE)
def test_a_page_that_is_run_line_by_line_is_run_whole(page):
    name, lines = LINE_BY_LINE[page]
    test = import_module(f"tests.system.{name}")
    taken = Block(page, "bash", "\n".join(lines(test))).commands
    assert taken == commands(page) != []


def test_what_make_is_asked_for_is_in_the_makefile():
    asked = [line for one, line in every_command() if line.startswith("make ")]
    assert "$(MAKE)" not in (ROOT / "Makefile").read_text(), "make -n would carry that line out"
    for line in asked:
        # -B: what is installed already is told as well.
        done = subprocess.run([*shlex.split(line), "-nB"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        told = {"make demo": "eva demo", "make test": "pytest", "make vllm": "vllm", "make lmms": "lmms-eval"}
        assert told[" ".join(line.split()[:2])] in done.stdout, line
    assert len(asked) >= 4


GPU_LINES = [line for one, line in every_command() if sort_of(one, line) == "gpu"]


@pytest.mark.parametrize("line", [line for line in GPU_LINES if line.startswith("eva fit")])
def test_what_needs_a_gpu_is_read_by_the_real_parser(line, capsys):
    words = shlex.split(line)[1:]
    assert status([*words, "--print_config"]) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert "class_path: eva_lightning.modules." in printed
    for word in [word for word in words if word.endswith("Engine")]:
        assert f".{word}" in printed


def whole(text):
    """A piece of a config, put to where it belongs in that of a stage."""
    piece = yaml.safe_load(textwrap.dedent(text))
    piece = {"agent": piece} if "world" in piece else piece
    return piece if {"trainer", "model"} & set(piece) else {"model": {"init_args": piece}}


PIECES = [one for page in pages() if page not in LINE_BY_LINE for one in blocks(page, "yaml")]


@pytest.mark.parametrize("piece", PIECES, ids=lambda one: f"{one.page}: {one.text.split()[0]}")
def test_a_piece_of_a_config_is_read_by_the_real_parser(piece, tmp_path, capsys):
    (tmp_path / "piece.yaml").write_text(yaml.safe_dump(whole(piece.text)))
    words = ["fit", "--config", "grpo.yaml", "--config", str(tmp_path / "piece.yaml"), "--print_config"]
    assert status(words) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    named = re.findall(r"\b(?:class_path: |dialect: |\[)([A-Z]\w+)", piece.text)
    assert named and all(f".{one}\n" in printed for one in named)


def test_the_script_on_a_page_is_one(tmp_path):
    (script,) = blocks("docs/words.md", "json")
    (tmp_path / "scripts.jsonl").write_text(script.text)
    world = ScriptWorld(str(tmp_path / "scripts.jsonl"))
    assert world.describe(Clip(id="kettle")).duration == 20


@pytest.fixture(scope="module")
def street(tmp_path_factory, tiny_folder):
    """A folder where the large checkpoints' names lead to the tiny policy."""
    folder = tmp_path_factory.mktemp("street")
    for name in ("Qwen/Qwen2.5-VL-7B-Instruct", "WRHC/EfficientVideoAgent"):
        (folder / name).parent.mkdir()
        (folder / name).symlink_to(tiny_folder)
    return folder


@pytest.fixture
def here(street, monkeypatch):
    monkeypatch.chdir(street)
    return street


def small(words):
    """The words of a line, and what makes it end in seconds on a CPU."""
    words = ["2" if word in ("8", "100", "20") else word for word in words]
    if words[0] == "fit":
        words += [*ON_A_CPU, "--data.batch_size=2", "--trainer.limit_train_batches=2"]
        words += ["--trainer.max_epochs=1", "--data.eval_limit=2", "--trainer.limit_val_batches=1"]
    if words[0] == "synthesize":
        if "--held_out" in words:
            words[words.index("--held_out") + 1] = "1"
        words += ["--settings.fps=2", "--settings.height=112", "--settings.width=112", "--attempts=2"]
        words += [] if "--settings.duration" in words else ["--settings.duration=[60,60]"]
    if words[0] == "test":
        words += [*ON_A_CPU, "--model.engine=TransformersEngine"]
    if words[0] == "collect":
        words += ["--agent.dialect=EvaDialect", "--agent.dialect.timestamps=seconds"]
        words += [] if "--concurrency" in words else ["--concurrency=4"]
        words += ["--agent.limits.turn_tokens=8", "--limit=4"] if "--model" in words else []
    if words[0] in ("ask", "replay", "app"):
        words += ["--agent.limits.turn_tokens=8"]
    return words


def carry_out(lines, capsys=None):
    for line in lines:
        command, *words = shlex.split(line)
        assert command == "eva"
        assert main(small(words)) == 0, f"{line}\n{capsys.readouterr().err[-3000:] if capsys else ''}"


@pytest.fixture(scope="module")
def trained(street):
    """The walk through the three stages, carried out once. Two steps teach nothing, and KTO wants good ones,
    too: what the oracle did stands beside the attempts."""
    lines = [line for line in block_here("train").commands if line.startswith("eva")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(street)
        for line in lines:
            carry_out([line])
            if line.startswith("eva collect"):
                made = read(Path("attempts.jsonl"), Trajectory)
                shown = [located(one, Path("world")) for one in read(Path("world/oracle.jsonl"), Trajectory)]
                write(Path("attempts.jsonl"), [*made, *shown])
    return len(lines), len(made)


def test_the_walk_through_the_three_stages(trained, here):
    assert trained == (7, 8)
    for stage in ("sft", "kto", "grpo"):
        assert (here / "runs" / stage / "export" / "final" / "config.json").exists()
    assert {one.desirable for one in read(here / "feedback.jsonl", Trajectory)} == {True, False}
    assert any((here / "comparison").iterdir())


def test_new_tasks_of_the_kind_that_failed(trained, here, capsys):
    carry_out([line.replace("200", "4") for line in block_here("augment").commands], capsys)
    assert len(read(here / "mined" / "tasks.jsonl", Task)) == 4


def test_a_world_that_is_searched_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    carry_out(block_here("searches").commands, capsys)
    assert {one.source for one in load_tasks(tmp_path / "world")} > {"plate_while", "how_often"}


def test_a_trajectory_is_made_again(trained, here, capsys):
    """Written alone, as the page says: neighbours change a bfloat16's log-probs, and now and then a token."""
    lines = block_here("replay").commands
    collect = "eva collect --tasks world --model runs/sft/export/final --attempts 1 --concurrency 1"
    carry_out([f"{collect} --out kept.jsonl"], capsys)
    carry_out([line.replace("attempts.jsonl", "kept.jsonl") for line in lines], capsys)
    assert capsys.readouterr().out.count("are made again as they were recorded") == 3


def test_a_benchmark_is_asked_in_three_ways_and_compared(trained, here, capsys):
    asked = [one for one in load_tasks(here / "world") if one.options][:2]
    assert asked
    (here / "data" / "benchmarks").mkdir(parents=True)
    write_rows(here / "data" / "benchmarks" / "LVBench_raw_full_root.jsonl", rows_of(asked, "(A) "))
    (here / "data" / "benchmarks" / "LVBench").symlink_to(here / "world" / "clips")
    first, *others = block_here("evaluate").commands
    for stage in ("kto", "grpo"):
        carry_out([f"{first} --trainer.default_root_dir runs/benchmarks-{stage}"], capsys)
    carry_out([first, *others], capsys)
    page = here / "runs" / "benchmarks" / "benchmarks" / "LVBench" / "trajectories.html"
    assert page.stat().st_size > 10_000


def test_a_video_is_asked_here_and_by_a_server_and_on_a_page(trained, here, capsys, monkeypatch):
    clip = next((here / "world" / "clips").glob("*.mp4"))
    (here / "talk.mp4").symlink_to(clip)
    started = []

    def at_once(server):
        started.append(server.url)
        raise KeyboardInterrupt  # as its user would

    monkeypatch.setattr(AppServer, "serve_forever", at_once)
    lines = [*block_here("ask").commands, *block_here("app").commands]
    with serving(lambda number, body: says("<answer>soon</answer>")) as (url, _):
        carry_out([line.replace("http://localhost:8000", url) for line in lines], capsys)
    printed = capsys.readouterr().out
    assert "Answer: soon" in printed and len(started) == 4 and all(url in printed for url in started)


def test_the_server_s_command_is_made(trained, here, capsys):
    served = [line for line in block_here("serve").commands if line.startswith("eva serve")]
    if installed() is None:
        pytest.skip("vLLM is not installed: make vllm")
    carry_out([f"{line} --dry_run" for line in served], capsys)
    assert "runs/kto/export/final" in capsys.readouterr().out


def test_data_are_made_by_a_teacher_and_judged(here, tmp_path, capsys, monkeypatch):
    """The README's block, with the questions and the server of the page that has the whole chain."""
    monkeypatch.chdir(tmp_path)
    small = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
    world = build_world(tmp_path / "world", 2, small, families=["colour_at"], per_family=4, open_share=0.0)
    rows = [cg_bench(number, task) for number, task in enumerate(world.tasks)]
    Path("questions.json").write_text(json.dumps(rows))
    Path("DIR").symlink_to(world.folder / "clips")
    lines = [line.replace("--held_out 0.1", "--held_out 0.5") for line in block_here("data").commands]
    with serving(Everybody(world, wrong=2)) as (url, _):
        configs_for(url)
        for line in lines:
            if line.startswith("eva label"):
                words = f"collect --tasks data/tasks.jsonl --server {url} --attempts 4 --out attempts.jsonl"
                assert main(shlex.split(words)) == 0
            carry_out([line], capsys)
    assert read(tmp_path / "data" / "sifted.jsonl", Task)
    assert (tmp_path / "elsewhere.jsonl").stat().st_size > 1000


def test_what_a_card_must_hold_is_estimated(here, capsys):
    lines = [line for line in block_here("strategies").commands if line.startswith("eva estimate")]
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0, capsys.readouterr().err
    assert "GRPO of" in capsys.readouterr().out and len(lines) == 1
