"""Commands killed at some moment, as the kernel would, and taken up: they leave what they would have left."""

import random

from tests.system.faults import runs
from tests.system.faults.plans import Verdict, by_key, in_order

COMMANDS = ("sft", "kto", "grpo", "test")


def kill(plans, command, seed):
    """Kill one run at a random moment, let it go on, and hold what it leaves against the run that lived."""
    clean, seconds = plans.clean(command)
    out = plans.folder / f"{command}-kill-{seed}"
    out.mkdir(parents=True)
    verdict = Verdict(command=command, seed=seed)
    moment = random.Random(f"kill {command} {seed}").uniform(0.0, seconds)
    ended = plans.zygote.run(plans.words(command, out), out / "said.txt", kill_after=moment)
    verdict.injected["kill"] = int(ended["code"] == -9)
    more = [] if command == "test" else ["--ckpt_path", "last"]
    ended = plans.zygote.run(plans.words(command, out, more=more), out / "said.txt")
    said = (out / "said.txt").read_text()
    verdict.want(ended["code"] == 0, f"killed after {moment:.2f} s, it does not go on: {said[-800:]}")
    if ended["code"] == 0:
        _compare(verdict, command, out, clean)
    return verdict


def _compare(verdict, command, out, clean):
    if command == "test":
        (made, results), (theirs, told) = runs.answered(out), runs.answered(clean)
        verdict.want(by_key(made) == by_key(theirs) and len(made) == len(theirs), "other answers")
        verdict.want(in_order(results) == in_order(told), "other results")
        return
    verdict.want(runs.same(runs.learned(out), runs.learned(clean)), "it learned something else")
    verdict.want(runs.lived(out) == runs.lived(clean), "it lived through something else")
