"""Real vLLM writes what the policy would write: same tokens, same log-probs, and no turn holds up another."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from eva_lightning.agent import Agent, Limits, Overview, jobs_for, rollout
from eva_lightning.agent.dialects.vital import VitalDialect
from eva_lightning.agent.tools.clip_frames import ClipFrames
from eva_lightning.engines.base import Context, Sampling
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.engines.vllm.adapter import check_version
from eva_lightning.engines.vllm.engine import VLLMEngine
from eva_lightning.faults import EngineFault, UsageError
from eva_lightning.policy.loading import PolicyConfig, load_policy
from eva_lightning.records import Clip, FrameRef, Message, Task, Trajectory, Turn
from eva_lightning.reports.diagnosis.agreement import agreement_of
from eva_lightning.reports.diagnosis.conversations import make_probe, picture, write_probes
from tests.making import StillWorld, task

CLOSE = 5e-5
"""Log-probs of engine and trainer in float32 differ by less."""
PROBES = [make_probe(f"p{i}", i % 13, turns=1 + i % 4, seed=i) for i in range(64)]
"""64 conversations of 1 to 4 turns with 0 to 12 frames, from 28 x 28 to 84 x 168."""


@pytest.fixture(scope="module")
def policy(tiny_folder):
    return load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32"))


@pytest.fixture(scope="module")
def engine(policy, small_vllm):
    running = VLLMEngine(policy, small_vllm)
    yield running
    running.close()


def frame(name="v", rows=2, columns=2):
    return FrameRef(clip=name, time=1.0, height=28 * rows, width=28 * columns)


def context(engine, *parts, read=picture):
    messages = (Message(role="user", parts=parts or ("What colour?",)),)
    return Context(messages=messages, ids=tuple(engine.renderer.opening(messages)), pixels=read, task_id="t1")


def write(engine, contexts, **sampling):
    """What becomes of all of them at once: utterances, or what was raised."""

    async def everyone():
        asked = (engine.write(one, Sampling(**{"seed": i} | sampling)) for i, one in enumerate(contexts))
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(asyncio.wait_for(everyone(), 60))


def apart(policy, asked, said, temperature=1.0):
    """How far the log-probs of a turn are from the trainer's, who always reads the right pixels."""
    turn = Turn(text=said.text, token_ids=list(said.token_ids), logprobs=list(said.logprobs))
    record = Trajectory(
        task=Task(id="t1", clips=(Clip(id="v"),), question="?"),
        prompt=asked.messages,
        prompt_ids=list(asked.ids),
        turns=[turn],
    )
    return agreement_of(policy, [record], temperature=temperature).largest


def test_64_conversations_at_once_have_the_trainer_s_logprobs(policy, engine):
    written = write_probes(engine, PROBES, Sampling(max_tokens=24))
    assert sorted({len(one.frames) for one in written}) == list(range(13))
    assert {one.rounds for one in written} == {1, 2, 3, 4}
    assert {frame.visual_tokens for one in written for frame in one.frames} == {1, 5, 6, 16, 18}
    found = agreement_of(policy, written)
    assert found.tokens == sum(len(turn.token_ids) for one in written for turn in one.turns) > 3000
    assert found.largest <= CLOSE


class Looking(VitalDialect):
    """Reads one and the same call in every turn, because a policy with random weights writes none."""

    def parse(self, text):
        return VitalDialect.parse(self, self.call("get_video_clip_frame", start_time=10, end_time=12))


class Noise(StillWorld):
    """Frames that can be told apart."""

    def pixels(self, clip, frame):
        return picture(frame)


def test_after_an_overview_and_clips_the_logprobs_are_the_trainer_s(policy, engine):
    agent = Agent(
        engine=engine,
        dialect=Looking(),
        tools=[ClipFrames(fps=1, frame_tokens=4, calls=None)],
        world=Noise(),
        overview=Overview(frames=8, frame_tokens=4),
        limits=Limits(turns=3, turn_tokens=24, total_tokens=2048),
    )
    tasks = [task(id=f"t{i}", clips=(Clip(id=f"v{i}"),)) for i in range(4)]
    written = asyncio.run(rollout(jobs_for(tasks, replicas=2), agent))
    assert {(one.stop, one.rounds, len(one.frames)) for one in written} == {("turn_limit", 3, 8 + 2 + 2)}
    assert all(one.prompt_ids.count(engine.renderer.image_token_id) == 8 for one in written)
    found = agreement_of(policy, written)
    assert found.tokens > 200 and found.largest <= CLOSE


def test_the_likeliest_tokens_are_those_of_the_trainer_s_own_generation(policy, engine):
    own = TransformersEngine(policy)
    greedy = Sampling(temperature=0.0, max_tokens=24)
    theirs, ours = (write_probes(one, PROBES, greedy) for one in (engine, own))
    own.close()
    assert [one.token_ids for one in theirs] == [one.token_ids for one in ours]
    assert agreement_of(policy, theirs, temperature=0.0).largest <= CLOSE


def test_a_tempered_turn_has_the_logprobs_of_the_tempered_distribution(policy, engine):
    written = write_probes(engine, PROBES[:16], Sampling(temperature=0.7, max_tokens=24))
    assert agreement_of(policy, written, temperature=0.7).largest <= CLOSE
    assert agreement_of(policy, written, temperature=1.0).largest > 0.1


def test_banned_tokens_are_never_drawn(policy, engine):
    said = write(engine, [context(engine, f"{i}?") for i in range(48)], temperature=2.0, max_tokens=64)
    drawn = [token for utterance in said for token in utterance.token_ids]
    assert len(drawn) > 2000 and not set(drawn) & set(engine.renderer.banned_ids)


def test_a_turn_ends_with_its_end_token_or_is_cut(engine, monkeypatch):
    (cut,) = write(engine, [context(engine)], max_tokens=5, temperature=0.0)
    assert cut.cut and len(cut.token_ids) == len(cut.logprobs) == 5
    monkeypatch.setattr(engine.renderer, "end_ids", (cut.token_ids[2],))
    (ended,) = write(engine, [context(engine)], max_tokens=5, temperature=0.0)
    assert not ended.cut and ended.token_ids == cut.token_ids[: cut.token_ids.index(cut.token_ids[2]) + 1]


def test_a_turn_is_cut_where_the_engine_s_room_ends(engine):
    asked = context(engine, "a" * 100)
    room = engine.settings.max_length - len(asked.ids)
    asked = replace(asked, ids=asked.ids + (asked.ids[-1],) * (room - 3))
    (said,) = write(engine, [asked], max_tokens=500)
    assert said.cut and len(said.token_ids) == 3


def test_the_same_seed_draws_the_same_tokens_in_any_company(engine):
    asked = context(engine, "Look: ", frame(), "What colour?")
    (alone,) = write(engine, [asked], seed=7, max_tokens=32)
    (again, *_) = write(
        engine, [asked, *(context(engine, f"{i}!") for i in range(20))], seed=7, max_tokens=32
    )
    (other,) = write(engine, [asked], seed=8, max_tokens=32)
    assert alone.token_ids == again.token_ids != other.token_ids


def test_a_cancelled_turn_holds_nobody_up(engine):
    async def run():
        long = asyncio.create_task(engine.write(context(engine), Sampling(max_tokens=1900)))
        short = asyncio.create_task(engine.write(context(engine, "?"), Sampling(max_tokens=200)))
        await asyncio.sleep(0.1)
        long.cancel()
        await asyncio.wait([long])
        assert long.cancelled()
        await short
        return await engine.write(context(engine), Sampling(max_tokens=4))

    before = engine.spent.written
    after = asyncio.run(asyncio.wait_for(run(), 30))
    assert len(after.token_ids) == 4 and engine.spent.written - before <= 204
    assert not engine.thread.call(engine.thread.vllm.busy)


def test_what_can_not_be_written_is_refused_in_a_line_and_the_others_go_on(engine):
    def unreadable(frame):
        raise EngineFault("no such frame")

    long = context(engine, "word " * 3000)
    refused = {
        f"task 't1': a conversation with {len(long.ids)} tokens, and the engine takes 2047: "
        "raise max_length": long,
        "task 't1': a conversation with a frame of 81 tokens: raise max_frame_tokens (64)": context(
            engine, frame(rows=9, columns=9)
        ),
        "task 't1': a conversation with 17 frames, and the engine takes 16: raise max_frames": context(
            engine, *[frame(f"v{i}") for i in range(17)]
        ),
        "no such frame": context(engine, frame(), read=unreadable),
    }
    *outcomes, good = write(engine, [*refused.values(), context(engine)], max_tokens=4)
    assert [type(outcome) for outcome in outcomes] == [EngineFault] * 4
    assert [str(outcome) for outcome in outcomes] == list(refused)
    assert len(good.token_ids) == 4


def test_what_vllm_refuses_itself_stops_its_own_turn_only(engine):
    asked = context(engine)
    unknown = replace(asked, ids=(*asked.ids, 10**6))  # no such token
    refused, good = write(engine, [unknown, asked], max_tokens=4)
    assert isinstance(refused, EngineFault) and "\n" not in str(refused) and "1000000" in str(refused)
    assert len(good.token_ids) == 4
    (hot,) = write(engine, [asked], temperature=3.0)
    assert str(hot).startswith("vLLM refuses a turn: temperature must be in [0, 2], got 3.0")


def test_a_conversation_is_read_once_over_its_turns(engine):
    """Blocks of 32 tokens are found again: of each earlier prompt and turn all but what fills no block."""
    engine.thread.call(engine.thread.vllm.forget)
    read, cached = engine.spent.read, engine.spent.cached
    (record,) = write_probes(engine, [make_probe("long", 12, turns=4)], Sampling(max_tokens=24))
    prompts = [len(record.prompt_ids)]
    for turn in record.turns[:-1]:
        prompts.append(prompts[-1] + len(turn.token_ids) + len(turn.observation_ids))
    looks = [turn.observation.frames for turn in record.turns[:-1]]
    shown = [record.prompt[0].frames, *looks]
    extra = [sum(f.visual_tokens - 1 for look in shown[: i + 1] for f in look) for i in range(4)]
    lengths = [prompt + more for prompt, more in zip(prompts, extra, strict=True)]
    assert engine.spent.read - read == sum(lengths)
    assert engine.spent.cached - cached >= sum(length - 32 for length in lengths[:-1]) > 300


def test_a_frame_is_known_by_its_name_and_its_pixels_are_prepared_once(policy, engine):
    """Under a known name other pixels change nothing, even where no prefix is known."""
    prepared = []
    engine.thread.call(engine.thread.vllm.forget)
    processor = engine.thread.vllm._engine.renderer.mm_processor
    original = type(processor)._call_hf_processor

    def counted(self, data, words):
        prepared.append(len(data["images"]))
        return original(self, data, words)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(processor), "_call_hf_processor", counted)
        first = context(engine, "Look: ", frame("known"), "What colour?")
        black = context(
            engine, "Now: ", frame("known"), "What?", read=lambda f: np.zeros((56, 56, 3), np.uint8)
        )
        for asked in (first, first, black):
            (said,) = write(engine, [asked], max_tokens=16)
            assert apart(policy, asked, said) <= CLOSE
        assert prepared == [1]
        renamed = replace(black, name=lambda f: "black")
        (said,) = write(engine, [renamed], max_tokens=16)
        assert prepared == [1, 1] and apart(policy, renamed, said) > 0.01


@pytest.mark.parametrize("found", ["0.32.0", "0.32.0+cpu", "0.33.1"])
def test_versions_that_were_looked_at_are_taken(found):
    check_version(found)


@pytest.mark.parametrize("found", ["0.31.1", "0.34.0", "1.0"])
def test_other_versions_are_refused_by_name(found):
    with pytest.raises(UsageError, match=rf"vLLM {found} is installed; .* 0\.32\.0 \(tested\) and 0\.33\.0"):
        check_version(found)


def test_a_missing_vllm_is_a_user_s_mistake():
    with pytest.raises(UsageError, match="vLLM is not installed: pip install"):
        check_version(None)
