"""One plan over one command: run it, let it go on where it stopped, and say what does not hold.

What must hold: it ends, and where it fails in one line; every attempt is there once; the trajectories that a
fault ended are those that the plan hit, and no others; they have no score, and the sound ones are, token by
token, what they are without a plan; once nothing fails any more, so is everything.
"""

import csv
import random
from collections import Counter
from dataclasses import dataclass, field, replace

from eva_lightning.agent.rollout import derive_seed
from eva_lightning.faults import UsageError
from eva_lightning.files.store import read
from eva_lightning.records import Trajectory
from tests.data.teaching.oracle_server import OracleServer
from tests.system.faults import runs
from tests.system.faults.faulty_server import faulty_server
from tests.system.faults.plan import injected

COMMANDS = ("grpo", "collect", "test", "sft", "kto")
FAILS = ("busy", "drop", "garbage", "cut", "hang")
VERDICTS = ('{"reason": "so it is", "verdict": "right"}', '{"reason": "it is not", "verdict": "wrong"}')


@dataclass(kw_only=True)
class Verdict:
    """What came of a plan."""

    command: str
    seed: int
    problems: list[str] = field(default_factory=list)
    """What does not hold; empty is sound."""
    injected: Counter = field(default_factory=Counter)
    """What the plan did: how many of each kind."""

    def want(self, holds, otherwise):
        if not holds:
            self.problems.append(otherwise)


class Plans:
    """Runs plans over one ground; what each command does without a plan is found out once."""

    def __init__(self, ground, zygote, folder):
        self.ground, self.zygote, self.folder = ground, zygote, folder
        self._clean = {}

    def run(self, command, seed):
        """The verdict on one plan."""
        out = self.folder / f"{command}-{seed}"
        out.mkdir(parents=True)
        verdict, dice = Verdict(command=command, seed=seed), random.Random(f"{command} {seed}")
        {"grpo": self._grpo, "collect": self._collect, "test": self._test}.get(command, self._taught)(
            verdict, out, dice
        )
        verdict.injected = Counter(f"{one['where']} {one['kind']}" for one in injected(out / "plan.log"))
        return verdict

    def clean(self, command):
        """What the command leaves behind without a plan, and its seconds."""
        if command not in self._clean:
            out = self.folder / f"{command}-clean"
            out.mkdir(parents=True)
            if command == "collect":
                with faulty_server(self._teacher(), 0, out / "plan.log") as url:
                    ended = self.zygote.run(runs.collect(self.ground, out, url), out / "said.txt")
            else:
                ended = self.zygote.run(self.words(command, out), out / "said.txt")
            assert ended["code"] == 0, (out / "said.txt").read_text()[-3000:]
            self._clean[command] = (out, ended["seconds"])
        return self._clean[command]

    def words(self, command, out, **more):
        """The words of a fit or of a test."""
        if command == "test":
            return runs.examine(self.ground, out, **more)
        return runs.fit(self.ground, command, out, **more)

    # --- the commands -------------------------------------------------------------------------------------

    def _grpo(self, verdict, out, dice):
        log, seed = out / "plan.log", verdict.seed
        settings = {
            "engine": _settings(seed, log, fail=dice.uniform(0, 0.05), late=0.1),
            "world": _settings(seed, log, fail=dice.uniform(0, 0.2), late=0.2),
        }
        shares = {name: dice.uniform(0, 0.08) for name in (*FAILS[:4], "refuse")} | {
            "hang": 0.03,
            "late": 0.1,
        }
        with faulty_server(_judge, seed, log, **shares) as url:
            words = self.words("grpo", out, judge=url, **settings)
            ended = self.zygote.run(words, out / "said.txt")
        self._ends(verdict, out, ended, well=True)
        lived = runs.lived(out)
        trained = {name: made for name, made in lived.items() if name.startswith("trajectories")}
        verdict.want(len(trained) == runs.ITERATIONS, f"{len(trained)} iterations are written")
        for name, made in trained.items():
            keys = {(one.task.id, one.replica) for one in made}
            verdict.want(len(made) == len(keys) == 8, f"{name}: {len(made)} rows of {len(keys)} attempts")
            _scored(verdict, made)
        self._hit(verdict, [one for made in lived.values() for one in made], log)
        _counted(verdict, out, trained)
        clean, _ = self.clean("grpo")
        _as_without(
            verdict,
            trained["trajectories/iteration-000001.jsonl"],
            runs.lived(clean)["trajectories/iteration-000001.jsonl"],
        )

    def _collect(self, verdict, out, dice):
        log = out / "plan.log"
        shares = {name: dice.uniform(0, 0.06) for name in (*FAILS[:4], "refuse", "late")}
        largest = dice.choice([None, dice.randrange(20_000, 120_000)])
        with faulty_server(self._teacher(), verdict.seed, log, **shares) as url:
            words = runs.collect(self.ground, out, url)
            ended = self.zygote.run(words, out / "said.txt", largest=largest)
        self._ends(verdict, out, ended, well=largest is None)
        made = _whole(verdict, out / "attempts.jsonl")
        if ended["code"] == 0:
            verdict.want(len(made) == 24, f"{len(made)} attempts are written")
            self._hit(verdict, made, log)
        _once(verdict, made)
        with faulty_server(self._teacher(), verdict.seed, out / "none.log") as url:
            ended = self.zygote.run(runs.collect(self.ground, out, url), out / "said.txt")
        self._ends(verdict, out, ended, well=True)
        clean, _ = self.clean("collect")
        _equal(verdict, read(out / "attempts.jsonl", Trajectory), read(clean / "attempts.jsonl", Trajectory))

    def _test(self, verdict, out, dice):
        log, seed = out / "plan.log", verdict.seed
        settings = {
            "engine": _settings(seed, log, fail=dice.uniform(0.02, 0.2), late=0.1),
            "world": _settings(seed, log, fail=dice.uniform(0.02, 0.3), late=0.2),
        }
        largest = dice.choice([None, dice.randrange(5_000, 40_000)])
        ended = self.zygote.run(self.words("test", out, **settings), out / "said.txt", largest=largest)
        self._ends(verdict, out, ended, well=largest is None)
        made = _whole(verdict, runs.answers(out))
        _once(verdict, made)
        if ended["code"] == 0:
            results = runs.answered(out)[1]
            verdict.want(len(made) == len(results) == 12, f"{len(made)} answers, {len(results)} results")
            self._hit(verdict, made, log)
        more = ["--benchmark.retry_errors", "true"]
        ended = self.zygote.run(self.words("test", out, more=more), out / "said.txt")
        self._ends(verdict, out, ended, well=True)
        clean, _ = self.clean("test")
        _equal(verdict, runs.answered(out)[0], runs.answered(clean)[0])
        verdict.want(in_order(runs.answered(out)[1]) == in_order(runs.answered(clean)[1]), "other results")

    def _taught(self, verdict, out, dice):
        """Validation meets faults, and the disk is full at some time: what is learned is the same."""
        log, seed, stage = out / "plan.log", verdict.seed, verdict.command
        settings = {
            "engine": _settings(seed, log, fail=dice.uniform(0.02, 0.3), late=0.1),
            "world": _settings(seed, log, fail=dice.uniform(0.02, 0.3), late=0.2),
        }
        size = self._checkpoint_bytes(stage)
        largest = dice.choice([None, dice.randrange(2_000, size), size + 2_000])
        ended = self.zygote.run(self.words(stage, out, **settings), out / "said.txt", largest=largest)
        self._ends(verdict, out, ended, well=largest is None or largest > size)
        if ended["code"] == 0:
            lived = runs.lived(out)  # what it learns from was made before
            rolled = [one for name in lived if name.startswith("evaluations") for one in lived[name]]
            self._hit(verdict, rolled, log)
        else:
            more = ["--ckpt_path", "last"]
            ended = self.zygote.run(self.words(stage, out, more=more), out / "said.txt")
            self._ends(verdict, out, ended, well=True)
        clean, _ = self.clean(stage)
        verdict.want(runs.same(runs.learned(out), runs.learned(clean)), "it learned something else")

    # --- what must hold -----------------------------------------------------------------------------------

    def _ends(self, verdict, out, ended, well):
        said = (out / "said.txt").read_text()
        verdict.want(ended["code"] is not None, "it hung")
        verdict.want(ended["code"] == 0 or not well, f"it ended with {ended['code']}: {said[-400:]}")
        verdict.want("Traceback" not in said, f"a traceback: {said[-1500:]}")

    def _hit(self, verdict, made, log):
        """The trajectories that a fault ended are those that the plan hit."""
        entries = injected(log)
        turns = {one["key"][1] for one in entries if one["where"] == "engine" and one["kind"] == "fail"}
        looks = Counter(
            str(one["key"]) for one in entries if one["where"] == "look" and one["kind"] == "fail"
        )
        final, shaky = _unanswered(entries)
        for one in made:
            seeds = {derive_seed(one.seed, number) for number in range(one.rounds + 1)}
            asked = {seed % 2**31 for seed in seeds}
            quoted = [fault for fault in one.faults if "the plan: look" in fault]
            judged = [fault for fault in one.faults if fault.startswith("reward judge")]
            must = bool(seeds & turns or asked & final or quoted)
            may = must or bool(asked & shaky or judged)
            faulty = one.stop == "fault"
            verdict.want(
                must <= faulty <= may, f"{one.task.id}/{one.replica} ended by {one.stop}: {one.faults}"
            )
        quotes = sum("the plan: look" in fault for one in made for fault in one.faults)
        verdict.want(quotes == sum(looks.values()), f"{sum(looks.values())} looks failed, {quotes} are told")
        judged = sum(fault.startswith("reward judge") for one in made for fault in one.faults)
        verdict.want(
            not judged or any(one["where"] == "server" for one in entries), "a sound judge was blamed"
        )

    def _teacher(self):
        server = OracleServer(self.ground.world, wrong=3)
        return server.turn

    def _checkpoint_bytes(self, stage):
        clean, _ = self.clean(stage)
        return (clean / "checkpoints" / "last.ckpt").stat().st_size


def _settings(seed, log, **shares):
    return {"seed": seed, "log": str(log), **shares}


def _judge(body):
    return VERDICTS[len(str(body["messages"])) % 2]


def _unanswered(entries):
    """Dice of requests that were refused for good, and of those that failed several times in a row."""
    asked = [one for one in entries if one["where"] == "server"]
    final = {one["key"][0] for one in asked if one["kind"] == "refuse"}
    failed = Counter(one["key"][0] for one in asked if one["kind"] in FAILS)
    return final, {seed for seed, times in failed.items() if times >= 4}


def _whole(verdict, file):
    """The trajectories of a file; there is none where nothing was written."""
    try:
        return read(file, Trajectory) if file.exists() else []
    except UsageError as problem:
        verdict.problems.append(f"what was written is torn: {problem}")
        return []


def _once(verdict, made):
    keys = Counter((one.task.id, one.replica) for one in made)
    twice = [key for key, times in keys.items() if times > 1]
    verdict.want(not twice, f"written twice: {twice}")


def _scored(verdict, made):
    """A fault has no score; of what is sound the score is what it is worth."""
    for one in made:
        if one.stop == "fault":
            verdict.want(not one.scores and one.advantage is None, f"{one.task.id}: a fault was scored")
            continue
        text = "".join(turn.text for turn in one.turns)
        worth = text.count("e") / max(len(text), 1)
        given = one.scores.get("letters")
        verdict.want(given is not None and abs(given.value - worth) < 1e-6, f"{one.task.id}: scored {given}")


def _counted(verdict, out, trained):
    """The counters of each iteration, against its trajectories."""
    with (out / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("train/faults")]
    told = [float(row["train/faults"]) for row in rows]
    there = [sum(one.stop == "fault" for one in made) for made in trained.values()]
    verdict.want(told == there, f"faults told {told}, there are {there}")
    means = [float(row["train/reward"]) for row in rows]
    for number, made in enumerate(trained.values()):
        sound = [one.reward for one in made if one.stop != "fault"]
        mean = sum(sound) / max(len(sound), 1)
        verdict.want(
            abs(means[number] - mean) < 1e-5, f"iteration {number + 1}: reward {means[number]}, {mean}"
        )


def _as_without(verdict, made, clean):
    """What no fault ended is what it is without a plan, token by token."""
    known = {(one.task.id, one.replica): _bare(one) for one in clean}
    for one in made:
        if one.stop != "fault":
            verdict.want(
                _bare(one) == known[one.task.id, one.replica], f"{one.task.id}/{one.replica} is another"
            )


def _equal(verdict, made, clean):
    verdict.want(by_key(made) == by_key(clean), "the attempts are others than without a plan")


def by_key(made):
    return {(one.task.id, one.replica): _bare(one) for one in made}


def _bare(one):
    """A trajectory without what depends on its neighbours in the group, or on the folder it lies in."""
    clips = tuple(replace(clip, path="") for clip in one.task.clips)
    return replace(one, task=replace(one.task, clips=clips), scores={}, advantage=None)


def in_order(rows):
    return sorted(rows, key=lambda row: (row["id"], row.get("replica", 0)))
