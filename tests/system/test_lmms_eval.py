"""The page "Tasks of lmms-eval", run as it is printed: lmms-eval's own command line asks the tiny policy and
a server that looks before it answers, and `eva test` gets the same answers.

All its command lines run in one process, which takes seconds to start, and know the tasks of the page alone:
to list the two thousand that come with lmms-eval takes as long again, each time.
"""

import ast
import glob
import json
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from eva_lightning.cli import main
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.files.store import read
from eva_lightning.records import Trajectory
from tests.data.teaching.oracle_server import OracleServer
from tests.engines.test_server_engine import serving

lmms_eval_package = pytest.importorskip("lmms_eval", reason="lmms-eval is not installed: make lmms")
pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "lmms-eval.md").read_text()
LINES = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
TASK_FILES = [
    "videomme/videomme.yaml",
    "longvideobench/longvideobench_val_v.yaml",
    "mlvu/mlvu_dev.yaml",
    "lvbench/lvbench.yaml",
    "lsdbench/lsdbench.yaml",
    "video_holmes/video_holmes.yaml",
    "longvt/longvt_non_think.yaml",
]
FILES = dict(re.findall(r"`([\w/.]+)`\n```\w+\n(.*?)```", PAGE, re.DOTALL))
TABLE = re.findall(r"^\| [\w-]+ \| `(\w+)`.*\| (?:`(.*)`)? ?\|$", PAGE, re.MULTILINE)
BARE = ["agent.tools=[]", "agent.overview.frames=4", "agent.limits.turn_tokens=12"]
"""The random policy calls no tool; without any, all that it writes is its answer."""

SEVERAL = """
import functools, json, sys
from lmms_eval.baselines.loader import load_baseline
from lmms_eval.cli.dispatch import main
from lmms_eval.tasks import TaskManager
from lmms_eval.utils import load_yaml_config, make_table
lines, tasks, samples, row, replies = json.load(sys.stdin)
TaskManager.__init__ = functools.partialmethod(TaskManager.__init__, include_defaults=False)
for words in lines:
    sys.argv = ["lmms-eval", *words]
    try:
        main()
        ended = 0
    except SystemExit as end:
        ended = end.code
    print(f"\\n=== {ended}", flush=True)
scores, results = load_baseline(samples, "my_questions")
print(make_table(results), scores, sep="\\n=== table\\n")
for file in tasks:
    config = load_yaml_config(file)
    told = [config["process_results"](row, [reply]) for reply in replies]
    asked = config["doc_to_text"](row, (config.get("lmms_eval_specific_kwargs") or {}).get("default"))
    kind = config.get("output_type", "generate_until")
    print(json.dumps([config["task"], kind, callable(config["doc_to_visual"]), asked, told], default=str))
"""
TASK_ROW = {
    "question": "Which?",
    "Question": "Which?",
    "candidates": ["red", "blue"],
    "options": {"A": "red", "B": "blue"},
    "Options": {"A": "red", "B": "blue"},
    **{f"option{i}": text for i, text in enumerate(["red", "blue", "N/A", "N/A", "N/A"])},
    **dict.fromkeys(["answer", "Answer", "correct_answer"], "B"),
    "correct_choice": 1,
    **dict.fromkeys("videoID video_id question_id id domain sub_category task_type".split(), "x"),
    **dict.fromkeys("duration duration_group question_category".split(), "x"),
}
"""A question with the columns of all those tasks; B is right."""
REPLIES = ["B", "A", "<think>So.</think><answer>B</answer>"]
TASK = ["--tasks", "my_questions", "--include_path", "tasks", "--log_samples", "--output_path"]
POLICY = ["pretrained=runs/grpo/export/final", *BARE]
DIALECT = '{"class_path": "EvaDialect", "init_args": {"timestamps": "seconds"}}'
ON_A_CPU = ["--model.policy.dtype=float32", "--trainer.precision=32-true", "--trainer.accelerator=cpu"]
ASKED = """
from eva_lightning.engines.server_engine import ServerEngine

class Asked(ServerEngine):
    def __init__(self, policy, url: str):
        super().__init__(url)
"""
PICTURES = """
from PIL import Image

def pictures(row):
    return [Image.new("RGB", (8, 8))]
"""


def lmms_eval(lines, tasks, samples):
    """What lmms-eval's command line prints and how it ends, for each of several lines; then, how it reads a
    file of ours, and what the files of some tasks say."""
    given = json.dumps([lines, tasks, samples, TASK_ROW, REPLIES])
    words = [sys.executable, "-c", SEVERAL]
    done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    *parts, table, _, rest = re.split(r"\n=== (.*)\n", done.stdout)
    return list(zip(parts[0::2], parts[1::2], strict=True)), table, rest


def by_two(words):
    """Two processes that share three questions of a command line of lmms-eval; the second has one to make."""
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words = [*two, "-m", "lmms_eval", *words, "--limit=3"]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def asking(*said, out="scores", task=TASK):
    """A command line of lmms-eval."""
    return ["--model", "eva_agent", "--model_args", ",".join(said), *task, *([out] if task is TASK else [])]


def as_row(number, task):
    return {
        "index": number,
        "video": f"clips/{Path(task.clips[0].path).name}",
        "question": task.question,
        "options": list(task.options),
        "answer": task.answer.value,
    }


def bring(tiny_folder):
    """Twelve questions about four clips in the files of the page, the tiny policy where the page has one of
    7B parameters; and questions with a clip that is gone, with pictures, and with rounds of their own."""
    small = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
    world = build_world(Path(), 4, small, families=["colour_at"], per_family=3, open_share=0.0)
    Path("tasks").mkdir()
    for name, text in FILES.items():
        Path(name).write_text(text)
    rows = [as_row(number, task) for number, task in enumerate(world.tasks)]
    assert len(rows) == 12 and list(json.loads(FILES["tasks/questions.jsonl"])) == list(rows[0])
    gone = [rows[0] | {"video": "clips/gone.mp4"}, rows[1]]
    for name, held in {"questions": rows, "gone": gone}.items():
        Path("tasks", f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in held))
    mine = Path("tasks/my_questions.yaml").read_text()
    others = {
        "gone": mine.replace("questions", "gone"),
        "pictures": mine.replace("my_questions", "my_pictures").replace("mine.videos", "seen.pictures"),
        "rounds": mine.replace("my_questions", "my_rounds").replace("_until", "_until_multi_round"),
    }
    for name, text in others.items():
        Path("tasks", f"{name}.yaml").write_text(text)
    Path("tasks/seen.py").write_text(PICTURES)
    Path("held.settings.json").mkdir()
    Path("asked.py").write_text(ASKED)
    Path("bare.yaml").write_text("agent: {tools: [], overview: {frames: 4}, limits: {turn_tokens: 12}}")
    Path("runs/grpo/export").mkdir(parents=True)
    Path("runs/grpo/export/final").symlink_to(tiny_folder)
    return world


def small(words):
    """The words of a line of the page, and what makes the random policy answer in seconds on a CPU."""
    if words[0] == "lmms-eval":
        place = words.index("--model_args") + 1
        words[place] = ",".join([words[place], *BARE])
        return [one for word in words[1:] for one in (glob.glob(word) if "*" in word else [word])]
    if words[:2] == ["eva", "test"]:
        words += [*ON_A_CPU, "--model.engine=TransformersEngine", *(f"--model.{word}" for word in BARE)]
    return words[1:]


class HalfRight(OracleServer):
    """Looks before it answers, and is wrong at every other question of the world."""

    def turn(self, body):
        said = super().turn(body)
        user = next(message["content"] for message in body["messages"] if message["role"] == "user")
        asked = user if isinstance(user, str) else user[-1]["text"]
        number = next(i for i, one in enumerate(self.world.tasks) if asked.endswith(one.text.strip()))
        answer = re.search(r"<answer>(.*)</answer>", said)
        if number % 2 or answer is None:
            return said
        wrong = next(letter for letter in "AB" if letter != self.world.tasks[number].answer.value)
        return said.replace(answer[0], self.dialect.reply(wrong))


@dataclass(frozen=True)
class Ran:
    """What all the command lines left."""

    folder: Path
    ends: dict[str, tuple[str, str]]
    """What lmms-eval printed, and its status or last word, by the name of the line."""
    table: str
    """What lmms-eval makes of our results of the agent that looks."""
    tasks: str
    """What lmms-eval read of them, and what its own tasks are."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory, tiny_folder):
    folder, site = tmp_path_factory.mktemp("lmms"), Path(lmms_eval_package.__file__).parent / "tasks"
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()):
        patch.chdir(folder)
        patch.setenv("HF_HOME", str(folder / "hub"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("OPENAI_API_KEY", "none")
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.syspath_prepend(folder)
        world = bring(tiny_folder)
        for line in LINES:
            if line.startswith("eva "):
                assert main(small(shlex.split(line))) == 0
        page = [
            small(shlex.split(line)) for line in LINES if line.startswith("lmms-eval ") and "tasks " in line
        ]
        with serving(HalfRight(world)) as (url, _):
            engine = json.dumps({"class_path": "asked.Asked", "init_args": {"url": url}})
            words = ["test", "--config", "mine.yaml", f"--model.engine={engine}", *ON_A_CPU]
            words += [f"--model.agent.dialect={DIALECT}", "--trainer.default_root_dir=looks"]
            assert main(words) == 0
            assert main(["compare", "looks", "--lmms_eval", "compared"]) == 0
            (ours,) = Path("compared/looks").glob("*_samples_Mine.jsonl")
            server = [f"server={url}", f"agent.dialect={DIALECT}"]
            gone = ["--tasks", "my_gone", "--include_path", "tasks", "--log_samples", "--output_path", "gone"]
            lines = {
                "alone": page[-2],
                "paired": page[-1],
                "looks": asking(*server, "out=looks.jsonl", out="looks_scores"),
                "turns": [
                    *asking(*server, "reply=turn", "out=turns.jsonl", out="turns"),
                    "--limit=3",
                    "-n=2",
                ],
                "by config": asking(POLICY[0], "config=bare.yaml", "out=configured.jsonl", out="configured"),
                "help": asking("help="),
                "nobody": asking("agent.limits.turns=2"),
                "no option": asking(*POLICY, "turns=2"),
                "no folder": asking("pretrained=nowhere"),
                "no device": [*asking(*POLICY), "--device", "gpu"],
                "no file": asking(*POLICY, "out=held.jsonl"),
                "gone": asking(*POLICY, "out=gone.jsonl", task=gone),
                "empty": asking(*POLICY, "out=gone.jsonl", "empty_for_faults=true", task=gone),
                "pictures": asking(*POLICY, task=["--tasks", "my_pictures", "--include_path", "tasks"]),
                "rounds": asking(*POLICY, task=["--tasks", "my_rounds", "--include_path", "tasks"]),
            }
            tasks = [str(site / file) for file in TASK_FILES]
            with by_two(asking(*POLICY, "out=shared.jsonl", out="shared")) as both:
                ends, table, told = lmms_eval(list(lines.values()), tasks, str(ours))
                assert both.wait(timeout=200) == 0
    return Ran(folder=folder, ends=dict(zip(lines, ends, strict=True)), table=table, tasks=told)


def answers(file):
    """Question, every word that was written about it, and the answer, by the question's place."""
    return {
        int(one.task.id.rpartition("/")[2]): (one.task.text, [turn.text for turn in one.turns], one.answer)
        for one in read(file, Trajectory)
    }


def samples(folder):
    """The rows of the first of lmms-eval's files in a folder, by the question's place."""
    file = min(folder.rglob("*_samples_*.jsonl"))
    return {one["doc_id"]: one for one in map(json.loads, file.read_text().splitlines())}


def said(folder):
    return {number: one["filtered_resps"] for number, one in samples(folder).items()}


def test_the_tiny_agent_answers_every_question_as_in_eva_test(ran):
    there = answers(ran.folder / "runs/mine.jsonl")
    here = answers(ran.folder / "runs/benchmarks/benchmarks/Mine/trajectories.jsonl")
    assert ran.ends["alone"][1] == "0" and "|my_questions|none" in ran.ends["alone"][0]
    assert there == here and len(there) == 12
    assert all(answer for _, _, answer in there.values())
    assert len({answer for _, _, answer in there.values()}) > 6  # it is no constant
    assert said(ran.folder / "scores/export__final") == {
        number: answer for number, (_, _, answer) in here.items()
    }


def test_an_agent_that_looks_is_scored_alike_by_both(ran):
    there = answers(ran.folder / "looks.jsonl")
    here = answers(ran.folder / "looks/benchmarks/Mine/trajectories.jsonl")
    assert there == here and len(there) == 12
    assert all(len(turns) == 2 for _, turns, _ in there.values())  # a look, then the answer
    made_with = json.loads((ran.folder / "looks.settings.json").read_text())
    assert made_with["model"] == "tiny"  # the name on the server, which nobody gave
    theirs = {number: one["letter_score"] for number, one in samples(ran.folder / "looks_scores").items()}
    ours = {number: one["correct"] for number, one in samples(ran.folder / "compared").items()}
    assert theirs == ours and sum(ours.values()) == 6


def test_processes_share_the_questions_each_with_a_file_of_its_own(ran):
    files = [answers(ran.folder / name) for name in ("shared.jsonl", "shared.rank1.jsonl")]
    assert [sorted(one) for one in files] == [[0, 2], [1]]
    alone = answers(ran.folder / "runs/mine.jsonl")
    assert files[0] | files[1] == {number: alone[number] for number in range(3)}
    assert said(ran.folder / "shared") == {number: alone[number][2] for number in range(3)}


def test_the_agent_may_stand_in_a_config_and_its_words_are_listed(ran):
    assert ran.ends["by config"][1] == "0"
    assert answers(ran.folder / "configured.jsonl") == answers(ran.folder / "runs/mine.jsonl")
    printed, status = ran.ends["help"]
    assert status == "0" and "--pretrained" in printed and "--agent.limits.turns" in printed


def test_lmms_eval_reads_what_eva_test_measured(ran):
    printed, status = ran.ends["paired"]
    assert status == "0" and "[Baseline] Loaded 12 samples" in printed
    here = answers(ran.folder / "runs/benchmarks/benchmarks/Mine/trajectories.jsonl")
    assert said(ran.folder / "scores/benchmarks") == {i: answer for i, (_, _, answer) in here.items()}
    ours = {number: one["correct"] for number, one in samples(ran.folder / "compared").items()}
    assert ast.literal_eval(ran.tasks.splitlines()[0]) == ours
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in ran.table.splitlines()]
    row = next(row for row in cells if row[3:4] == ["correct"])
    assert row[5:8] == ["0.5", "±", "0.1508"]  # sqrt(12 * 0.25 / 11 / 12)


def test_a_task_that_looks_for_the_tags_gets_the_last_turn_of_every_attempt(ran):
    whole = said(ran.folder / "turns")
    assert len(whole) == 3 and all(text.endswith("</answer>") for text in whole.values())
    asked = [(one.task.id, one.replica) for one in read(ran.folder / "turns.jsonl", Trajectory)]
    assert sorted(asked) == [(f"my_questions/{i}", attempt) for i in range(3) for attempt in range(2)]


def test_what_can_not_be_asked_ends_in_a_line_that_says_what_to_do(ran):
    ends = {name: end for name, (_, end) in ran.ends.items()}
    assert (
        ends["nobody"] == "eva_agent: say who answers: pretrained=FOLDER|HUB_ID to run it here, or server=URL"
    )
    assert ends["no option"] == "2"
    assert ends["no folder"] == "eva_agent: there is no folder nowhere"
    assert ends["no device"] == "eva_agent: --device gpu: is no device; want cpu, cuda or cuda:NUMBER"
    assert ends["no file"].startswith("eva_agent: held.settings.json: can not be read or written")
    assert ends["pictures"].startswith(
        "eva_agent: my_pictures/0: shows something else than a video file (Image)"
    )
    assert ends["rounds"].startswith("eva_agent: my_rounds: has rounds of its own")


def test_a_fault_is_no_answer_unless_it_is_said_to_be_an_empty_one(ran):
    end = ran.ends["gone"][1]
    assert end.startswith("eva_agent: 1 of 2 questions could not be asked, the first: ")
    assert "gone.mp4" in end and end.endswith("count them as empty answers with empty_for_faults=true")
    kept = [one.task.id for one in read(ran.folder / "gone.jsonl", Trajectory) if one.stop != "fault"]
    assert kept == ["my_gone/1"]  # and is not asked again
    assert ran.ends["empty"][1] == "0"
    answered = said(ran.folder / "gone")
    assert answered[0] == "" and answered[1]


def right(told):
    """Whether a task took a reply for the right one, in whatever way it says so."""
    (held, *_) = told.values()
    if not isinstance(held, dict):
        return bool(held)
    return (
        bool(held["score"])
        if "score" in held
        else held.get("pred_answer", held.get("parsed_pred")) == held["answer"]
    )


def test_the_tasks_of_the_table_read_our_answers_and_their_configs_are_ours(ran):
    found = [json.loads(line) for line in ran.tasks.splitlines()[1:]]
    assert [(task, kind, shows) for task, kind, shows, _, _ in found] == [
        (task, "generate_until", True) for task, _ in TABLE
    ]
    for task, _, _, asked, told in found:
        assert "Which?" in asked
        if task.startswith("longvt"):  # it looks for the tags itself
            assert [one["acc_score"] for one in told] == [0.0, 0.0, 1.0]
        else:
            assert [right(one) for one in told[:2]] == [True, False], task
    configs = [config for _, config in TABLE if config]
    assert len(configs) == 6 and all((ROOT / "configs" / config).is_file() for config in configs)
