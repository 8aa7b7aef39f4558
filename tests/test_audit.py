"""The audit ends well only if every package was asked about; the program that asks is a stand-in here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).parent.parent / ".ci" / "audit.py"
SOUND = {"name": "a", "version": "1", "vulns": []}
UNKNOWN = {"name": "b", "skip_reason": "not found"}
WEAK = {"name": "c", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        ([SOUND], 0, "1 of 1 packages audited, 0 known weaknesses"),
        ([SOUND, WEAK], 1, "c 2: CVE-1, fixed in 3"),
        ([SOUND, UNKNOWN], 2, "knows nothing of b; run it where pypi.org can be reached"),
        ([UNKNOWN], 2, "knows nothing of all of them"),
        (None, 2, "nothing was audited: no route to host"),
    ],
)
def test_what_could_not_be_asked_about_is_not_called_sound(found, status, words, tmp_path):
    said = "no JSON" if found is None else json.dumps({"dependencies": found})
    (tmp_path / "said").write_text(said)
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/said\necho no route to host >&2\n")
    program.chmod(0o755)
    done = subprocess.run([sys.executable, str(AUDIT), str(program)], capture_output=True, text=True)
    assert done.returncode == status and words in done.stdout + done.stderr
