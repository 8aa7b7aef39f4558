"""`eva label`: marks trajectories good or bad, for KTO: by rule, and by a judge where there is one.

The rules are in `selection/feedback.py`, the judge's part in `selection/second_opinion.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from eva_lightning.agent.config import AgentConfig
from eva_lightning.commands.arguments import refuse_to_overwrite, run_command, several
from eva_lightning.commands.engine_choice import DecoderChoice, make_world
from eva_lightning.commands.second_opinion import choose_judge, mark_with
from eva_lightning.data.selection.balance import thinned
from eva_lightning.data.selection.feedback import FeedbackRules, Marked, mark
from eva_lightning.faults import UsageError
from eva_lightning.files.lock import sole_writer
from eva_lightning.files.store import located, portable, read, write
from eva_lightning.objectives.kto import balancing_weight, recommended_band
from eva_lightning.records import Trajectory
from eva_lightning.reports.summary import table

DEFAULTS, USUAL = FeedbackRules(), AgentConfig()


def main(words: Sequence[str]) -> None:
    run_command(label, words, "eva label")


def label(
    trajectories: str | list[str],
    out: str,
    rules: FeedbackRules = DEFAULTS,
    judge_server: str | None = None,
    judge_name: str | None = None,
    judge_model: str | None = None,
    judge_cache: str | None = None,
    judge_concurrency: int = 16,
    share: float | None = None,
    seed: int = 0,
    agent: AgentConfig = USUAL,
    decoder: DecoderChoice = "auto",
) -> None:
    """Mark every trajectory good or bad, say why, and print the balance.

    Good is right, on evidence and not wasteful; the reason stands in scores.feedback of each row. With a
    judge, a good one is shown to it, frames, question and answer, and is bad after all if what was seen does
    not suffice for the answer. Calling it again goes on where it stopped.

    Args:
        trajectories: JSONL file of trajectories, or several as [a.jsonl,b.jsonl]: right attempts at a
            family of questions are compared over all of them.
        out: JSONL file to write.
        rules: Where the borders are.
        judge_server: Address of an OpenAI-compatible server with a judge that sees images; None asks none.
        judge_name: Name of the model on that server; by default its first one. OPENAI_API_KEY is sent if
            set.
        judge_model: Folder or hub id of a Qwen2.5-VL checkpoint that judges here instead; None runs
            none.
        judge_cache: JSONL file of verdicts to go on with; None is beside --out, as .judged.jsonl.
        judge_concurrency: Trajectories before the judge at once.
        share: Thin out the commoner mark until this share is good (EVA: 0.63); None keeps all.
        seed: Dice of the thinning.
        agent: Who made the attempts: through its world the judge sees what was seen. The rest of it does
            not count here.
        decoder: Which video decoder reads the frames for the judge; auto takes the GPU where there is one.
    """
    if judge_concurrency < 1 or (share is not None and not 0 < share < 1):
        raise UsageError(
            f"judge_concurrency {judge_concurrency}, share {share}: want 1 or more, and between 0 and 1"
        )
    files = several(trajectories)
    refuse_to_overwrite(out, *files, *([judge_cache] if judge_cache else []))
    with sole_writer(out, "give another --out"):
        made = [located(one, file.parent) for file in map(Path, files) for one in read(file, Trajectory)]
        engine = choose_judge(judge_server, judge_name, judge_model, judge_cache, judge_concurrency)
        if engine is None:
            marks = mark(made, rules)
        else:
            cache = Path(judge_cache) if judge_cache else Path(out).with_suffix(".judged.jsonl")
            marks = mark_with(engine, made, rules, cache, judge_concurrency, make_world(agent, decoder))
        marked = [one.trajectory for one in marks if one.trajectory.desirable is not None]
        if not marked:
            raise UsageError(
                f"{', '.join(files)}: none of {len(made)} trajectories can be marked; they need a gold "
                "answer and an end other than a fault"
            )
        kept = marked if share is None else thinned(marked, share, seed)
        root = Path(out).parent
        write(out, [portable(one, root) for one in kept])
        print(_causes(marks))
        thin = "" if share is None else f", {len(kept)} kept for a share of {share:.0%}"
        print(f"\n{len(marked)} of {len(made)} trajectories marked{thin} in {out}")
        print(_balance(kept))


def _causes(marks: Sequence[Marked]) -> str:
    """How often each cause came up, commonest first, and one trajectory to look at."""
    counts = Counter(one.cause for one in marks)
    rows, examples = [], ["for example"]
    for cause, count in counts.most_common():
        one = next(one.trajectory for one in marks if one.cause == cause)
        mark = {True: "good", False: "bad", None: "left out"}[one.desirable]
        reason = one.scores["feedback"].reason.removeprefix(f"{cause}: ")
        rows.append([cause, mark, str(count), f"{count / len(marks):.1%}"])
        examples.append(f"{one.task.id}: {reason if len(reason) <= 60 else reason[:57] + '...'}")
    lines = table(("cause", "mark", "count", "share"), rows).splitlines()
    return "\n".join(f"{line}  {example}" for line, example in zip(lines, examples, strict=True))


def _balance(marked: Sequence[Trajectory]) -> str:
    good = sum(one.desirable is True for one in marked)
    bad = len(marked) - good
    line = f"{good} good, {bad} bad ({good / len(marked):.1%} good)"
    if not good or not bad:
        return f"{line}; KTO needs both"
    low, high = recommended_band(good, bad)
    weight = balancing_weight(good, bad)
    return f"{line}; KTO will take desirable_weight {weight:.2f} (recommended: {low:.2f} to {high:.2f})"
