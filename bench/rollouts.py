"""Rollouts: how fast trajectories come, beside the usual loop: `python bench/rollouts.py [--json]`.

64 trajectories of four turns, with frames in every turn but the first; a real vLLM in this process writes
every token of a tiny policy. A random policy calls no tool, so a plan drawn from a seed says how long each
turn is and which call it is read as: both sides write equally many tokens and are shown the same frames.
Before each run the engine is handed its weights anew, as in training, which empties its caches; the frame
store is new.

The other side is a turn-synchronous loop, as most published trainers have it: all trajectories write their
turn, everybody waits for the longest, all tools run, and all write the next turn. It is our own loop with
gates in it, so engine, prompts, tokens and frames are the same on both sides, and so are the caches: it
keeps what was read of a conversation for the next turn, and a frame is decoded once. Its tools run one after
the other, as in TRL; for `_pooled` they run in 64 threads. Equally many turns for everybody is its best case:
nobody sits out a turn. For `_per_call` it has our caches no longer: each call opens the video and decodes its
frames exactly, one call after the other, as most published tools do (ours scans by key frames, so the frames
of the scan differ).

Lengths are those of agents that think aloud: log-normal, median 60 tokens, from 16 to 192, one in ten above
130. Tools: one that waits for 50 ms, and frame_select on an hour of video (360p, H.264, a key frame every
10 s). There are eight tasks with eight attempts each, as in GRPO: an attempt scans its five minutes of the
hour (8 frames), then looks at 4 frames of 4 s near one of its task's three places, twice.

Without a GPU the engine computes on the cores that decode: E seconds of writing and D of decoding take E + D
in turn, and no loop takes less than the longer of both, or than (E + D) / 2 on two cores. A tool that waits
for W seconds takes no core, and no loop takes less than E. How many times as fast as each side such a loop
would be is printed beside the ratio, as its bound (`bound_decoding`, `bound_slow_tool_pooled`...).

`loop_overhead` is the share of the engine's tokens per second that the loop costs where tools take no time.
The engine alone gets the same turns in its own thread, each as soon as the one before it has been written:
no event loop, no records, no texts, no tools.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # vLLM's threads spin, and leave no core to decode

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from statistics import median

from bench_footage import long_video
from rollout_loops import SIDES, Noting, Planned, Request
from rollout_plan import ATTEMPTS, DIALECT, LONGEST, TASKS, TURNS, PerCall, Plan, Stills, draw_plan, task

from eva_lightning.agent.rollout import Agent, Limits, jobs_for, rollout
from eva_lightning.agent.small_talk import agent_text
from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.agent.worlds.base import World
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.engines.vllm.engine import VLLMEngine
from eva_lightning.engines.vllm.settings import VLLMSettings
from eva_lightning.policy.loading import PolicyConfig, load_policy
from eva_lightning.policy.merged_weights import merged_weights
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.records import Trajectory
from eva_lightning.video.frame_store import FrameStore

SLOW_TOOL = 0.05
TARGETS = {
    "async_vs_turnwise_slow_tool": 2.0,
    "async_vs_turnwise_decoding": 2.0,
    "loop_overhead": 0.15,
}


class Bench:
    """One engine for all runs, and 64 trajectories to be made."""

    def __init__(self) -> None:
        self.plan = draw_plan(seed=0)
        self.tokens = sum(turn.tokens for turns in self.plan for turn in turns)
        self.folder = tempfile.TemporaryDirectory()
        self.policy = load_policy(
            PolicyConfig(path=str(build_tiny(self.folder.name, corpus=agent_text())), dtype="float32")
        )
        renderer = self.policy.renderer
        renderer.banned_ids += renderer.end_ids  # a turn ends where the plan says
        settings = VLLMSettings(max_length=4096, batch_tokens=4096, max_frame_tokens=64)
        self.vllm = VLLMEngine(self.policy, settings)
        path = str(long_video(360).path)
        self.jobs = jobs_for([task(number, path) for number in range(TASKS)], replicas=ATTEMPTS)
        self.version = 0

    def forget(self) -> None:
        """New weights empty every cache of the engine."""
        self.version += 1
        self.vllm.take_weights(lambda: merged_weights(self.policy.backbone), self.version)

    def seconds(self, world: World, engine: Planned, tool: FrameSelect) -> float:
        """Make all trajectories, and see that they are what was planned."""
        self.forget()
        limits = Limits(turns=TURNS, turn_tokens=LONGEST, total_tokens=4096)
        agent = Agent(engine=engine, dialect=DIALECT, tools=[tool], world=world, limits=limits)
        began = time.perf_counter()
        made = asyncio.run(rollout(self.jobs, agent, concurrency=len(self.jobs)))
        took = time.perf_counter() - began
        world.close()
        check(made, self.plan)
        return took

    def run(self, world: World, side: str) -> float:
        engine, tool = SIDES[side]
        return self.seconds(world, engine(self.vllm, self.plan), tool())

    def note(self) -> dict[tuple[int, int], Request]:
        """What vLLM is asked for in a run. It warms up, too."""
        noting = Noting(self.vllm, self.plan)
        self.seconds(Stills(), noting, FrameSelect())
        return noting.asked

    def alone(self, asked: dict[tuple[int, int], Request]) -> float:
        """Seconds in which vLLM writes the same turns, asked in its own thread."""
        self.forget()
        vllm = self.vllm.thread.vllm

        def add(place: int, number: int) -> None:
            turn = asked[place, number]
            vllm.add(f"{place} {number}", turn.ids, turn.pixels, turn.names, turn.words)

        def write_all() -> float:
            began, tokens = time.perf_counter(), 0
            for place in range(len(self.plan)):
                add(place, 0)
            while vllm.busy():
                for name, written in vllm.step():
                    place, number = map(int, name.split())
                    tokens += len(written.token_ids)
                    if number + 1 < TURNS:
                        add(place, number + 1)
            assert tokens == self.tokens
            return time.perf_counter() - began

        return self.vllm.thread.call(write_all)


def check(made: Sequence[Trajectory], plan: Plan) -> None:
    """Everybody wrote as many tokens and saw as many frames as planned."""
    for one, turns in zip(made, plan, strict=True):
        if one.stop != "turn_limit":
            raise SystemExit(f"a trajectory stopped by {one.stop}: {one.faults}")
        assert [len(turn.token_ids) for turn in one.turns] == [turn.tokens for turn in turns]
        assert len(one.frames) == 8 + 4 * (TURNS - 2)


def measure(rounds: int) -> dict[str, float]:
    """All sides of everything, in turn, so that what else the machine does falls on all of them."""
    bench = Bench()
    worlds: dict[str, Callable[[], World]] = {
        "slow_tool": lambda: Stills(SLOW_TOOL),
        "decoding": lambda: VideoWorld(FrameStore(device="pyav")),
    }
    asked = bench.note()
    took: dict[str, list[float]] = {}
    for _ in range(rounds):
        for what, world in worlds.items():
            for side in SIDES:
                took.setdefault(f"{what} {side}", []).append(bench.run(world(), side))
        took.setdefault("decoding per_call", []).append(bench.run(PerCall(), "turnwise"))
    for _ in range(rounds + 1):  # they are short, and close to each other
        took.setdefault("loop", []).append(bench.run(Stills(), "ours"))
        took.setdefault("alone", []).append(bench.alone(asked))
    spent = bench.vllm.spent
    bench.vllm.close()
    found: dict[str, float] = {}
    writing = median(took["loop"])
    least = {"slow_tool": writing, "decoding": floor(median(took["decoding turnwise"]), writing)}
    for run in took:
        what, _, side = run.partition(" ")
        if not side:
            continue
        found[f"trajectories_per_second_{what}_{side}"] = len(bench.jobs) / median(took[run])
        if side != "ours":
            name = what if side == "turnwise" else f"{what}_{side}"
            found[f"async_vs_turnwise_{name}"] = ratio(took[run], took[f"{what} ours"])
            found[f"bound_{name}"] = median(took[run]) / least[what]
    found["loop_overhead"] = 1 - ratio(took["alone"], took["loop"])
    found["tokens_per_second_loop"] = bench.tokens / median(took["loop"])
    found["tokens_per_second_engine"] = bench.tokens / median(took["alone"])
    found["prompt_cached"] = spent.cached / spent.read
    found["load"] = os.getloadavg()[1]
    return {name: round(value, 3) for name, value in found.items()}


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    return median(their / our for their, our in zip(theirs, ours, strict=True))


def floor(in_turn: float, writing: float) -> float:
    """Seconds that a loop takes which leaves no core idle."""
    return max(writing, in_turn - writing, in_turn / (os.cpu_count() or 1))


def show(found: dict[str, float]) -> None:
    print(f"trajectories a second, {os.cpu_count()} cores, load {found['load']:.1f}\n")
    print(f"{'':46s} {'ours':>7s} {'theirs':>7s} {'ratio':>7s} {'bound':>7s}")
    for what, title in (("slow_tool", "a tool of 50 ms"), ("decoding", "frames of a video")):
        ours = found[f"trajectories_per_second_{what}_ours"]
        sides = [("turnwise", "one by one", what), ("pooled", "pooled", f"{what}_pooled")]
        sides += [("per_call", "opened for each call", f"{what}_per_call")] if what == "decoding" else []
        for side, how, name in sides:
            theirs = found[f"trajectories_per_second_{what}_{side}"]
            line = f"{title}, theirs {how}"
            most = found[f"bound_{name}"]
            print(
                f"{line:46s} {ours:7.2f} {theirs:7.2f} {found[f'async_vs_turnwise_{name}']:7.2f} {most:7.2f}"
            )
    print("\nbound: how many times as fast a loop would be that leaves nothing idle on this machine")
    loop, engine = found["tokens_per_second_loop"], found["tokens_per_second_engine"]
    print(f"\ntokens a second: {loop:.0f} of the loop, {engine:.0f} of the engine alone")
    print(f"{found['prompt_cached']:.0%} of the prompts were known from earlier turns\n")
    for name, target in TARGETS.items():
        most = name == "loop_overhead"
        good = found[name] <= target if most else found[name] >= target
        bound = f"{'at most' if most else 'at least'} {target:g}"
        print(f"{name:28s} {found[name]:6.2f}  {bound:12s} {'ok' if good else 'MISSED'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="one line: a JSON object")
    parser.add_argument("--rounds", type=int, default=2, help="how often each side runs")
    arguments = parser.parse_args()
    found = measure(arguments.rounds)
    print(json.dumps(found)) if arguments.json else show(found)


if __name__ == "__main__":
    main()
