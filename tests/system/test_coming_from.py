"""The page "Coming from verl, ms-swift, TRL or LongVT": its words are those of the command line, TRL's are
TRL's, and its lines run on rows of the shapes that it names.
"""

import json
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from eva_lightning.cli import main
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.files.store import read
from eva_lightning.records import Task, Trajectory
from tests.data.exchange.public_rows import longvt_question, longvt_trace

pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "coming-from.md").read_text()
LINES = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
FILES = dict(re.findall(r"`([\w/.]+)`\n```\w+\n(.*?)```", PAGE, re.DOTALL))
TABLE = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| what |")
]
ROWS = [("grpo.yaml", shlex.split(row[4].strip("`"))) for row in TABLE]
ROWS += [
    ("kto.yaml", shlex.split(words))
    for words in re.findall(r"`(--model\.objective\.(?:beta|des)[^`]+)`", PAGE)
]


def together(rows):
    """Rows in as few command lines as can be: those of one config that set different things."""
    lines = []
    for config, words in rows:
        named = {word for word in words if word.startswith("--")}
        line = next((line for line in lines if line[0] == config and not named & set(line[1])), None)
        if line is None:
            lines.append((config, list(words)))
        else:
            line[1].extend(words)
    return lines


@pytest.mark.parametrize(("config", "words"), together(ROWS), ids=range(len(together(ROWS))))
def test_our_words_are_those_of_the_command_line(config, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["fit", "--config", config, *words, "--print_config"])
    assert end.value.code in (0, None), capsys.readouterr().err


def test_the_table_has_a_row_for_each_of_the_things_that_a_run_is_made_of():
    assert len(TABLE) == 29 and all(len(row) == 5 for row in TABLE)


def test_trl_s_words_are_fields_of_its_configs():
    trl = pytest.importorskip("trl", reason="TRL is not installed: pip install trl")
    known = {field.name for field in fields(trl.GRPOConfig)}
    named = {word for row in TABLE for word in re.findall(r"`(\w+)`", row[3])}
    assert len(named) > 15 and named - known == set()
    beside = {"assistant_only_loss", "packing"} | {"beta", "desirable_weight"}
    both = {field.name for kind in (trl.SFTConfig, trl.KTOConfig) for field in fields(kind)}
    assert all(f"`{word}`" in PAGE for word in beside) and not beside - both


@pytest.fixture
def brought(tmp_path, monkeypatch):
    """What the page says that one brings: rows of others, and their videos."""
    monkeypatch.chdir(tmp_path)
    small = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
    world = build_world(Path(), 1, small, families=["colour_at"], per_family=1)
    Path("videos").mkdir()
    Path("clips", f"{world.scripts[0].id}.mp4").rename("videos/a.mp4")
    for name, text in FILES.items():
        Path(name).write_text(text)
    for name, row in (("rft_selftrace_15k3", longvt_trace), ("rl_selfqa_1k6", longvt_question)):
        held = row("a.mp4", "Which colour comes first?", "blue")
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([held]), f"longvt_{name}.parquet")
    Path("MTVR_CoT").mkdir()
    mtvr = {"id": "1", "video": "a.mp4", "text": "When is it red?", "duration": 60.0}
    mtvr |= {
        "solution": "<think>Early.</think><answer>From 3 to 9</answer>",
        "data_source": "./data/charades",
    }
    Path("MTVR_CoT/charades.json").write_text(json.dumps([mtvr]))
    Image.new("RGB", (56, 56)).save("a.png")
    said = [("user", "<image>What is it?"), ("tool_call", '{"name": "zoom", "arguments": {"by": 2}}')]
    said += [("tool_response", "<image>"), ("assistant", "<answer>A cat.</answer>")]
    messages = [{"role": role, "content": words} for role, words in said]
    Path("swift_agent.jsonl").write_text(json.dumps({"messages": messages, "images": ["a.png"] * 2}) + "\n")


def test_every_line_of_the_page_works(brought, capsys):
    assert len(LINES) == 7
    for line in LINES:
        command, *words = shlex.split(line)
        assert command == "eva" and main(words) == 0, f"{line}\n{capsys.readouterr().err}"
    (trace,) = read("data/demonstrations.jsonl", Trajectory)
    assert (trace.stop, trace.answer) == ("answered", "blue")
    assert len(trace.turns) == 2 and len(trace.frames) == 64 + 18  # the overview; 12 to 30 s at 1 a second
    (task,) = read("data/tasks.jsonl", Task)
    assert task.answer.value == "blue" and [span.start for span in task.evidence] == [12.0]
    (charades,) = read("data/charades.demonstrations.jsonl", Trajectory)
    assert (charades.answer, charades.task.answer.kind) == ("From 3 to 9", "interval")
    (image,) = read("data/images.jsonl", Trajectory)
    assert [call.name for call in image.turns[0].calls] == ["zoom"] and image.answer == "A cat."
    row = json.loads(Path("data/trl.jsonl").read_text())
    assert len(row["images"]) == 64 + 18 and all((Path("data") / file).is_file() for file in row["images"])
