"""A GPU at work: GRPO updates of Qwen2.5-VL-7B's architecture: `python bench/gpu.py [--json] [--size tiny]`.

The weights are random, so nothing is fetched; the trajectories are of EVA's size: groups of eight attempts at
a question, three turns, two calls of 32 frames, 17,500 tokens each, of which 16,384 are frames. An adapter
and all weights, the tower frozen, each in the type and the packing of the shipped recipe. Told are tokens a
second, the share of the card's arithmetic (MFU: the multiply-adds that the step needs, the tower's counted,
what is computed again not), the peak of its memory, and where the seconds went. Two more lines: attention of
all trajectories in one call beside one call each, and frames by NVDEC beside PyAV.

Under nine minutes on a card of 80 GB or more; `--size tiny` runs the same on anything, to see that it runs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from torch.utils.data import DataLoader

from eva_lightning.agent.config import AgentConfig
from eva_lightning.agent.small_talk import agent_text
from eva_lightning.agent.worlds.base import World
from eva_lightning.data.synthesis.render import render
from eva_lightning.data.synthesis.script import ScriptSettings, write_script
from eva_lightning.modules import GRPOModule
from eva_lightning.modules.optimizing import OptimizerConfig
from eva_lightning.policy.attention import attend_by_trajectory, attention
from eva_lightning.policy.dealing import Prices
from eva_lightning.policy.loading import Lora, Policy, PolicyConfig, adapted, load_policy
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.records import Clip, FrameRef, Message, Observation, Task, Trajectory, Turn
from eva_lightning.reports.planning.architectures import architecture_at
from eva_lightning.reports.planning.work import CARDS
from eva_lightning.video.opening import open_decoder

NAME = "Qwen/Qwen2.5-VL-7B-Instruct"
SIDE = {"7b": 448, "tiny": 56}
"""Of a frame: 256 visual tokens, or 4."""
GROUPS, ATTEMPTS, CALLS, FRAMES, WORDS = 2, 8, 2, 32, 160
STEPS = 3
"""Of which the first one warms up."""


class Noise(World):
    """Frames of noise, each made of its time."""

    def pixels(self, clip: Clip, frame: FrameRef) -> Any:
        dice = np.random.default_rng(int(frame.time * 10))
        return dice.integers(0, 256, (frame.height, frame.width, 3), dtype=np.uint8)

    def describe(self, clip: Clip) -> Any:
        raise NotImplementedError

    look = describe  # type: ignore[assignment]


class Learner(GRPOModule):
    """GRPO's update alone, of a policy that is there already, on trajectories that have their advantage."""

    made: Policy

    def _read(self) -> Policy:
        return self.made

    def training_step(self, batch: Sequence[Trajectory], batch_idx: int) -> None:
        self.phases = {}
        self.finish(list(batch), self.update([batch]))


class Phases(Callback):
    """Seconds of each part of a step, the device waited for at its borders."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.now: defaultdict[str, float] = defaultdict(float)
        self.began = _clock()

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        self.steps.append({"step": _clock() - self.began, **self.now})

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, its seconds noted."""

        def timed(*args: Any, **words: Any) -> Any:
            began = _clock()
            try:
                return call(*args, **words)
            finally:
                self.now[name] += _clock() - began

        return timed


def _clock() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def random_policy(size: str, folder: Path, adapter: bool) -> Policy:
    """The architecture with random weights on the device, and a tokenizer of a few hundred words."""
    tiny = build_tiny(folder / "tiny", corpus=agent_text())
    lora = Lora() if adapter else None
    config = PolicyConfig(path=str(tiny), dtype="bfloat16", gradient_checkpointing=True, lora=lora)
    if size == "tiny":
        return load_policy(config)
    words = load_policy(config, weights=False)
    known = architecture_at(NAME)
    assert known is not None
    sizes, small = known.config, words.backbone.config
    for token in ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id"):
        setattr(sizes, token, getattr(small, token))
    with torch.device("cuda"):
        model = words.family.random(sizes, dtype=torch.bfloat16, attn_implementation="sdpa")
    attend_by_trajectory(model)
    words.model = model if lora is None else adapted(model, lora, words.family)
    words.family.tower(model).requires_grad_(False)  # type: ignore[union-attr]
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return words


def trajectories(policy: Policy, side: int) -> list[Trajectory]:
    """Groups of attempts whose second look differs, half of them good."""
    return [_attempt(policy, side, group, place) for group in range(GROUPS) for place in range(ATTEMPTS)]


def _attempt(policy: Policy, side: int, group: int, place: int) -> Trajectory:
    renderer = policy.renderer
    prompt = (Message(role="user", parts=("What is shown, and when? " * 20,)),)
    made = Trajectory(
        task=Task(id=str(group), clips=(Clip(id="v", path=f"{group}.mp4"),), question="What?"),
        prompt=prompt,
        prompt_ids=renderer.opening(prompt),
        advantage=1.0 - 2.0 * (place % 2),
        replica=place,
    )
    text = renderer.decode(renderer.turn_ids("I look closer at what is shown there. " * WORDS)[:WORDS])
    for call in range(CALLS + 1):
        ids = renderer.turn_ids(text)
        turn = Turn(text=text, token_ids=ids, logprobs=[-6.0] * len(ids))
        if call < CALLS:
            first = 1000 * group + 100 * call * (1 + place)
            frames = [
                FrameRef(clip="v", time=first + float(n), height=side, width=side) for n in range(FRAMES)
            ]
            parts = tuple(part for one in frames for part in (f"Frame at {one.time:g} s: ", one))
            before = made.messages
            turn.observation = Observation(parts=parts)
            turn.observation_ids = renderer.follow(before, Message(role="tool", parts=parts), cut=False)
        made.turns.append(turn)
    return made


def updates(size: str, adapter: bool, folder: Path) -> dict[str, Any]:
    """One variant: medians of the steps after the first."""
    policy = random_policy(size, folder, adapter)
    batch = trajectories(policy, SIDE[size])
    phases = Phases()
    module = Learner(
        policy=PolicyConfig(path=policy.path, dtype="bfloat16", gradient_checkpointing=True),
        optimizer=OptimizerConfig(lr=1e-6, decay="constant"),
        agent=AgentConfig(world=Noise()),
        attempts=ATTEMPTS,
    )
    module.made = policy
    trainer = Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[phases],
    )
    _watch(module, phases)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        trainer.fit(module, DataLoader([batch] * STEPS, batch_size=1, collate_fn=lambda one: one[0]))
    measured = sorted(phases.steps[1:], key=lambda step: step["step"])[(STEPS - 1) // 2]
    found = _told(policy, batch, measured, adapter)
    module.teardown("fit")
    return found


def _watch(module: Learner, phases: Phases) -> None:
    """Tell the parts of a step apart."""
    module.logprobs = phases.around("forward", module.logprobs)  # type: ignore[method-assign]
    module._inputs = phases.around("frames and tower", module._inputs)  # type: ignore[method-assign]
    join = module.join

    def joined() -> None:
        join()
        exchange = module.exchange
        exchange.backward = phases.around("backward", exchange.backward)  # type: ignore[method-assign]
        exchange.move = phases.around("optimizer", exchange.move)  # type: ignore[method-assign]

    module.join = joined  # type: ignore[method-assign]


def _told(policy: Policy, batch: list[Trajectory], step: dict[str, float], adapter: bool) -> dict[str, Any]:
    prices = Prices.of(policy, seen_once=True)
    burdens = [prices.burden(one) for one in batch]
    frames = {name: cost for burden in burdens for name, cost in burden.frames.items()}
    text = sum(burden.text for burden in burdens) * (2 / 3 if adapter else 1)  # no gradients of the weights
    needed = 2 * (text + sum(frames.values()))
    tokens = sum(one.ledger.total for one in batch)
    shares = {name: round(value / step["step"], 3) for name, value in step.items() if name != "step"}
    card = _card()
    return {
        "tokens": tokens,
        "tokens_a_second": round(tokens / step["step"], 1),
        "seconds": round(step["step"], 3),
        "mfu": None if card is None else round(needed / step["step"] / (CARDS[card][1] * 1e12), 3),
        "peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 1) if torch.cuda.is_available() else None,
        "shares": shares,
    }


def _card() -> Any:
    """Which of the known cards this is; None is none of them."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((card for card in CARDS if card in name), None)


def attention_ratio() -> float | None:
    """How many times as fast eight trajectories of 17,500 tokens are in one call as in one call each."""
    if not torch.cuda.is_available():
        return None
    borders = torch.arange(0, 9, dtype=torch.int32, device="cuda") * 17_500
    module = SimpleNamespace(is_causal=True, num_key_value_groups=7)
    states = [
        torch.randn(1, heads, 140_000, 128, device="cuda", dtype=torch.bfloat16, requires_grad=True)
        for heads in (28, 4, 4)
    ]
    seconds = []
    for longest in (17_500, None):  # without it the kernel for all of them is not taken
        for _ in range(2):
            began = _clock()
            seen, _ = attention(module, *states, None, cu_seq_lens_q=borders, max_length_q=longest)  # type: ignore[arg-type]
            seen.float().sum().backward()
        seconds.append(_clock() - began)
    return round(seconds[1] / seconds[0], 2)


def decoding_ratio(folder: Path) -> float | None:
    """Frames by NVDEC: how many times as fast as by PyAV, 64 spread over ten minutes of 360p."""
    if not torch.cuda.is_available():
        return None
    file = folder / "clip.mp4"
    render(write_script(0, ScriptSettings(duration=(600, 600), height=360, width=640)), file)
    times, seconds = [9.3 * number for number in range(64)], {}
    for device in ("pyav", "cuda"):
        with open_decoder(str(file), device) as decoder:  # type: ignore[arg-type]
            decoder.frames(times[:2], 224, 392)
            began = _clock()
            decoder.frames(times, 224, 392)
            seconds[device] = _clock() - began
    return round(seconds["pyav"] / seconds["cuda"], 2)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line: a JSON object")
    parser.add_argument(
        "--size", choices=["7b", "tiny"], default="7b", help="7b wants a GPU of 80 GB or more"
    )
    words = parser.parse_args()
    if words.size == "7b" and not torch.cuda.is_available():
        parser.error("no GPU here: --size tiny shows that it runs")
    found: dict[str, Any] = {"size": words.size, "torch": torch.__version__, "card": _card()}
    with tempfile.TemporaryDirectory() as folder:
        for name, adapter in (("adapter", True), ("full", False)):
            try:
                found[name] = updates(words.size, adapter, Path(folder))
            except torch.OutOfMemoryError as short:
                found[name] = f"does not fit: {str(short).splitlines()[0]}"
            print(f"{name}: {found[name]}", flush=True)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        found["varlen_vs_one_call_each"] = attention_ratio()
        found["nvdec_vs_pyav"] = decoding_ratio(Path(folder))
    print(f"attention {found['varlen_vs_one_call_each']}, decoding {found['nvdec_vs_pyav']}")
    if words.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
