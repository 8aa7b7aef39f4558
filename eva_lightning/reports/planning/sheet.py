"""The sheet: what a run would take, on a page of text, with where each number is from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from eva_lightning.reports.planning.architectures import Architecture
from eva_lightning.reports.planning.asked import Asked
from eva_lightning.reports.planning.memory import GB, Item, cache_tokens, on_a_card, total, trained, width
from eva_lightning.reports.planning.work import CARDS, Hardware, work
from eva_lightning.reports.summary import table

FITTING: tuple[tuple[str, dict[str, object]], ...] = (
    ("--model.engine.sleep_level 2", {"sleeps": True}),
    ("--model.optimizer.sharded true", {"sharded": True, "strategy": "ddp"}),
    ("--model.policy.gradient_checkpointing true", {}),
    ("--trainer.strategy fsdp2", {"strategy": "fsdp2", "offload": False}),
    ("--trainer.strategy zero3", {"strategy": "zero3", "offload": False}),
    ("--trainer.strategy zero3_offload", {"strategy": "zero3", "offload": True}),
)
"""What could be said to need less memory."""


def sheet(
    asked: Asked,
    architecture: Architecture,
    hardware: Hardware,
    judges: Sequence[Architecture] = (),
    taken: Sequence[str] = (),
) -> str:
    """All of it; `taken` are sentences on what was taken for what is not known."""
    moving = trained(asked, architecture)
    items = on_a_card(asked, architecture, hardware.gpus, hardware.card, judges)
    parts = [
        f"{asked.stage} of {architecture.name}, {asked.strategy} on {hardware.gpus} {hardware.gpu}: "
        f"{architecture.total:,} weights\n({architecture.vision:,} of them in the tower), "
        f"{moving.weights:,} are trained",
        _memory(items, hardware.card),
        _verdict(asked, architecture, hardware, judges, items),
        *_vllm(asked, architecture, hardware),
        _work(asked, architecture, hardware),
        "\n* ".join(["assumed:", *taken, *_assumed(asked, hardware)]),
    ]
    return "\n\n".join(parts)


def _memory(items: Sequence[Item], card: float) -> str:
    rows = [
        [item.what, f"{item.learning / GB:.1f}", f"{item.acting / GB:.1f}", item.basis]
        for item in items
        if max(item.learning, item.acting) >= GB / 100
    ]
    learning, acting = total(items)
    rows.append(["in all", f"{learning / GB:.1f}", f"{acting / GB:.1f}", f"of {card / GB:g}"])
    return table(("GB a card", "learning", "acting", ""), rows)


def _verdict(
    asked: Asked,
    architecture: Architecture,
    hardware: Hardware,
    judges: Sequence[Architecture],
    items: Sequence[Item],
) -> str:
    most = max(total(items))
    if most <= hardware.card:
        return f"it fits: {(hardware.card - most) / GB:.1f} GB of {hardware.card / GB:g} are left"
    fitting = list(_fitting(asked, architecture, hardware, judges))
    instead = (
        "it would fit with " + ", or ".join(fitting) if fitting else "it wants more cards, or larger ones"
    )
    return f"IT DOES NOT FIT: {(most - hardware.card) / GB:.1f} GB too many; {instead}"


def _fitting(
    asked: Asked, architecture: Architecture, hardware: Hardware, judges: Sequence[Architecture]
) -> Iterator[str]:
    for words, change in FITTING:
        if "sleep" in words and asked.writer != "vllm":
            continue
        policy = replace(asked.policy, gradient_checkpointing=True) if not change else asked.policy
        other = replace(asked, policy=policy, **change)  # type: ignore[arg-type]
        items = on_a_card(other, architecture, hardware.gpus, hardware.card, judges)
        if max(total(items)) <= hardware.card:
            learning, acting = (bytes_ / GB for bytes_ in total(items))
            yield f"{words} ({max(learning, acting):.1f} GB)"


def _vllm(asked: Asked, architecture: Architecture, hardware: Hardware) -> list[str]:
    if asked.writer == "policy":
        return []
    room = cache_tokens(asked, architecture, hardware.card)
    each = architecture.cached * width(asked, architecture)
    longest = room / asked.total_tokens
    what = f"each vLLM takes {asked.vllm.gpu_memory:.0%} of its card, with room for {room:,} tokens"
    if longest < 1:
        return [f"{what}, fewer than one conversation of {asked.total_tokens:,}: IT DOES NOT FIT"]
    return [f"{what} ({each:,} bytes each), {longest:.0f} of the longest conversations"]


def _work(asked: Asked, architecture: Architecture, hardware: Hardware) -> str:
    done = work(asked, architecture, hardware)
    rows = [
        ["trajectories", f"{done.trajectories:,}"],
        ["tokens", f"{done.tokens:,}"],
        ["seconds of learning", f"{done.learning:,.0f}"],
        *([["seconds of writing", f"{done.writing:,.0f}"]] if done.writing else []),
        ["seconds, one beside the other" if asked.overlap else "seconds", f"{done.seconds:,.0f}"],
        [f"dollars, {done.cards} cards", f"{done.price:,.2f}"],
    ]
    return table(("an iteration", ""), rows)


def _assumed(asked: Asked, hardware: Hardware) -> Iterator[str]:
    """Every constant that nobody measured on this hardware."""
    memory, power, bandwidth = CARDS[hardware.gpu]
    yield (
        f"a trajectory has {hardware.trajectory_tokens:,} tokens ({hardware.visual_share:.0%} frames), of "
        f"which {hardware.written_tokens:,} are written"
    )
    yield (
        f"{hardware.mfu:.0%} of {power:g} TFLOP/s and {hardware.bandwidth_share:.0%} of {bandwidth:g} GB/s "
        f"are reached (data sheet of {hardware.gpu}, {memory:g} GB)"
    )
    if asked.stage == "GRPO":
        yield f"a rollout takes {hardware.tail:g} times as long as its mean trajectory"
    yield f"a card costs {hardware.price:g} dollars an hour"
    yield "rows marked so above; decoding, rewards and the hand-over of weights take no time"
