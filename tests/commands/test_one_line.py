"""Whatever a user gets wrong, each command says it in one line, without a traceback."""

import socket
import subprocess
import sys

import pytest

from eva_lightning import cli
from eva_lightning.cli import main
from eva_lightning.files.store import write
from tests.making import task, trajectory


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Tasks, attempts, a question as a row, and a file where some want a folder; commands run there."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "tasks.jsonl", [task()])
    write(
        tmp_path / "attempts.jsonl",
        [trajectory(task=task(), replica=i, answer="BC"[i % 2]) for i in range(2)],
    )
    (tmp_path / "FILE").touch()
    return tmp_path


def refusal(words, capsys):
    """The line in which a command refuses; what a progress bar said before is not counted."""
    try:
        status = main(words.split() if isinstance(words, str) else words)
    except SystemExit as leaving:
        status = leaving.code
    said = capsys.readouterr().err
    assert status in (1, 2) and "Traceback" not in said
    return said.splitlines()[-1]


@pytest.mark.parametrize(
    "words",
    [
        "synthesize world --videos 1 --out",
        "demo --share 0.01 --out",
        "compare attempts.jsonl --out",
        "convert --to sharegpt --rows attempts.jsonl --out new.jsonl --dataset_info",
        "convert --to sharegpt --rows attempts.jsonl --out",
        "label --trajectories attempts.jsonl --out",
        "sift --tasks tasks.jsonl --attempts attempts.jsonl --rules.least 1 --out",
    ],
)
@pytest.mark.parametrize("place", ["/proc/x/y.jsonl", "FILE/x.jsonl"])
def test_a_place_that_can_not_be_written_is_named(words, place, folder, capsys):
    said = refusal(f"{words} {place}", capsys)
    assert said.startswith(f"eva {words.split()[0]}: ")
    assert place.split("/x")[0] in said and said.count("can not be") == 1


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("filename", ["a.png", None])
def test_an_error_of_the_system_without_a_file_is_a_bug(grouped, filename, monkeypatch, capsys):
    one = OSError(9, "Bad file descriptor", filename)
    problem = ExceptionGroup("tasks", [one]) if grouped else one

    def break_down(name):
        raise problem

    monkeypatch.setattr(cli, "import_module", break_down)
    if filename is None:
        with pytest.raises(type(problem)):
            main(["ask"])
    else:
        assert refusal("ask", capsys).startswith("eva ask: a.png: can not be read or written (Bad file")


@pytest.mark.parametrize("buffered", [True, False])
def test_a_reader_that_leaves_ends_a_command_in_silence(buffered, folder):
    line = [sys.executable, *([] if buffered else ["-u"]), "-m", "eva_lightning", "compare", "attempts.jsonl"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 141)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("synthesize world --out w --settings.fps 0", "fps 0, gop 50: want 1 or more"),
        ("synthesize world --out w --settings.gop 0", "fps 5, gop 0: want 1 or more"),
        (
            "synthesize world --out w --settings.height 0",
            "height 0, width 224: want even sizes from 112 on",
        ),
        ("synthesize world --out w --settings.cues 7", "cues of 7.0: want a share between 0 and 1"),
        (
            "synthesize world --out w --settings.duration [90,80]",
            "clips of (90, 80) s: want a rising range that begins at 12 or more",
        ),
        (
            "synthesize world --out w --settings.event [0,0]",
            "events of 0 to 0 s: want at least 4 s, and the longest 2x the shortest",
        ),
        (
            "collect --tasks tasks.jsonl --out w --keep.only_good --keep.frames 0",
            "frames is 0: want 1 or more, or None",
        ),
        (
            "collect --tasks tasks.jsonl --out w --audit --audit.density.frames_per_second 0",
            "frames_per_second 0, long_seconds 60: want more than 0, and 0 or more",
        ),
        (
            "label --trajectories attempts.jsonl --out w --rules.waste 0",
            "waste 0, near 0.15: want more than 1, and 0 to 0.5",
        ),
        (
            "sift --tasks tasks.jsonl --attempts attempts.jsonl --out w --rules.least 0",
            "least 0, uniform_rate 0.5: want 1 or more, and more than 0 to 1",
        ),
        (
            "sift --tasks tasks.jsonl --attempts attempts.jsonl --out w --rules.uniform_rate 3",
            "least 4, uniform_rate 3: want 1 or more, and more than 0 to 1",
        ),
    ],
)
def test_settings_that_refuse_their_values_are_wrong_words(words, said, folder, capsys):
    assert refusal(words, capsys) == f"eva {words.split()[0]}: {said}"
    assert not (folder / "w").exists()


@pytest.mark.parametrize(
    ("question", "option", "said"),
    [
        ("", "--seed=0", "the question is empty; ask something about the video"),
        (" ", "--seed=0", "the question is empty; ask something about the video"),
        ("Who?", "--agent.limits.turns=0", "limits: turns is 0: want 1 or more"),
        ("Who?", "--agent.limits.turn_tokens=0", "limits: turn_tokens is 0: want 1 or more"),
        ("Who?", "--agent.limits.total_tokens=-1", "limits: total_tokens is -1: want 1 or more"),
        (
            "Who?",
            "--agent.overview.tokens=0",
            "overview: tokens is 0: want 1 or more",
        ),
        ("Who?", "--agent.temperature=-1", "temperature is -1: want 0 or more"),
    ],
)
def test_what_makes_no_question_is_not_asked(question, option, said, folder, tiny_folder, capsys):
    words = ["ask", "FILE", question, option, "--model", str(tiny_folder)]
    assert refusal(words, capsys) == f"eva ask: {said}"


@pytest.mark.parametrize("command", ["collect", "fit", "test", "synthesize world"])
@pytest.mark.parametrize(
    ("held", "said"),
    [
        (b"\xff\xfe\x00{", ": is no text; give a YAML file of settings"),
        (b"a: \x00", ": is no text; give a YAML file of settings"),
        (b"a: 1\nb: [1,\n", ":3: not YAML (expected the node content, but found '<stream end>')"),
        (b"a: 1\n b: 2\n", ":2: not YAML (mapping values are not allowed here)"),
        (b"", ": holds no settings; want lines such as `option: value`"),
        (b"# later\n", ": holds no settings; want lines such as `option: value`"),
        (b"- a\n", ": holds no settings; want lines such as `option: value`"),
    ],
)
def test_a_config_that_is_none_is_named(command, held, said, folder, capsys):
    (folder / "mine.yaml").write_bytes(held)
    assert refusal(f"{command} --config mine.yaml", capsys) == f"eva {command.split()[0]}: mine.yaml{said}"


@pytest.mark.parametrize("port", [None, 0, -1, 99999])
def test_an_address_that_can_not_be_listened_on_is_refused_before_vllm_starts(port, folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = port is None
        port = other.getsockname()[1] if taken else port
        said = refusal(["serve", "--model", "x", f"--port={port}"], capsys)
    assert said == "eva serve: " + (
        f"127.0.0.1:{port}: Address already in use (while attempting to bind on address ('127.0.0.1', "
        f"{port})); name another --port or --host"
        if taken
        else f"port is {port}: want 1 to 65535"
    )


@pytest.mark.parametrize(
    ("words", "summary"),
    [
        ("demo", "and a table of what each brought."),
        ("test", "let a policy answer the test questions"),
        ("test", "Benchmarks, asked by `eva test` and now and then in a fit:"),
        ("synthesize", "Make clips with sound"),
        ("synthesize world", "Make clips with sound"),
    ],
)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_begins_with_the_whole_summary(words, summary, flag, capsys):
    with pytest.raises(SystemExit) as leaving:
        main([*words.split(), flag])
    assert leaving.value.code == 0
    assert summary in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_urls_that_no_engine_asks_are_told_as_such(engine, capsys):
    said = refusal(f"doctor --urls http://x --engine {engine}", capsys)
    assert said.startswith(f"eva doctor: --urls are addresses of servers, and --engine {engine} has none")
