"""Every shipped config runs through the real front door: the tiny policy, a small world, two steps or three
questions; those of plain commands with a file of what they read.
"""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from eva_lightning.agent import AgentConfig, jobs_for, rollout
from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.dialects.react import ReActDialect
from eva_lightning.agent.small_talk import agent_text
from eva_lightning.agent.tools.observe import Observe
from eva_lightning.agent.worlds.script_world import ScriptWorld
from eva_lightning.cli import main
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.synthesis.captions import captions
from eva_lightning.data.synthesis.in_words import in_words
from eva_lightning.data.synthesis.script import ScriptSettings, write_script
from eva_lightning.data.synthesis.teachers import Oracle
from eva_lightning.data.synthesis.two_clips import WordTeacher, two_clips
from eva_lightning.data.synthesis.world import build_world, load_tasks
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.files.store import located, portable, read, write
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.records import Task, Trajectory
from tests.reports.benchmarks.making_rows import rows_of, write_rows
from tests.reports.benchmarks.public_forms import FORMS, lay_out

pytestmark = pytest.mark.system

CONFIGS = Path(__file__).parent.parent / "configs"
BENCHMARKS = CONFIGS / "benchmarks"
EVERY = sorted(CONFIGS.rglob("*.yaml"))


def trains(path):
    """Whether a config is of a stage: it says which module to train."""
    model = yaml.safe_load(path.read_text()).get("model")
    return path.parent != BENCHMARKS and isinstance(model, dict) and "class_path" in model


BESIDE = {"benchmarks/official.yaml", "benchmarks/uniform.yaml"}
"""Configs that change how the questions of another one are asked."""
OVERLAYS = {
    "demo/ahead.yaml": "demo/grpo.yaml",
    "demo/mining.yaml": "demo/grpo.yaml",
    "demo/vllm.yaml": "demo/grpo.yaml",
    "strategies/ddp.yaml": "sft.yaml",
    "strategies/fsdp2.yaml": "grpo.yaml",
    "strategies/lora.yaml": "kto.yaml",
    "strategies/zero2.yaml": "sft.yaml",
    "strategies/zero3.yaml": "sft.yaml",
    "strategies/zero3_offload.yaml": "sft.yaml",
}
"""Configs that change how another one trains."""
OWN_PROCESS = {name for name in OVERLAYS if name.startswith("strategies/") and "lora" not in name}
"""Their strategies change what a process is."""
TRAINING = [path for path in EVERY if trains(path) or str(path.relative_to(CONFIGS)) in OVERLAYS]
TUNNEL = CONFIGS / "tunnel"
"""Findings: tests/system/test_wind_tunnel.py tries each of them."""
COMMANDS = [path for path in EVERY if path.parent not in (BENCHMARKS, TUNNEL) and path not in TRAINING]
DATA = {"SFTModule": "trajectories", "KTOModule": "trajectories", "GRPOModule": "tasks"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A world of two clips with oracle.jsonl, feedback.jsonl and captions.jsonl."""
    folder = tmp_path_factory.mktemp("world")
    small = ScriptSettings(duration=(60, 60), height=112, width=112)
    files = build_world(folder, 2, small, families=["colour_at"], per_family=4, open_share=1.0, held_out=1)
    dialect = EvaDialect(timestamps="seconds")
    made = teach("oracle", Oracle(files.scripts, files.tasks, dialect), files.tasks, 1, dialect, 0)
    marked = [replace(one, desirable=bool(i % 2)) for i, one in enumerate(made)]
    for name, rows in (
        ("oracle", made),
        ("feedback", marked),
        ("captions", list(captions(files.scripts, folder))),
    ):
        write(folder / f"{name}.jsonl", [portable(one, folder) for one in rows])
    return folder


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    """A world of words, questions about pairs of its clips, and who asks them well (oracle.jsonl)."""
    folder, dialect = tmp_path_factory.mktemp("words"), ReActDialect(explain_tools=False)
    scripts = [write_script(seed, ScriptSettings(duration=(30, 40))) for seed in range(4)]
    write(folder / "scripts.jsonl", map(in_words, scripts))
    tasks = two_clips(scripts, 8)
    teacher, world = ScriptedEngine(WordTeacher(tasks, dialect)), ScriptWorld(str(folder / "scripts.jsonl"))
    agent = AgentConfig(dialect=dialect, tools=[Observe()], world=world).agent(teacher)
    write(folder / "oracle.jsonl", asyncio.run(rollout(jobs_for(tasks), agent)))
    for name in ("tasks", "held_out"):
        write(folder / f"{name}.jsonl", tasks)
    return folder


@pytest.fixture(scope="module")
def reader_folder(tmp_path_factory):
    """A tiny Qwen3 that reads words and sees nothing."""
    return build_tiny(tmp_path_factory.mktemp("reader"), corpus=agent_text(), family="qwen3")


def named(path):
    return str(path.relative_to(CONFIGS))


@pytest.mark.parametrize("config", EVERY, ids=named)
def test_a_config_is_short_and_says_what_it_is_for(config):
    text = config.read_text()
    assert len(text.splitlines()) <= 40
    assert text.startswith("# "), "say what it is for, on which hardware, in which time"


@pytest.mark.parametrize("config", TRAINING, ids=named)
def test_a_config_trains_two_steps(config, request, tmp_path, monkeypatch):
    name = str(config.relative_to(CONFIGS))
    configs = [OVERLAYS[name], name] if name in OVERLAYS else [name]
    text = "".join((CONFIGS / one).read_text() for one in configs)
    blind = "ScriptWorld" in text
    data = request.getfixturevalue("rehearsal" if blind else "data")
    policy = request.getfixturevalue("reader_folder" if blind else "tiny_folder")
    monkeypatch.chdir(tmp_path)
    unseen = tmp_path / "data" / "unseen"  # where eva/grpo.yaml looks for more videos
    unseen.parent.mkdir()
    unseen.symlink_to(data / "clips")
    stage = next(name for name in DATA if f"class_path: {name}" in text)
    rows = {
        "SFTModule": "captions.jsonl" if "captions" in text else "oracle.jsonl",
        "KTOModule": "feedback.jsonl",
    }
    words = ["fit", *(word for one in configs for word in ("--config", one))]
    words += [f"--model.policy.path={policy}"]
    if blind:
        words += [f"--model.agent.world.init_args.scripts={data / 'scripts.jsonl'}"]
    words += ["--trainer.accelerator=cpu"]
    mixed = make_mixture(config, data, DATA[stage])
    words += [] if mixed else [f"--data.{DATA[stage]}={data / rows[stage] if stage in rows else data}"]
    words += ["--data.batch_size=2"]
    words += ["--trainer.max_steps=-1", "--trainer.limit_train_batches=2", "--trainer.max_epochs=1"]
    words += [f"--trainer.default_root_dir={tmp_path}"]
    words += [] if "limit_val_batches" in text else ["--trainer.limit_val_batches=1"]
    words += ["--trainer.val_check_interval=2"] if "val_check_interval" in text else []
    words += ["--model.agent.limits.turn_tokens=16", "--model.concurrency=4"]
    words += [f"--data.eval_tasks={data}", "--data.eval_limit=2"] if "eval_tasks" in text else []
    assert (run_apart(words) if name in OWN_PROCESS else main(words)) == 0
    assert (tmp_path / "export" / "final" / "config.json").exists()


def make_mixture(config, data, what):
    """Where a config mixes several files, these files in the working folder, with tasks of their own."""
    listed = yaml.safe_load(config.read_text()).get("data", {}).get("init_args", {}).get(what)
    if not isinstance(listed, list):
        return False
    cls, name = (Task, "tasks.jsonl") if what == "tasks" else (Trajectory, "oracle.jsonl")
    rows = [located(one, data) for one in read(data / name, cls)]
    for source in listed:
        path = Path(source if isinstance(source, str) else source["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        own = [replace(one, id=f"{path.stem}/{one.id}") for one in rows] if cls is Task else rows
        write(path, own)
    return True


def run_apart(words):
    """`eva` in a process of its own."""
    if "zero" in " ".join(words) and find_spec("deepspeed") is None:
        pytest.skip("DeepSpeed is not installed")
    done = subprocess.run([sys.executable, "-m", "eva_lightning", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.returncode


@pytest.fixture(scope="module")
def choices(tmp_path_factory):
    """A world of one clip with three questions, all of them multiple choice."""
    folder = tmp_path_factory.mktemp("choices")
    small = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
    build_world(folder, 1, small, families=["colour_at"], per_family=3, open_share=0.0)
    return folder


PUBLIC = {name.partition("/")[0] for name in FORMS} | {"crossvid"}
"""Benchmarks that are read from what their authors publish (CrossVid's ten kinds in tests/system); the others
from rows of EVA's release."""


@pytest.mark.parametrize(
    "config", [one for one in sorted(BENCHMARKS.glob("*.yaml")) if one.stem not in PUBLIC], ids=named
)
def test_a_benchmark_is_asked_and_told(config, choices, tiny_folder, tmp_path):
    beside = named(config) in BESIDE
    configs = [BENCHMARKS / "lvbench.yaml", config] if beside else [config]
    (benchmark,) = yaml.safe_load(configs[0].read_text())["data"]["init_args"]["benchmarks"]
    style, file = benchmark["shape"]["option_style"], tmp_path / "rows.jsonl"
    write_rows(file, rows_of(load_tasks(choices), style))
    ours = benchmark | {"file": str(file), "videos": str(choices / "clips")}
    words = [word for path in configs for word in ("--config", named(path))]
    words += [f"--model.policy.path={tiny_folder}", "--trainer.accelerator=cpu"]
    words += ["--model.engine=TransformersEngine", "--model.agent.limits.turn_tokens=4"]
    words += [f"--data.benchmarks={json.dumps([ours])}", f"--trainer.default_root_dir={tmp_path}"]
    assert main(["test", *words]) == 0
    folder = tmp_path / "benchmarks" / benchmark["name"]
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert sorted(row["index"] for row in rows) == [0, 1, 2]
    assert all(row.get("category") == "colour_at" for row in rows) or "category" not in benchmark["shape"]
    assert all(row.get("seen") is not None for row in rows) or "evidence" not in benchmark["shape"]
    told = (folder / "report.txt").read_text()
    assert f"{benchmark['published']['EVA']['accuracy']:.2f}%" in told
    assert {row["frames"] for row in rows} == {32 if config.name == "uniform.yaml" else 0}
    settings = json.loads((folder / "settings.json").read_text())
    offered = {"official.yaml": ["OfficialFrameSelect"], "uniform.yaml": []}.get(config.name, ["FrameSelect"])
    assert [tool.partition("(")[0] for tool in settings["tools"]] == offered
    official = config.name == "official.yaml"
    assert (settings["dialect"].partition("(")[0] == "OfficialEvaDialect") == official
    assert settings["limits"]["last_call"] == official


@pytest.mark.parametrize("name", FORMS)
def test_a_public_benchmark_is_asked_from_what_its_authors_publish(name, choices, tiny_folder, tmp_path):
    form, config = FORMS[name], BENCHMARKS / f"{name.partition('/')[0]}.yaml"
    file = lay_out(form, tmp_path)
    clip = next((choices / "clips").glob("*.mp4"))
    for video in form.videos:
        shutil.copy(clip, tmp_path / "videos" / video)
    held = yaml.safe_load(config.read_text())["data"]["init_args"]["benchmarks"]
    benchmark = next(one for one in held if one["name"].endswith(name.rpartition("/")[2]) or "/" not in name)
    ours = benchmark | {"file": str(file), "videos": str(tmp_path / "videos")}
    words = ["--config", named(config), f"--model.policy.path={tiny_folder}", "--trainer.accelerator=cpu"]
    words += ["--model.engine=TransformersEngine", "--model.agent.limits.turn_tokens=1"]
    words += [f"--data.benchmarks={json.dumps([ours])}", f"--trainer.default_root_dir={tmp_path}"]
    assert main(["test", *words]) == 0
    folder = tmp_path / "benchmarks" / benchmark["name"]
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert sorted(row["gt"] for row in rows) == sorted(form.golds)
    told = (folder / "report.txt").read_text()
    assert f"{len(form.golds)} questions answered" in told and "VITAL (published)" in told
    for measure, value in benchmark["published"]["VITAL"].get("timed", {}).items():
        assert re.search(rf"^{measure} +\S+ +{value:.2f}%", told, re.MULTILINE), measure
    for written, expected in form.predicted.items():
        text = (folder / written).read_text()
        found = (
            [json.loads(line) for line in text.splitlines()] if written.endswith("l") else json.loads(text)
        )
        assert in_order(found) == in_order(expected)


def in_order(rows):
    """Answers are written as they come."""
    return sorted(rows, key=str) if isinstance(rows, list) else rows


def command_of(config):
    """The command that a config without a model is for: `prepare` for prepare_cgbench.yaml."""
    return config.stem.partition("_")[0]


def chat(*turns):
    who = ("human", "gpt")
    return [{"from": who[i % 2], "value": text} for i, text in enumerate(turns)]


MC = "<image>\nWhat is on the arm?\nA. A tattoo\nB. A watch\nPlease respond with only the letter."
LLAVA_VIDEO = [
    {
        "id": "v1",
        "data_source": "0_30_s_academic_v0_1",
        "video": "academic/a.mp4",
        "conversations": conversation,
    }
    for conversation in (
        chat(MC, "B."),
        chat("<image>\nWhy does she stop?", "It rains.", "And then?", "She runs."),
    )
]
LLAVA_VIDEO[1]["id"] = "v2"
CG_BENCH = {
    "qid": 0,
    "video_uid": "a",
    "question": "What is cooked?",
    "choices": ["rice", "soup", "fish"],
    "right_answer": "C",
    "answer": "fish",
    "clue_intervals": [[12, 20], [40.5, 44]],
    "duration": 1800,
    "domain": "Life Record",
    "sub_category": "Entity Recognition",
}
MTVR = [
    {
        "id": f"{i:06}",
        "video": "a.mp4",
        "text": question,
        "solution": solution,
        "duration": 55.15,
        "data_source": f"./data/{source}",
    }
    for i, (source, question, solution) in enumerate(
        [
            (
                "charades_cutreward",
                "Which second to which: a lift?",
                "<think></think><answer>The event happens in the 0.28 - 55.15</answer>",
            ),
            (
                "nextgqa_cutreward",
                "Why?\nA. rain\nB. wind",
                "<think>From 1 to 2, so</think><answer>From 32.00 to 53.00, B. wind</answer>",
            ),
            ("rextime_cutreward", "Why does he bend?", "From 32.00 to 53.00, to lift a bar."),
            ("video_r1/numerical", "How many?", "<answer>3.5</answer>"),
            ("video_r1/OCR", "What is written?", "<answer>EXIT 12</answer>"),
            ("video_r1/multiple_choice", "Which?\nA. red\nB. blue", "<answer>A</answer>"),
        ]
    )
]
ROWS = {"prepare_llava_video": LLAVA_VIDEO, "prepare_cgbench": [CG_BENCH], "prepare_mtvr": MTVR}


def run_prepare(config, folder):
    """`eva prepare` on rows as the data set has them; the tasks."""
    (folder / "videos").mkdir()
    (folder / "videos" / "a.mp4").touch()
    (folder / "rows.json").write_text(json.dumps(ROWS[config.stem]))
    words = [
        "--config",
        named(config),
        "--rows",
        str(folder / "rows.json"),
        "--videos",
        str(folder / "videos"),
    ]
    assert main(["prepare", *words, "--out", str(folder / "tasks.jsonl")]) == 0
    return read(folder / "tasks.jsonl", Task)


def check_llava_video(tasks):
    ids = ["v1", "v2/1", "v2/2"]
    assert [one.id for one in tasks] == [f"0_30_s_academic_v0_1/{one}" for one in ids]
    assert [one.answer.value for one in tasks] == ["B", "It rains.", "She runs."]
    assert tasks[0].text == "What is on the arm?\nA. A tattoo\nB. A watch"
    assert [one.clips[0].path for one in tasks] == ["videos/a.mp4"] * 3


def check_cgbench(tasks):
    (one,) = tasks
    assert (one.id, one.source, one.answer.value, one.options[2]) == ("cgbench/0", "cgbench", "C", "fish")
    assert list(map(str, one.evidence)) == ["12 to 20 s", "40.5 to 44 s"]
    assert one.extra["category"] == "Entity Recognition" and one.extra["duration"] == 1800.0


def check_mtvr(tasks):
    kinds = ["interval", "choice", "text", "rounded", "transcript", "choice"]
    values = [(0.28, 55.15), "B", "to lift a bar.", 3.5, "EXIT 12", "A"]
    assert [one.answer.kind for one in tasks] == kinds and [one.answer.value for one in tasks] == values
    assert [one.answer.grounds for one in tasks] == [(), ((32.0, 53.0),), ((32.0, 53.0),), (), (), ()]
    assert {one.extra["duration"] for one in tasks} == {55.15}


def prepares(config, folder):
    checks = {
        "prepare_llava_video": check_llava_video,
        "prepare_cgbench": check_cgbench,
        "prepare_mtvr": check_mtvr,
    }
    checks[config.stem](run_prepare(config, folder))


RUNS = {"prepare": prepares}
"""What shows that the configs of a plain command work."""
ON_THE_PAGE = {"collect", "label", "uniform", "videos"}
"""Those of docs/your-own-videos.md and docs/agentcvr.md are run line by line in tests/system."""


@pytest.mark.parametrize("config", [one for one in COMMANDS if command_of(one) not in ON_THE_PAGE], ids=named)
def test_a_config_of_a_plain_command_is_found_by_name_and_does_what_it_says(config, tmp_path):
    RUNS[command_of(config)](config, tmp_path)
