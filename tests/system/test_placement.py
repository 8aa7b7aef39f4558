"""The page "Where to put what" says what `eva estimate` says, and the files for clusters run as they are."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from eva_lightning.cli import main

pytestmark = pytest.mark.system

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE = (DOCS / "placement.md").read_text()
SHEETS = re.findall(r"```bash\n(eva estimate .*?)\n```\n```\n(.*?)\n```", PAGE, re.DOTALL)
FILES = sorted((DOCS / "cluster").iterdir())

EVA = r"""#!/bin/bash
line=$(printf '%q ' "$@")
echo "$line" >> "$SAID"
[ "$1" = serve ] && exec sleep 60
exit "${ENDS:-0}"
"""
SRUN = r"""#!/bin/bash
tasks=1
while [[ "$1" == --* ]]; do
  [[ "$1" == --ntasks=* ]] && tasks=${1#--ntasks=}
  shift
done
for ((i = 0; i < tasks; i++)); do SLURM_LOCALID=$i "$@" & pids+=($!); done
trap 'kill "${pids[@]}"' TERM
status=0
for pid in "${pids[@]}"; do wait "$pid" || status=$?; done
exit "$status"
"""
SCONTROL = r"""#!/bin/bash
if [ "$1" = show ]; then printf 'n%d\n' 1 2 3 4 5; else echo "scontrol $*" >> "$SAID"; fi
"""
TORCHRUN = r"""#!/bin/bash
while [ "$1" != eva_lightning ]; do shift; done
shift; exec eva "$@"
"""

APPTAINER = r"""#!/bin/bash
while [ "$1" != eva ]; do shift; done
exec "$@"
"""


@pytest.fixture
def run(tmp_path):
    """Runs a file where SLURM, torchrun and containers only hand on what they are told; its status, and the
    words of each `eva` that it starts."""
    here = tmp_path / "bin"
    here.mkdir()
    programs = {"eva": EVA, "srun": SRUN, "scontrol": SCONTROL, "torchrun": TORCHRUN, "apptainer": APPTAINER}
    for name, text in programs.items():
        (here / name).write_text(text)
        (here / name).chmod(0o755)

    def running(file, ends=0):
        said = tmp_path / "said"
        said.unlink(missing_ok=True)
        known = {"SAID": str(said), "ENDS": str(ends), "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-5]"}
        path = f"{here}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(["bash", str(file)], env=os.environ | known | {"PATH": path}, timeout=50)
        return done.returncode, [shlex.split(line) for line in said.read_text().splitlines()]

    return running


@pytest.mark.parametrize(("command", "said"), SHEETS, ids=range(len(SHEETS)))
def test_a_sheet_of_the_page_is_what_its_command_says(command, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where no policy is yet
    assert main(shlex.split(command.replace("\\\n", " "))[1:]) == 0
    assert capsys.readouterr().out.strip() == said


def test_the_page_has_sheets_for_1_8_and_32_gpus():
    gpus = [re.search(r"--gpus (\d+)", command)[1] for command, _ in SHEETS]
    assert set(gpus) >= {"1", "8", "32"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_for_clusters_says_what_eva_understands(file, run, capsys, tmp_path, monkeypatch):
    assert subprocess.run(["bash", "-n", str(file)]).returncode == 0
    status, started = run(file)
    assert status == 0
    fits = [words for words in started if words[0] == "fit"]
    assert fits
    monkeypatch.chdir(tmp_path)
    for words in sorted(set(map(tuple, started))):
        with pytest.raises(SystemExit) as end:
            main([*words, "--print_config"])
        said = capsys.readouterr()
        assert end.value.code in (0, None), said.err
    words = fits[0]
    assert words[words.index("--ckpt_path") + 1] == "last"
    assert main(["estimate", "--gpus", "8", "--server_gpus", "8", *words[1:]]) == 0
    assert "it fits: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.suffix == ".sbatch"], ids=lambda file: file.name
)
def test_a_job_that_was_asked_to_end_is_put_back_into_the_queue_and_a_broken_one_is_not(file, run):
    status, started = run(file, ends=143)
    assert status == 143 and started[-1] == ["scontrol", "requeue", "7"]
    status, started = run(file, ends=1)
    assert status == 1 and not [words for words in started if words[0] == "scontrol"]


def test_each_gpu_of_the_fifth_node_serves_and_the_trainer_knows_all_of_them(run):
    _, started = run(DOCS / "cluster" / "four_nodes.sbatch")
    ports = sorted(words[words.index("--port") + 1] for words in started if words[0] == "serve")
    assert ports == [str(8000 + i) for i in range(8)]
    fit, *others = [words for words in started if words[0] == "fit"]
    ranks = int(fit[fit.index("--trainer.num_nodes") + 1]) * int(fit[fit.index("--trainer.devices") + 1])
    assert 1 + len(others) == ranks == 32 and all(words == fit for words in others)
    assert fit[fit.index("--model.engine.urls") + 1] == f"[{','.join(f'http://n5:{port}' for port in ports)}]"
