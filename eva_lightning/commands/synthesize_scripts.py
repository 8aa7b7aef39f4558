"""`eva synthesize scripts`: questions across clips that exist as words, to train in a text world.

Without a server a grammar writes them; with one, a model does. Nothing is rendered, and no GPU is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from eva_lightning.agent.config import AgentConfig
from eva_lightning.agent.dialects.react import ReActDialect
from eva_lightning.agent.rollout import jobs_for, rollout
from eva_lightning.agent.tools.listen import Listen
from eva_lightning.agent.tools.observe import Observe
from eva_lightning.agent.worlds.script_world import ScriptWorld
from eva_lightning.commands.arguments import want_one_or_more, want_zero_or_more
from eva_lightning.commands.engine_choice import served
from eva_lightning.data.scripts.authors import EngineAuthor, GrammarAuthor, ScriptAuthor
from eva_lightning.data.scripts.kinds import KINDS
from eva_lightning.data.scripts.oracle import ScriptOracle
from eva_lightning.data.scripts.released import released_rows, released_task
from eva_lightning.data.scripts.spec import orders
from eva_lightning.data.scripts.story import Refused
from eva_lightning.data.scripts.writing import SCRIPTS, WRITTEN, Desk, Refusal, Written, told, write_files
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.faults import UsageError
from eva_lightning.files.lock import sole_writer
from eva_lightning.files.store import located, portable, write
from eva_lightning.records import Task, Trajectory
from eva_lightning.reports.summary import summarize, summary_table, table

ORACLE = "oracle.jsonl"
USUAL = 100
"""Tasks that are written where nobody says how many."""


def scripts(
    out: str,
    count: int | None = None,
    held_out: int = 0,
    kinds: list[str] | None = None,
    server: str | None = None,
    served_name: str | None = None,
    temperature: float = 0.9,
    max_tokens: int = 8192,
    timeout: float = 600.0,
    concurrency: int = 8,
    tries: int = 3,
    seed: int = 0,
    fresh: bool = False,
    rows: str | None = None,
) -> None:
    """Write clips as scripts, questions across several of them, and the answers, checked.

    Writes tasks.jsonl, held_out.jsonl, scripts.jsonl, which a ScriptWorld reads, and oracle.jsonl: who knows
    the answers shows how to look for them. What was refused on the way, and why, is in written.jsonl. An
    interrupted run goes on where it stopped.

    Args:
        out: Folder to write to.
        count: Tasks that are wanted, over all kinds; None writes 100, or reads all rows.
        held_out: How many of them, the first ones, are kept from training; they go to held_out.jsonl.
        kinds: Which kinds of question; by default all ten.
        server: Address of an OpenAI-compatible server that writes; None writes offline, by a grammar.
        served_name: Name of the model on that server; by default its first one. OPENAI_API_KEY is sent if
            set.
        temperature: Of the server's words.
        max_tokens: Tokens of one of its replies.
        timeout: Seconds to wait for one.
        concurrency: Replies under way at once.
        tries: Stories that are asked for until one is sound.
        seed: Dice; offline the same seed writes the same.
        fresh: Throw away what is there, and begin again.
        rows: File, or folder of files, with tasks that AgentCVR's authors released: they are read instead of
            written. Rows that do not say their kind want one in --kinds. None writes.
    """
    wanted = USUAL if count is None else count
    want_one_or_more(count=wanted, concurrency=concurrency, tries=tries, max_tokens=max_tokens)
    want_zero_or_more(held_out=held_out, temperature=temperature)
    if (rows is None and held_out > wanted) or not timeout > 0:
        raise UsageError(
            f"held_out {held_out} of {wanted} with timeout {timeout:g}: want at most all, above 0 s"
        )
    unknown = [kind for kind in kinds or () if kind not in KINDS]
    if unknown or kinds == []:
        raise UsageError(f"there is no kind {(unknown or ['(none)'])[0]!r}; there are {', '.join(KINDS)}")
    folder, specs = Path(out), [KINDS[kind] for kind in dict.fromkeys(kinds or KINDS)]
    if rows is not None:
        _read_released(folder, rows, kinds, count, held_out)
        return
    author = _author(server, served_name, temperature, max_tokens, timeout, concurrency)
    with sole_writer(folder.absolute(), "give another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        desk = Desk(folder, author, tries=tries, concurrency=concurrency)
        settings: dict[str, object] = {"kinds": [spec.kind for spec in specs], "seed": seed}
        settings |= {"held_out": held_out, "author": server or "offline"}
        desk.begin(settings, fresh=fresh)
        try:
            with tqdm(total=wanted, desc="scripts", unit="task") as bar:
                written = asyncio.run(desk.work_off(list(orders(specs, wanted, seed)), bar.update))
        finally:
            if author.engine is not None:
                author.engine.close()
        tasks, kept = write_files(folder, written, held_out)
        made = _demonstrated(folder, tasks, seed)
        write(folder / ORACLE, [portable(one, folder) for one in made])
    print(_told_table(written))
    print(summary_table([("oracle", summarize(made))]))
    print(f"{len(tasks)} tasks and {len(kept)} held out in {folder}")
    if not tasks:
        raise UsageError(f"{folder}: no task passed the checks; the reasons are in written.jsonl")
    if len(written) < wanted:
        raise UsageError(f"{wanted - len(written)} orders were not answered; the same line asks again")


def _read_released(
    folder: Path, rows: str, kinds: list[str] | None, count: int | None, held_out: int
) -> None:
    """Tasks and scripts of others, into a folder that holds none."""
    if kinds is not None and len(kinds) != 1:
        raise UsageError("rows are of one kind: give one in --kinds, or none where rows say it")
    with sole_writer(folder.absolute(), "give another --out"):
        if (folder / SCRIPTS).exists():
            raise UsageError(f"{folder} holds scripts already: give another --out")
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for number, (place, row) in enumerate(islice(released_rows(rows), count), start=1):
            try:
                task, scripts = released_task(row, kinds[0] if kinds else None, number)
                one = Written(name=task.id, kind=task.source, task=task, scripts=scripts)
            except Refused as problem:
                refusal = Refusal(cause=problem.cause, reason=f"{place}: {problem}")
                one = Written(name=place, kind=kinds[0] if kinds else "-", refused=(refusal,))
            written.append(one)
        tasks, kept = write_files(folder, written, held_out)
        write(folder / WRITTEN, written)
    print(_told_table(written))
    print(f"{len(tasks)} tasks and {len(kept)} held out in {folder}")
    if not tasks:
        reason = next((one.refused[0].reason for one in written if one.refused), "there is no row")
        raise UsageError(f"{rows}: no row can be asked; the first: {reason}")


def _author(
    server: str | None,
    name: str | None,
    temperature: float,
    max_tokens: int,
    timeout: float,
    concurrency: int,
) -> ScriptAuthor:
    if server is None:
        return GrammarAuthor()
    return EngineAuthor(
        served(server, name, concurrency=concurrency),
        temperature=temperature,
        max_tokens=max_tokens,
        timeout=timeout,
    )


def _demonstrated(folder: Path, tasks: Sequence[Task], seed: int) -> list[Trajectory]:
    """Trajectories of the oracle in the world of the scripts."""
    if not tasks:
        return []
    dialect = ReActDialect()
    config = AgentConfig(
        dialect=dialect, tools=[Observe(), Listen()], world=ScriptWorld(str(folder / SCRIPTS))
    )
    agent = config.agent(ScriptedEngine(ScriptOracle(tasks, dialect)))
    jobs = jobs_for([located(task, folder) for task in tasks], replicas=1, seed=seed)
    with tqdm(total=len(jobs), desc="oracle", unit="trajectory") as bar:
        return asyncio.run(rollout(jobs, agent, on_finish=lambda _: bar.update()))


def _told_table(written: Sequence[Written]) -> str:
    """Of each kind how many there are, how often each letter is right, and what was refused."""
    rows = [
        [
            kind,
            str(count),
            " ".join(f"{letter} {labels[letter]}" for letter in sorted(labels)) or "-",
            ", ".join(f"{cause} {times}" for cause, times in causes.most_common()) or "-",
        ]
        for kind, count, labels, causes in told(written)
    ]
    return table(("kind", "tasks", "right answers", "refused"), rows)
