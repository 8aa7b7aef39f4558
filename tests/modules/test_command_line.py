"""`eva fit`: what it refuses, in how many words; where configs are found; what a checkpoint may not do."""

import json
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import yaml

from eva_lightning.agent.small_talk import agent_text
from eva_lightning.callbacks import AgentProgressBar
from eva_lightning.cli import main
from eva_lightning.files.store import write
from eva_lightning.policy.tiny import build_tiny
from tests.files.small_disk import small_disk


@pytest.fixture
def config(taught, tiny_folder, tmp_path):
    """A config of SFT on two trajectories, one iteration; `more` is laid over its init_args of the model."""
    write(tmp_path / "taught.jsonl", taught[:2])

    def make(name="sft.yaml", **more):
        written = {
            "model": {"class_path": "SFTModule", "init_args": {"policy": {"path": str(tiny_folder)}} | more},
            "data": {
                "class_path": "DemonstrationData",
                "init_args": {"trajectories": str(tmp_path / "taught.jsonl"), "batch_size": 2},
            },
            "trainer": {"accelerator": "cpu", "default_root_dir": str(tmp_path), "logger": False},
        }
        (tmp_path / name).write_text(yaml.safe_dump(written))
        return ["fit", "--config", str(tmp_path / name)]

    return make


def refused(words, capsys):
    """The last words of a refusal, which are one line."""
    try:
        status = main(words)
    except SystemExit as leaving:
        status = leaving.code
    assert status in (1, 2)
    said = capsys.readouterr().err
    assert "Traceback" not in said and "usage:" not in said
    return said.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--model.polcy.path", "x"],
            "model: SFTModule: there is no option --polcy.path=x; did you mean policy?",
        ),
        (["--model.objective.beta", "1"], "model: SFTModule: there is no option --objective.beta=1"),
        (["--model.optimizer.lrr", "1"], "there is no option lrr; did you mean lr?"),
        (["--model.optimizer.lr", "abc"], "optimizer: OptimizerConfig: lr: want float (given: abc)"),
        (
            ["--model.optimizer.decay", "log"],
            "decay: want one of 'constant', 'cosine', 'linear' (given: log)",
        ),
        (
            ["--trainer.epochs", "3"],
            "there is no option --trainer.epochs 3; did you mean max_epochs or min_epochs?",
        ),
        (["--notes", "Fault"], "there is no option --notes Fault"),  # Fault: a class without a signature
        (["--trainer.callbacks+=Nobody"], "trainer.callbacks: there is no class Nobody"),
        (["--model", "SFTModul"], "model: there is no class SFTModul; did you mean SFTModule?"),
    ],
)
def test_a_wrong_word_is_refused_by_name_in_one_line(words, said, config, capsys):
    with pytest.raises(SystemExit) as leaving:
        main([*config(), *words])
    assert leaving.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("eva fit: ") and line.endswith(said)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"polcy": {"path": "x"}}, "model: SFTModule: there is no option polcy.path; did you mean policy?"),
        ({"packing": {"row_token": 3}}, "packing: PackingConfig: there is no option row_token"),
    ],
)
def test_a_typo_in_a_config_is_refused_by_name(more, said, config, capsys):
    assert refused(config(**more), capsys).endswith(said)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("grop.yaml", "did you mean grpo.yaml?"),
        ("strategies/fdsp2.yaml", "did you mean strategies/fsdp2.yaml?"),
        ("nowhere.yaml", "give the path of a file, or the name of a shipped one"),
    ],
)
def test_a_config_that_is_nowhere_is_one_line_with_what_is_named_alike(name, hint, capsys):
    assert refused(["fit", "--config", name], capsys) == f"eva fit: {name}: there is no such config; {hint}"


def test_ctrl_c_ends_a_fit_with_130_and_a_line_and_the_next_command_hears_it_again(
    config, monkeypatch, capsys
):
    def as_its_user_would(bar, trainer, module):
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(AgentProgressBar, "on_train_start", as_its_user_would)
    assert main(config()) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "eva fit: interrupted; what was written is kept"
    assert signal.getsignal(signal.SIGINT) is before is signal.default_int_handler


def test_a_value_that_a_class_refuses_is_one_line_too(config, capsys):
    words = [*config(), "--model", "GRPOModule", "--model.policy.path", "x", "--model.attempts", "1"]
    assert refused(words, capsys).startswith("eva fit: attempts 1, mini_batches 1")


@pytest.mark.parametrize(
    ("text", "said"), [(None, "No such file or directory; give the path"), ("", "holds no records")]
)
def test_missing_and_empty_data_are_named(text, said, config, tmp_path, capsys):
    if text is not None:
        (tmp_path / "other.jsonl").write_text(text)
    line = refused([*config(), "--data.trajectories", str(tmp_path / "other.jsonl")], capsys)
    assert line.startswith(f"eva fit: {tmp_path / 'other.jsonl'}: {said}")


def test_a_missing_policy_is_named(config, capsys):
    assert (
        refused([*config(), "--model.policy.path", "/nowhere"], capsys)
        == "eva fit: there is no folder /nowhere"
    )


def printed(words, capsys):
    with pytest.raises(SystemExit) as leaving:
        main([*words, "--print_config"])
    assert leaving.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_later_configs_and_dotted_words_win(config, tmp_path, capsys):
    words = config()
    (tmp_path / "more.yaml").write_text("model:\n  init_args:\n    optimizer: {lr: 0.5, warmup_steps: 3}\n")
    shown = printed([*words, "--config", str(tmp_path / "more.yaml"), "--model.optimizer.lr", "0.25"], capsys)
    chosen = shown["model"]["init_args"]["optimizer"]
    assert (chosen["lr"], chosen["warmup_steps"]) == (0.25, 3)
    assert shown["data"]["init_args"]["batch_size"] == 2


def test_bare_names_are_found_among_the_configs_and_a_file_here_goes_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert (
        printed(["fit", "--config", "grpo.yaml"], capsys)["model"]["class_path"]
        == "eva_lightning.modules.GRPOModule"
    )
    assert (
        printed(["fit", "--config=kto.yaml"], capsys)["model"]["class_path"]
        == "eva_lightning.modules.KTOModule"
    )
    here = "model: {class_path: KTOModule, init_args: {policy: {path: here}}}\ndata: {class_path: TaskData}\n"
    (tmp_path / "grpo.yaml").write_text(here)
    assert printed(["fit", "--config", "grpo.yaml"], capsys)["model"]["init_args"]["policy"]["path"] == "here"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("GRPOModule", ["--model.attempts", "Show the help for PolicyGradientSettings"]),
        ("KTOModule", ["--model.agent AGENT", "Show the help for KTOSettings"]),
    ],
)
def test_every_stage_has_its_own_manual(kind, options, capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["fit", "--model.help", kind])
    assert leaving.value.code == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in options)
    assert "Trajectories under way at once." in shown


def test_a_checkpoint_brings_weights_and_no_settings(config, tmp_path, capsys):
    """The checkpoint claims a concurrency of 7 of its own; that of the config, 64, counts."""
    words = config()
    assert main([*words, "--model.optimizer.lr", "0.001"]) == 0
    capsys.readouterr()
    path = tmp_path / "checkpoints" / "iteration-000001.ckpt"
    saved = torch.load(path, weights_only=True)
    saved["hyper_parameters"] = {
        "concurrency": 7,
        "_instantiator": "lightning.pytorch.cli.instantiate_module",
    }
    torch.save(saved, path)
    assert printed([*words, "--ckpt_path", str(path)], capsys)["model"]["init_args"]["concurrency"] == 64
    assert main([*words, "--trainer.max_epochs", "2", "--ckpt_path", "last"]) == 0
    assert sorted(one.name for one in path.parent.iterdir()) == [
        "iteration-000001.ckpt",
        "iteration-000002.ckpt",
        "last.ckpt",
    ]


def test_a_callback_that_is_named_takes_the_place_of_ours(config, tmp_path):
    words = [*config(), "--trainer.callbacks+=IterationCheckpoint", "--trainer.callbacks.folder"]
    assert main([*words, str(tmp_path / "mine")]) == 0
    assert (tmp_path / "mine" / "last.ckpt").exists() and not (tmp_path / "checkpoints").exists()


def test_checkpoints_and_the_bar_can_be_switched_off(config, tmp_path):
    off = ["--trainer.enable_checkpointing", "false", "--trainer.enable_progress_bar", "false"]
    assert main([*config(), *off]) == 0
    assert not (tmp_path / "checkpoints").exists()


def test_two_devices_are_two_processes_that_share_a_batch(config, tmp_path):
    words = [*config(), "--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.max_epochs", "2"]
    words += [
        "--trainer.callbacks+=tests.modules.noting.Noting",
        f"--trainer.callbacks.log={tmp_path / 'log'}",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "eva_lightning", *words],
        cwd=Path(__file__).parent.parent.parent,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    files = [tmp_path / name for name in ("log", "log.1")]
    first, second = ([json.loads(line) for line in file.read_text().splitlines()] for file in files)
    for mine, theirs in zip(first, second, strict=True):
        assert len(mine[1]) == len(theirs[1]) == 1 and mine[1] != theirs[1]
    assert [line[0] for line in first] == [1, 2]


def test_every_run_keeps_an_engine_with_a_copy_of_the_weights_fresh(config, world, capsys):
    few = ["--model.agent.limits.turns=1", "--model.agent.limits.turn_tokens=12"]
    questions = ["--data.eval_tasks", str(world.folder / "tasks.jsonl"), "--data.eval_limit=1"]
    engine = "--model.engine=tests.modules.copied.Copied"
    assert main([*config(), engine, *few, *questions]) == 0, capsys.readouterr().err


def test_a_run_that_is_asked_to_end_says_how_to_go_on_and_is_no_success(config, tmp_path, caplog):
    with pytest.raises(SystemExit) as ended, caplog.at_level("INFO"):
        main([*config(), "--trainer.callbacks+=tests.modules.noting.Preempted", "--trainer.max_epochs=3"])
    assert ended.value.code == 143  # 128 and SIGTERM, as shells have it
    assert "checkpoint of iteration 1; go on with --ckpt_path last" in caplog.text
    assert (tmp_path / "checkpoints" / "last.ckpt").exists()


def test_two_ranks_that_are_asked_to_end_write_one_checkpoint_and_go_on_from_it(config, tmp_path):
    words = [*config(), "--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.max_epochs", "3"]

    def run(*more):
        return subprocess.run(
            [sys.executable, "-m", "eva_lightning", *words, "--ckpt_path", "last", *more],
            cwd=Path(__file__).parent.parent.parent,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=200,
        )

    ended = run("--trainer.callbacks+=tests.modules.noting.Preempted")  # there is none yet: it begins
    assert ended.returncode == 143, ended.stderr[-2000:]
    assert [path.name for path in (tmp_path / "checkpoints").glob("iter*")] == ["iteration-000001.ckpt"]
    assert run().returncode == 0
    assert (tmp_path / "checkpoints" / "last.ckpt").readlink().name == "iteration-000003.ckpt"


def test_a_class_beside_the_config_is_found_by_the_installed_command(config, tmp_path):
    """`eva` begins with its own folder on the path, not with the one it is called in."""
    (tmp_path / "beside.py").write_text(
        "from lightning.pytorch import Callback\nclass Mine(Callback):\n    pass\n"
    )
    eva = Path(sys.executable).with_name("eva")
    words = [*config(), "--trainer.callbacks+=beside.Mine", "--print_config"]
    done = subprocess.run([eva, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "beside.Mine" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ckpt_path", "nope.ckpt"], "ckpt_path nope.ckpt: no such file; give a checkpoint, or last"),
        (
            ["--ckpt_path", "taught.jsonl"],
            "ckpt_path taught.jsonl: is no checkpoint, or not all of one; give another, or last",
        ),
        (
            ["--ckpt_path", "half.ckpt"],
            "ckpt_path half.ckpt: is no checkpoint, or not all of one; give another, or last",
        ),
        pytest.param(
            ["--trainer.accelerator", "gpu"],
            "there is no GPU here; give --trainer.accelerator cpu",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
        (["--trainer.default_root_dir", "taught.jsonl"], "(File exists); name another place"),
    ],
)
def test_what_no_run_can_begin_with_is_told_in_one_line(words, said, config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}}, "whole.ckpt")
    Path("half.ckpt").write_bytes(Path("whole.ckpt").read_bytes()[:-100])
    line = refused([*config(), *words], capsys)
    assert line.startswith("eva fit: ") and line.endswith(said)


@pytest.mark.parametrize("shape", [{"layers": 3}, {"hidden": 64}], ids=str)
def test_a_checkpoint_of_another_policy_is_refused_in_one_line(shape, config, tmp_path, capsys):
    assert main(config()) == 0
    other = str(build_tiny(tmp_path / "other", corpus=agent_text(), **shape))
    line = refused([*config(policy={"path": other}), "--ckpt_path", "last"], capsys)
    assert line == (
        "eva fit: ckpt_path last: holds parameters of other number or size than this policy's; give the "
        "model that it was trained with"
    )


def test_a_disk_that_takes_no_checkpoint_ends_a_fit_in_one_line(config, tmp_path, capsys):
    with small_disk(100_000):
        told = refused(config(), capsys)
    assert told.startswith(
        f"eva fit: {tmp_path}/checkpoints/iteration-000001.ckpt: can not be written (File too"
    )
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_run_s_folder_that_can_not_be_made_ends_a_fit_in_one_line(config, tmp_path, capsys):
    (tmp_path / "file").touch()
    told = refused([*config(), f"--trainer.default_root_dir={tmp_path / 'file' / 'run'}"], capsys)
    assert told.startswith(f"eva fit: {tmp_path}/file/run") and "can not be" in told and "another" in told


class Bomb:
    """What a pickle can do: it makes a folder when it is read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("where", ["a file", "an address"])
def test_a_checkpoint_is_data_and_runs_no_code(where, config, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    mark, folder = tmp_path / "it-ran", tmp_path / "elsewhere"
    folder.mkdir()
    torch.save({"state_dict": {}, "callbacks": Bomb(mark)}, folder / "bomb.ckpt")
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{listening.server_port}/bomb.ckpt"
        given = address if where == "an address" else str(folder / "bomb.ckpt")
        line = refused([*config(), "--ckpt_path", given], capsys)
        listening.shutdown()
    assert not mark.exists()
    assert "holds more than data" in line and "--weights_only false" in line


def test_a_checkpoint_that_one_trusts_may_be_more_than_data(config, tmp_path):
    mark = tmp_path / "it-ran"
    words = config()
    assert main(words) == 0
    path = tmp_path / "checkpoints" / "iteration-000001.ckpt"
    saved = torch.load(path, weights_only=True)  # ours are data
    saved["callbacks"]["else"] = Bomb(mark)
    torch.save(saved, path)
    more = ["--trainer.max_epochs", "2", "--ckpt_path", str(path)]
    assert main([*words, *more, "--weights_only", "false"]) == 0 and mark.exists()
