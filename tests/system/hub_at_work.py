"""Runs lines of a page one after the other, as one who has set HF_ENDPOINT; then the card's own Python.

A program of test_hub.py: `python -m tests.system.hub_at_work LINES OUT`. What the card's models say is saved.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import torch

from eva_lightning.cli import main


def beside(words):
    """A command of another package."""
    assert words[0] == "hf", words
    return subprocess.run([sys.executable, "-m", "huggingface_hub.cli.hf", *words[1:]]).returncode


def loaded_by_card(folder):
    """The model that the Python of a folder's card loads, by its name on the hub."""
    (code,) = re.findall(r"```python\n(.*?)```", (Path(folder) / "README.md").read_text(), re.DOTALL)
    names = {}
    exec(code, names)
    return names["model"]


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(3, 43)[None]).logits.float()


if __name__ == "__main__":
    lines, out = sys.argv[1:]
    for words in json.loads(Path(lines).read_text()):
        begin = time.monotonic()
        status = main(words[1:]) if words[0] == "eva" else beside(words)
        print(f"{time.monotonic() - begin:.1f} s", words[:4], file=sys.stderr)
        assert status == 0, f"{words} ended with {status}"
    torch.save(logits(loaded_by_card("agent")), out)
