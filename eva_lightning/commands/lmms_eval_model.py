"""EvaAgent: an agent of ours as a model of lmms-eval, so that every task there runs with it.

lmms-eval words the questions, keeps the videos and scores the answers; the agent plans, looks and answers. It
is found by the entry point `lmms_eval.models` of pyproject.toml, and lmms-eval is imported nowhere else.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from torch import distributed
from tqdm import tqdm

from eva_lightning.agent.config import AgentConfig
from eva_lightning.agent.rollout import Agent, Job, derive_seed, rollout
from eva_lightning.commands.arguments import run_command, want_one_or_more
from eva_lightning.commands.engine_choice import DecoderChoice, Here, choose_engine, make_agent, name_on
from eva_lightning.commands.mistakes import mistake_in
from eva_lightning.data.exchange.lmms_eval_questions import task_of
from eva_lightning.data.teaching.attempts import Attempts
from eva_lightning.device import own_card, use_device
from eva_lightning.faults import Fault, UsageError
from eva_lightning.files.lock import sole_writer
from eva_lightning.records import Trajectory

MODEL = "eva_agent"
"""The name after lmms-eval's --model."""

GREEDY = AgentConfig(temperature=0.0)
CPU = torch.device("cpu")

Reply = Literal["answer", "turn"]
"""What lmms-eval reads: the answer alone, or all of the last turn, which some of its tasks take apart."""


def manifest() -> Any:
    """What lmms-eval must know of us; called by it through the entry point."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id=MODEL, simple_class_path=f"{__name__}.EvaAgent")


def __getattr__(name: str) -> Any:
    """The class EvaAgent, made when lmms-eval asks for it: without lmms-eval its base is not there."""
    if name != "EvaAgent":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lmms_eval.api.model import lmms

    return type("EvaAgent", (AgentModel, lmms), {"__module__": __name__})


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How questions are asked, and what becomes of the answers."""

    agent: Agent
    """Plans, looks and answers."""
    facts: Mapping[str, Any]
    """What decides which trajectories come out."""
    seed: int
    """Dice."""
    concurrency: int
    """Trajectories under way at once."""
    reply: Reply
    """What lmms-eval reads of a trajectory."""
    out: str | None
    """File of trajectories; None keeps none."""
    empty_for_faults: bool
    """Whether what a fault ended counts as an empty answer."""


def asking(
    pretrained: str | None = None,
    engine: Here = "transformers",
    server: str | None = None,
    served_name: str | None = None,
    agent: AgentConfig = GREEDY,
    seed: int = 0,
    concurrency: int = 16,
    decoder: DecoderChoice = "auto",
    reply: Reply = "answer",
    out: str | None = None,
    empty_for_faults: bool = False,
) -> Asking:
    """Answer the questions of lmms-eval's tasks with an agent; write these as --model_args NAME=VALUE,...

    Args:
        pretrained: Folder or hub id of a checkpoint to run here.
        engine: Who writes with pretrained: transformers, or vllm, which is faster with many at once.
        server: Address of an OpenAI-compatible server to ask instead, for example http://localhost:8000.
        served_name: Name of the model on that server; by default its first one. OPENAI_API_KEY is sent if
            set.
        agent: How it speaks, what it can do, when it must end. Its limits and its temperature hold, not the
            generation settings of lmms-eval's tasks, which are meant for one turn.
        seed: Dice for temperatures above 0.
        concurrency: Trajectories under way at once; lmms-eval's --batch_size is not looked at.
        decoder: Which video decoder to use; auto takes the GPU where there is one.
        reply: What lmms-eval reads: answer is what stands in the answer tags, turn all of the last turn, for
            tasks that look for the tags themselves (those of LongVT).
        out: JSONL file of the trajectories, written as they end: `eva view` shows them, and the same command
            goes on where it stopped. Each further process has its own, with its rank in the name. None keeps
            none.
        empty_for_faults: Count what a fault ended (a broken video, a dead server) as an empty answer, which
            lmms-eval scores. Else the evaluation ends without a score.
    """
    want_one_or_more(concurrency=concurrency)
    if (pretrained is None) == (server is None):
        raise UsageError("say who answers: pretrained=FOLDER|HUB_ID to run it here, or server=URL")
    if server is not None and out is not None:
        served_name = served_name or name_on(server)
    writer = choose_engine(pretrained, server, served_name, engine, concurrency=concurrency)
    return Asking(
        agent=make_agent(agent, writer, decoder),
        facts={"model": pretrained or served_name, "seed": seed}
        | {f"agent.{name}": value for name, value in agent.facts().items()},
        seed=seed,
        concurrency=concurrency,
        reply=reply,
        out=out,
        empty_for_faults=empty_for_faults,
    )


class AgentModel:
    """What lmms-eval calls; with its class `lmms` as a base it is EvaAgent."""

    is_simple = True
    """Whether lmms-eval hands over words and videos; else they would be messages with another system prompt
    and another tool than ours."""
    task_dict: Mapping[str, Mapping[str, Sequence[Any]]]
    """The rows of each split of each task; lmms-eval fills it."""
    rank: int
    """Which of the processes this is."""

    def __init__(
        self, batch_size: Any = None, max_batch_size: Any = None, device: str | None = None, **said: Any
    ) -> None:
        super().__init__()
        with one_line():
            _work_on(device)
            self.asking: Asking = run_command(asking, as_words(said), MODEL)

    @property
    def device(self) -> torch.device:
        """Where ranks exchange numbers."""
        return own_card() if distributed.is_initialized() and distributed.get_backend() == "nccl" else CPU

    def generate_until(self, requests: Sequence[Any]) -> list[Any]:
        """An answer for each request, in their order."""
        try:
            with one_line():
                jobs = self._jobs(requests)
                made = self._answered([job for job in jobs if job is not None])
                return [self._reply(None if job is None else made[job.task.id, job.replica]) for job in jobs]
        except BaseException:  # an engine with processes of its own would keep this one from ending
            self.clean()
            raise

    def loglikelihood(self, requests: Sequence[Any]) -> NoReturn:
        """Refused: an agent writes its answers."""
        _end(f"{_tasks(requests)}: scores given texts; an agent answers tasks of type generate_until alone")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> NoReturn:
        """Refused: the rounds would be lmms-eval's, not the agent's."""
        _end(
            f"{_tasks(requests)}: has rounds of its own; an agent answers tasks of type generate_until alone"
        )

    def clean(self) -> None:
        """Let go of engine and videos; lmms-eval calls it when all is answered."""
        self.asking.agent.engine.close()
        self.asking.agent.world.close()

    def _jobs(self, requests: Sequence[Any]) -> list[Job | None]:
        """What to make; None where a request only fills up the share of a process."""
        asked: Counter[str] = Counter()
        jobs: list[Job | None] = []
        for request in requests:
            if request.metadata.get("__padding_only__"):
                jobs.append(None)
                continue
            words, _, shown, number, task, split = request.args
            row = self.task_dict[task][split][number]
            question = task_of(f"{task}/{number}", task, words, shown(row))
            replica = asked[question.id]
            asked[question.id] += 1
            seed = derive_seed(self.asking.seed, 0, question.id, replica)
            jobs.append(Job(task=question, replica=replica, seed=seed))
        return jobs

    def _answered(self, jobs: Sequence[Job]) -> dict[tuple[str, int], Trajectory]:
        """A trajectory for each job: those in the file, and new ones."""
        asking, made = self.asking, dict[tuple[str, int], Trajectory]()
        with ExitStack() as stack:
            book, left = None, list(jobs)
            if asking.out is not None:
                out = own_file(asking.out, self.rank)
                stack.enter_context(sole_writer(out, "give another out"))
                book = Attempts(out, jobs)
                book.settle(asking.facts)
                made, left = dict(book.done), book.left
                stack.enter_context(book)
            bar = stack.enter_context(
                tqdm(total=len(jobs), initial=len(made), desc="asking", disable=self.rank > 0)
            )

            def finish(one: Trajectory) -> None:
                made[one.task.id, one.replica] = one
                if book is not None:
                    book.keep(one)
                bar.update()

            work = rollout(left, asking.agent, concurrency=asking.concurrency, on_finish=finish, keep=False)
            asyncio.run(work)
        self._tell_faults([one for one in made.values() if one.stop == "fault"], len(made))
        return made

    def _tell_faults(self, faults: Sequence[Trajectory], count: int) -> None:
        """Fault, unless empty answers are wanted in their place."""
        if not faults:
            return
        first = f"{len(faults)} of {count} questions could not be asked, the first: {faults[0].faults[-1]}"
        if not self.asking.empty_for_faults:
            remedy = "mend it and start again, or count them as empty answers with empty_for_faults=true"
            raise Fault(f"{first}; {remedy}")
        print(f"{MODEL}: {first}; they count as empty answers", file=sys.stderr)

    def _reply(self, one: Trajectory | None) -> Any:
        """What lmms-eval reads of a trajectory, and where its tokens went."""
        from lmms_eval.api.instance import GenerationResult, TokenCounts

        if one is None:
            return ""
        text = one.answer or ""
        if self.asking.reply == "turn" and one.turns:
            text = one.turns[-1].text
        spent = one.ledger
        counts = TokenCounts(input_tokens=spent.total - spent.written, output_tokens=spent.written)
        return GenerationResult(text="" if one.stop == "fault" else text, token_counts=counts)


def _work_on(device: str | None) -> None:
    """Have this process work on the device of --device, or on the GPU that is its own among ranks."""
    local = os.environ.get("LOCAL_RANK")
    if device is None and local is not None and torch.cuda.is_available():
        device = f"cuda:{local}"
    if device is None:
        return
    try:
        use_device(torch.device(device))
    except RuntimeError:
        raise UsageError(f"--device {device}: is no device; want cpu, cuda or cuda:NUMBER") from None


def own_file(out: str, rank: int) -> Path:
    """The file of one process.

    >>> own_file("answers.jsonl", 0).name, own_file("answers.jsonl", 3).name
    ('answers.jsonl', 'answers.rank3.jsonl')
    """
    file = Path(out)
    return file.with_suffix(f".rank{rank}{file.suffix}") if rank else file


def as_words(said: Mapping[str, Any]) -> list[str]:
    """lmms-eval's --model_args as words of a command.

    >>> as_words({"pretrained": "exp/final", "agent.limits.turns": 4, "help": ""})
    ['--pretrained=exp/final', '--agent.limits.turns=4', '--help']
    """
    return [
        "--help" if name == "help" else f"--{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in said.items()
    ]


@contextmanager
def one_line() -> Iterator[None]:
    """What is the user's to mend ends lmms-eval in one line, where else it would print a traceback and 0."""
    try:
        yield
    except BaseException as problem:
        said = mistake_in(problem)
        if said is None:
            raise
        _end(said)


def _end(problem: str) -> NoReturn:
    raise SystemExit(f"{MODEL}: {problem}")


def _tasks(requests: Sequence[Any]) -> str:
    return ", ".join(sorted({str(request.task_name) for request in requests})) or "a task"
