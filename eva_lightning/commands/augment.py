"""`eva augment`: new tasks of the kinds at which a policy failed.

`FailureMining` does the same while one is trained.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from eva_lightning.agent.config import AgentConfig, default_dialect
from eva_lightning.commands.arguments import refuse_to_overwrite, run_command, several, want_one_or_more
from eva_lightning.commands.engine_choice import make_world, served
from eva_lightning.data.mining.author import TaskAuthor, Written
from eva_lightning.data.mining.causes import Failure, clustered, failures_of
from eva_lightning.data.mining.harvest import counts_of, harvest, rejected_beside, write_down, write_rejected
from eva_lightning.data.synthesis.world import HELD_OUT, SCRIPTS, TASKS
from eva_lightning.faults import UsageError
from eva_lightning.files.lock import sole_writer
from eva_lightning.files.store import located, read
from eva_lightning.records import Task, Trajectory
from eva_lightning.reports.summary import table

USUAL = AgentConfig()


def main(words: Sequence[str]) -> None:
    run_command(augment, words, "eva augment")


def augment(
    trajectories: str | list[str],
    out: str,
    count: int = 100,
    world: str | None = None,
    server: str | None = None,
    served_name: str | None = None,
    videos: str | None = None,
    examples: int = 3,
    per_reply: int = 2,
    timeout: float = 300.0,
    concurrency: int = 4,
    verify: bool = True,
    pool: list[str] | None = None,
    agent: AgentConfig = USUAL,
    seed: int = 0,
) -> None:
    """Find out where a policy fails, and have new tasks of exactly that kind written and checked.

    With --world they are about new clips of the embedded world; with --server a teacher is shown failures and
    frames of videos of yours. Rejected ones, with the reason, are written beside --out, as .rejected.jsonl.
    Ctrl-C waits for what is under way and keeps the tasks written so far; a second one drops them.

    Args:
        trajectories: JSONL file of a policy's trajectories (eva collect), or several as [a.jsonl,b.jsonl].
        out: JSONL file of tasks to write, which must not exist yet; new clips go to clips/ beside it.
        count: Tasks that are wanted.
        world: Folder of the embedded world that is trained on: new clips are like its own.
        server: Address of an OpenAI-compatible server that writes the tasks.
        served_name: Name of the model on that server; by default its first one. OPENAI_API_KEY is sent if
            set.
        videos: Folder of videos that no task shows yet, for the teacher.
        examples: Failures the teacher is shown with each order.
        per_reply: Questions it is asked for at once.
        timeout: Seconds to wait for one reply.
        concurrency: Orders under way at once.
        verify: Let the teacher answer each task from its evidence, and without any.
        pool: More files of tasks that are not to be asked again.
        agent: Who failed: the teacher sees videos through its world, and is asked for answers as its dialect
            spells them. The rest of it does not count here.
        seed: Dice.
    """
    want_one_or_more(count=count, examples=examples, per_reply=per_reply, concurrency=concurrency)
    if not timeout > 0:
        raise UsageError(f"timeout is {timeout:g}: want more than 0 seconds")
    if (world is None) == (server is None) or (server is None) != (videos is None):
        raise UsageError("say who writes: --world FOLDER, or --server URL with --videos FOLDER")
    files, target = several(trajectories), Path(out)
    _refuse_to_lose(target, [*files, *_known(world, pool or [])], world)
    made = [located(one, file.parent) for file in map(Path, files) for one in read(file, Trajectory)]
    failures = failures_of(made)
    print(_failures_table(failures, len(made)))
    if not failures:
        raise UsageError(
            f"{', '.join(files)}: none of {len(made)} trajectories failed; nothing is to be mined"
        )
    known = [one.task for one in made] + _pool(_known(world, pool or []))
    author: TaskAuthor
    if world is not None:
        from eva_lightning.data.mining.world_author import WorldAuthor

        author = WorldAuthor(world)
    else:
        from eva_lightning.data.mining.teacher_author import TeacherAuthor

        author = TeacherAuthor(
            served(str(server), served_name),
            str(videos),
            examples=examples,
            per_reply=per_reply,
            timeout=timeout,
            concurrency=concurrency,
            verify=verify,
        )
    with sole_writer(target, "give another --out"):
        written = _harvested(author, agent, failures, count, known, target.parent, seed)
        print(_rejections_table(written))
        if not written.tasks:
            _refuse_nothing(written, target)
        write_down(written, target)
    print(f"{len(written.tasks)} new tasks in {out}; {len(written.rejected)} rejected")
    if author.stopped:
        raise KeyboardInterrupt


def _refuse_nothing(written: Written, out: Path) -> None:
    """UsageError says why there is no task; the reasons are kept, and `out` is not made."""
    write_rejected(written.rejected, out)
    causes = ", ".join(f"{count} {cause}" for cause, count in counts_of(written.rejected).most_common())
    first = f"; the first: {written.rejected[0].reason}" if written.rejected else ""
    raise UsageError(
        f"no task was accepted ({causes or 'none was written'}){first}; {out} is not written, all reasons "
        f"are in {rejected_beside(out)}"
    )


def _refuse_to_lose(out: Path, files: Sequence[str], world: str | None) -> None:
    """UsageError if --out, or the file beside it, would take the place of something.

    Tasks of a teacher cost money, so they are not written over either.
    """
    scripts = [] if world is None else [str(Path(world) / SCRIPTS)]
    refuse_to_overwrite(out, *files, *scripts)
    if out.exists():
        raise UsageError(f"--out {out}: is there already; name another file, or delete it")
    refuse_to_overwrite(rejected_beside(out), *files, *scripts)


def _harvested(
    author: TaskAuthor,
    agent: AgentConfig,
    failures: Sequence[Failure],
    count: int,
    pool: Sequence[Task],
    folder: Path,
    seed: int,
) -> Written:
    seen = make_world(agent, "auto")
    try:
        author.settle(folder, seen, agent.dialect or default_dialect())
        with _stopped_by_ctrl_c(author), tqdm(total=count, desc="writing", unit="task") as bar:
            return harvest(
                author, failures, count, pool=pool, world=seen, seed=seed, progress=lambda n: _advance(bar, n)
            )
    finally:
        author.close()
        seen.close()


@contextmanager
def _stopped_by_ctrl_c(author: TaskAuthor) -> Iterator[None]:
    """The first Ctrl-C lets the author finish what is under way, or else all that it wrote would be lost."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are none of its business
        return

    def stop(number: int, frame: FrameType | None) -> None:
        author.stopped = True
        signal.signal(signal.SIGINT, before)
        tqdm.write("stopping after what is under way, to keep it; Ctrl-C once more drops it")

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _advance(bar: tqdm, count: int) -> None:
    """What is asked for again, because too much was rejected, is more than the bar expected."""
    bar.total = max(bar.total, bar.n + count)
    bar.update(count)


def _known(world: str | None, files: Sequence[str]) -> list[str]:
    """The files of tasks that are not to be asked again."""
    return [*files] if world is None else [*files, *(str(Path(world) / name) for name in (TASKS, HELD_OUT))]


def _pool(files: Sequence[str]) -> list[Task]:
    """All tasks that a new one must differ from."""
    return [located(task, Path(file).parent) for file in files for task in read(file, Task)]


def _failures_table(failures: Sequence[Failure], attempts: int) -> str:
    """Where the policy fails, the commonest first."""
    rows = [
        [one.source or "(no source)", one.cause, str(one.attempts), f"{one.attempts / attempts:.1%}"]
        for one in clustered(failures)
    ]
    return table(("failed at", "cause", "attempts", "share"), rows)


def _rejections_table(written: Written) -> str:
    """What became of what was written, and one example of each cause."""
    rows, examples = [["accepted", str(len(written.tasks))]], [""]
    for cause, count in counts_of(written.rejected).most_common():
        reason = next(one.reason for one in written.rejected if one.cause == cause)
        rows.append([cause, str(count)])
        examples.append(f"  for example: {reason[:80]}")
    lines = table(("written", "tasks"), rows).splitlines()
    return "\n".join(line + example for line, example in zip(lines, ["", *examples], strict=True))
