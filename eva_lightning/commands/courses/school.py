"""A school: one course on one seed in one folder, and the commands that teach it, as a user would type them.

    folder/world   folder/tiny   folder/<stage>/export/final   folder/feedback.jsonl
    folder/held_out/<stage>.jsonl   folder/greedy/<stage>.jsonl

What is there is not made again, so whoever was interrupted goes on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eva_lightning.agent.small_talk import agent_text
from eva_lightning.commands import collect, label
from eva_lightning.commands.courses.course import Course
from eva_lightning.commands.stages import run_stage
from eva_lightning.files.atomic import appearing
from eva_lightning.files.store import portable, write
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.records import Trajectory
from eva_lightning.reports.summary import summarize, summary_table

ATTEMPTS = 4
"""At each held-out question."""


@dataclass(frozen=True, kw_only=True)
class School:
    """Teaches a course in a folder."""

    course: Course
    """What is taught."""
    folder: Path
    """Where everything goes."""
    seed: int
    """Dice of the world, the policy and the training."""
    share: float
    """Share of the training and of the questions."""

    @property
    def world(self) -> Path:
        return self.folder / "world"

    def policy(self, stage: str) -> Path:
        """What a stage has made of the policy."""
        return self.folder / stage / "export" / "final"

    def prepare(self) -> float:
        """The world, the sloppy teacher's trajectories, the reading lesson, and a policy with random weights.

        How often the teacher is right.
        """
        say("a world of clips with questions, and a teacher who is often sloppy")
        rows = self.lessons()
        teacher = summarize(rows["sloppy"])
        print(summary_table([("sloppy teacher", teacher)]))
        corpus = [message.text for one in rows["sloppy"] for message in one.messages]
        lesson = Path(next(iter(self.course.reads.values()))).stem
        corpus += [turn.text for one in rows[lesson] for turn in one.turns]
        with appearing(self.folder / "tiny") as part:
            build_tiny(part, seed=self.seed, corpus=[*agent_text(), *corpus * 2], **self.course.tiny)
        return teacher.accuracy

    def lessons(self) -> dict[str, list[Trajectory]]:
        """The world and what teachers did in it, as files of the world."""
        rows = self.course.prepare(self.world, self.seed, self.share)
        for name, made in rows.items():
            write(self.world / f"{name}.jsonl", [portable(one, self.world) for one in made])
        return rows

    def train(self, stage: str, beside: Sequence[str] = ()) -> None:
        """A stage of the course, from what the one before has made; `beside` are configs beside its own."""
        if self.policy(stage).exists():
            return
        before = self.course.before(stage)
        start = self.policy(before) if before else self.folder / "tiny"
        self.fit(stage, start, self.folder / stage, beside=beside)

    def fit(
        self,
        stage: str,
        start: Path,
        out: Path,
        *,
        data: Path | None = None,
        steps: int | None = None,
        beside: Sequence[str] = (),
        words: Sequence[str] = (),
    ) -> None:
        """`eva fit` with the config of a stage, from the policy at `start`; what was interrupted goes on.

        `data` and `steps` take the place of the course's, `words` come last.
        """
        option, _, file = self.course.reads[stage].partition("=")
        # An iteration of GRPO makes no step if every group agrees, so its length is counted in batches.
        length = "limit_train_batches" if option == "tasks" else "max_steps"
        many = max(2, round((steps or self.course.steps[stage]) * self.share))
        line = ["fit"]
        for name in (stage, *beside):
            line += ["--config", f"{self.course.configs}/{name}.yaml"]
        line += [f"--seed_everything={self.seed}"]
        line += [f"--trainer.default_root_dir={out}", f"--trainer.{length}={many}"]
        line += [f"--model.seed={self.seed}", f"--model.policy.path={start}"]
        line += [f"--data.{option}={data or self.folder / file}", f"--data.seed={self.seed}"]
        line += self._placed(self.course.fit)
        if self.course.learns_to_act(stage):
            line += [f"--data.eval_tasks={self.world}"]
        line += self._placed(words)
        if (out / "checkpoints" / "last.ckpt").exists():
            line += ["--ckpt_path=last"]
        run(line, run_stage)

    def mark(self) -> None:
        """The policy's own attempts, marked good or bad by rule."""
        if (self.folder / "feedback.jsonl").exists():
            return
        attempts, marked = str(self.folder / "attempts.jsonl"), str(self.folder / "feedback.jsonl")
        many = round(640 * self.share) + 16
        self.collect(self.policy("sft"), self.world / "tasks.jsonl", attempts, many, 1, 1.0)
        # A smoke test's policy has no good attempt to learn from; it borrows the teacher's.
        files = [attempts] if self.share == 1 else [attempts, str(self.world / "sloppy.jsonl")]
        line = ["label", "--trajectories", json.dumps(files), "--out", marked, *self.course.marks]
        run(line, lambda words: label.main(words[1:]))

    def examine(self, stage: str) -> None:
        """The held-out questions after a stage: several attempts with dice, and one without."""
        self.ask(self.policy(stage), str(self.folder / "held_out" / f"{stage}.jsonl"))
        self.ask(self.policy(stage), str(self.folder / "greedy" / f"{stage}.jsonl"), 1, 0.0)

    def ask(
        self,
        policy: Path,
        out: str,
        attempts: int = ATTEMPTS,
        temperature: float = 1.0,
        words: Sequence[str] = (),
    ) -> None:
        """The held-out questions; `words` come last."""
        questions = max(4, round(self.course.questions * self.share))
        tasks = self.world / "held_out.jsonl"
        self.collect(policy, tasks, out, questions, attempts, temperature, words)

    def collect(
        self,
        policy: Path,
        tasks: Path,
        out: str,
        limit: int,
        attempts: int,
        temperature: float,
        words: Sequence[str] = (),
    ) -> None:
        """`eva collect` with the agent of the course."""
        line = ["collect", *self._placed(self.course.agent), "--tasks", str(tasks), "--out", out]
        line += ["--model", str(policy)]
        line += ["--limit", str(limit), "--attempts", str(attempts), "--agent.temperature", str(temperature)]
        line += ["--seed", str(self.seed), "--concurrency", "64", *words]
        run(line, lambda line: collect.main(line[1:]))

    def _placed(self, words: Sequence[str]) -> list[str]:
        return [word.replace("{world}", str(self.world)) for word in words]


def run(line: list[str], command: Callable[[list[str]], None]) -> None:
    """Run a command as if it had been typed."""
    say(" ".join(["eva", *line]))
    command(line)


def say(line: str) -> None:
    """What comes next, as a line of its own."""
    print(f"\n\033[1m> {line}\033[0m" if sys.stdout.isatty() else f"\n> {line}", flush=True)
