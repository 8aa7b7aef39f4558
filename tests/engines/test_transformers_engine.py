"""The transformers engine writes what the model would write, and the trainer finds the same log-probs."""

import asyncio
import time

import numpy as np
import pytest
import torch

from eva_lightning.engines.base import Context, Sampling
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.faults import EngineFault
from eva_lightning.policy import generate
from eva_lightning.policy.inputs import lay_out, trajectory_inputs
from eva_lightning.policy.loading import Lora, PolicyConfig, load_policy
from eva_lightning.policy.logprobs import token_logprobs
from eva_lightning.records import Clip, FrameRef, Message, Observation, Task, Trajectory, Turn


@pytest.fixture(scope="module")
def policy(tiny_folder):
    return load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32"))


@pytest.fixture
def engine(policy):
    with_thread = TransformersEngine(policy)
    yield with_thread
    with_thread.close()


def pixels(frame):
    dice = np.random.default_rng(int(frame.time * 10))
    return dice.integers(0, 256, (frame.height, frame.width, 3), dtype=np.uint8)


def context(engine, place=0, frames=0, words=1, read=pixels):
    shown = [
        FrameRef(clip="v", time=float(place + i), height=28 * (1 + i % 3), width=56) for i in range(frames)
    ]
    messages = (
        Message(role="user", parts=("The video is 99 seconds long. " * words, *shown, "What colour?")),
    )
    ids = tuple(engine.renderer.opening(messages))
    return Context(messages=messages, ids=ids, pixels=read, place=place, task_id=f"t{place}")


def write(engine, contexts, seed=0, **sampling):
    """All contexts at once, each with its own seed and seat."""

    async def one(i, asked):
        with engine.seat():
            await asyncio.sleep(0)
            return await engine.write(asked, Sampling(seed=seed + i, **sampling))

    async def everyone():
        return await asyncio.gather(*(one(i, asked) for i, asked in enumerate(contexts)))

    return asyncio.run(asyncio.wait_for(everyone(), 60))


async def episode(engine, place, turns=3, pause=0.0, **sampling):
    """Several turns; two frames of different size are shown after each."""
    asked = context(engine, place, frames=place % 3, words=1 + place % 4)
    record = Trajectory(
        task=Task(id=f"t{place}", clips=(Clip(id="v"),), question="?"),
        prompt=asked.messages,
        prompt_ids=list(asked.ids),
    )
    with engine.seat():
        await asyncio.sleep(0)
        for i in range(turns):
            now = Context(
                messages=record.messages,
                ids=tuple(record.token_ids),
                pixels=pixels,
                place=place,
                task_id=str(place),
            )
            said = await engine.write(now, Sampling(seed=100 * place + i, **sampling))
            turn = Turn(
                text=said.text, token_ids=list(said.token_ids), logprobs=list(said.logprobs), cut=said.cut
            )
            if i + 1 < turns:
                seen = [
                    FrameRef(clip="v", time=place + k, height=28 * (1 + k), width=28 * (i + 1))
                    for k in (0, 1)
                ]
                message = Message(
                    role="tool", parts=("Frame 0 at 3 seconds: ", seen[0], "Frame 1: ", seen[1])
                )
                turn.observation = Observation(parts=message.parts)
                turn.observation_ids = engine.renderer.follow(record.messages, message, cut=said.cut)
            record.turns.append(turn)
            await asyncio.sleep(pause * ((place * 7 + i) % 3))
    return record


def episodes(engine, places, **kwargs):
    async def everyone():
        return await asyncio.gather(*(episode(engine, place, **kwargs) for place in places))

    return asyncio.run(asyncio.wait_for(everyone(), 60))


@pytest.mark.parametrize("frames", [0, 3])
def test_greedy_is_what_generate_writes(policy, engine, frames):
    asked = context(engine, frames=frames)
    said = write(engine, [asked], temperature=0.0, max_tokens=24)[0]
    model = policy.backbone.eval()
    record = Trajectory(
        task=Task(id="t", clips=(Clip(id="v"),), question="?"),
        prompt=asked.messages,
        prompt_ids=list(asked.ids),
    )
    inputs = trajectory_inputs(record, engine.policy, pixels)
    ids = inputs.ids[None]
    seen = {
        "pixel_values": inputs.pixel_values,
        "image_grid_thw": inputs.grid,
        "mm_token_type_ids": (ids == engine.renderer.image_token_id).int(),
    }
    theirs = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        **(seen if frames else {}),
        suppress_tokens=list(engine.renderer.banned_ids),
        eos_token_id=list(engine.renderer.end_ids),
        max_new_tokens=24,
        do_sample=False,
    )
    assert theirs[0, ids.shape[1] :].tolist() == list(said.token_ids)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.0])
def test_the_trainer_finds_the_engine_s_logprobs_over_turns_and_frames(tiny_folder, attention, temperature):
    policy = load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32", attention=attention))
    engine = TransformersEngine(policy, max_batch=4)
    records = episodes(engine, range(6), temperature=temperature, max_tokens=20)
    for record in records:
        inputs = trajectory_inputs(record, engine.policy, pixels)
        with torch.no_grad():
            ours = token_logprobs(
                policy.model,
                lay_out([inputs]),
                temperature=temperature,
                banned_ids=engine.renderer.banned_ids,
            )
        sampled = torch.tensor([value for turn in record.turns for value in turn.logprobs])
        assert len(record.turns) == 3 and len(record.frames) == 4 + int(record.task.id[1:]) % 3
        assert (ours.logprobs - sampled).abs().max() < 1e-4
    engine.close()


def test_the_same_seed_writes_the_same_bytes_however_long_the_tools_take(engine):
    quick = episodes(engine, range(5), max_tokens=16)
    slow = episodes(engine, reversed(range(5)), max_tokens=16, pause=0.01)
    assert quick == slow[::-1]
    other = write(engine, [context(engine, 0)], seed=1, max_tokens=16)
    assert other[0].token_ids != quick[0].turns[0].token_ids


def test_alone_or_in_company_a_turn_has_the_same_tokens_and_nearly_the_same_logprobs(engine):
    contexts = [context(engine, place, frames=place % 3, words=1 + 3 * place) for place in range(5)]
    together = write(engine, contexts, max_tokens=16)
    for i, asked in enumerate(contexts):
        alone = write(engine, [asked], seed=i, max_tokens=16)[0]
        assert alone.token_ids == together[i].token_ids
        assert np.allclose(alone.logprobs, together[i].logprobs, atol=1e-4)


def test_a_conversation_that_many_go_on_from_is_read_once(engine, monkeypatch):
    """Four attempts at one question, two at the same words about other frames, one longer: three are read."""
    contexts = [context(engine, place, frames=2, words=2) for place in (0, 0, 1, 0, 1, 0)]
    contexts.insert(2, context(engine, 0, frames=1, words=30))
    read, forward = [], generate._Batch._forward

    def counted(batch, ids, *rest):
        read.append(tuple(ids.shape))
        return forward(batch, ids, *rest)

    monkeypatch.setattr(generate._Batch, "_forward", counted)
    together = write(engine, contexts, max_tokens=12)
    assert read[0][0] == 3 and read[1] == (7, 1)
    alone = [write(engine, [one], seed=i, max_tokens=12)[0] for i, one in enumerate(contexts)]
    assert [one.token_ids for one in together] == [one.token_ids for one in alone]
    assert len({one.token_ids for one in together}) > 4  # each has dice of its own
    assert all(np.allclose(a.logprobs, b.logprobs, atol=1e-4) for a, b in zip(together, alone, strict=True))


def test_with_a_batch_of_one_neighbours_change_not_one_bit(policy):
    engine = TransformersEngine(policy, max_batch=1)
    contexts = [context(engine, place, frames=1, words=1 + place) for place in range(4)]
    together = write(engine, contexts, max_tokens=12)
    assert together == [write(engine, [c], seed=i, max_tokens=12)[0] for i, c in enumerate(contexts)]
    engine.close()


def test_banned_tokens_are_never_drawn_and_draws_follow_the_probabilities(policy, engine):
    said = write(engine, [context(engine, place) for place in range(48)], max_tokens=64, temperature=3.0)
    drawn = [token for utterance in said for token in utterance.token_ids]
    assert len(drawn) > 2000 and not set(drawn) & set(engine.renderer.banned_ids)
    mean = -np.mean([value for utterance in said for value in utterance.logprobs])
    assert 4.0 < mean < np.log(policy.backbone.config.text_config.vocab_size)  # near uniform at temperature 3


def test_first_tokens_come_as_often_as_the_model_says(policy, engine):
    asked = context(engine)
    said = write(engine, [asked] * 2000, max_tokens=1)
    counts = np.bincount([u.token_ids[0] for u in said], minlength=576) / len(said)
    with torch.no_grad():
        logits = policy.backbone.eval()(input_ids=torch.tensor([asked.ids])).logits[0, -1]
    logits[list(engine.renderer.banned_ids)] = -torch.inf
    assert np.abs(counts - logits.softmax(0).numpy()).max() < 0.04


def test_a_turn_ends_with_its_end_token_or_is_cut(policy, engine, monkeypatch):
    cut = write(engine, [context(engine)], max_tokens=5, temperature=0.0)[0]
    assert cut.cut and len(cut.token_ids) == 5
    monkeypatch.setattr(engine.renderer, "end_ids", (cut.token_ids[2],))
    ended = write(engine, [context(engine)], max_tokens=5, temperature=0.0)[0]
    assert not ended.cut and ended.token_ids == cut.token_ids[: cut.token_ids.index(cut.token_ids[2]) + 1]


def test_who_has_ended_goes_on_while_the_others_write(engine):
    done = []

    async def one(place, tokens):
        with engine.seat():
            await asyncio.sleep(0)
            await engine.write(context(engine, place), Sampling(max_tokens=tokens))
            done.append((place, time.perf_counter()))

    async def both():
        await asyncio.gather(one(0, 400), one(1, 2))

    asyncio.run(both())
    assert [place for place, _ in done] == [1, 0]


def test_a_conversation_that_is_too_long_is_a_fault_of_ours(policy, engine, monkeypatch):
    asked = context(engine)
    size = len(asked.ids)
    monkeypatch.setattr(type(policy), "max_positions", size)
    with pytest.raises(EngineFault, match=f"{size} tokens; this model takes 1 to {size - 1}"):
        write(engine, [asked])
    monkeypatch.setattr(type(policy), "max_positions", size + 3)
    said = write(engine, [asked], max_tokens=500, temperature=0.0)[0]
    assert said.cut and len(said.token_ids) == 3


def test_what_breaks_in_the_thread_reaches_everybody_and_the_engine_lives_on(policy, engine, monkeypatch):
    before = write(engine, [context(engine)], max_tokens=4)

    def broken(*_, **__):
        raise RuntimeError("the head is broken")

    async def everyone():
        asked = [engine.write(context(engine, i), Sampling(max_tokens=4)) for i in range(3)]
        return await asyncio.gather(*asked, return_exceptions=True)

    with monkeypatch.context() as patched:
        patched.setattr(policy.backbone.lm_head, "forward", broken)
        outcomes = asyncio.run(asyncio.wait_for(everyone(), 30))
    assert [str(outcome) for outcome in outcomes] == ["the head is broken"] * 3
    assert write(engine, [context(engine)], max_tokens=4) == before


def test_a_frame_that_can_not_be_read_stops_its_own_trajectory_only(engine):
    def unreadable(frame):
        raise EngineFault("no such frame")

    async def one(asked):
        with engine.seat():
            await asyncio.sleep(0)
            return await engine.write(asked, Sampling(max_tokens=4))

    async def both():
        bad, good = context(engine, 0, frames=1, read=unreadable), context(engine, 1, frames=1)
        return await asyncio.gather(one(bad), one(good), return_exceptions=True)

    outcomes = asyncio.run(asyncio.wait_for(both(), 30))
    assert isinstance(outcomes[0], EngineFault) and len(outcomes[1].token_ids) == 4


def test_a_cancelled_worker_holds_nobody_up(engine):
    async def one(place, tokens):
        with engine.seat():
            await asyncio.sleep(0)
            return await engine.write(context(engine, place), Sampling(max_tokens=tokens))

    async def run():
        waiting = asyncio.create_task(engine.write(context(engine, 9), Sampling(max_tokens=3)))
        writing = asyncio.create_task(one(0, 20000))
        await asyncio.sleep(0.3)
        writing.cancel()
        return await waiting, await one(1, 4)

    waited, after = asyncio.run(asyncio.wait_for(run(), 30))
    assert len(waited.token_ids) == 3 and len(after.token_ids) == 4


def test_an_adapter_in_training_mode_writes_without_dropout_and_stays_in_training_mode(tiny_folder):
    policy = load_policy(PolicyConfig(path=str(tiny_folder), lora=Lora(rank=4, dropout=0.5)))
    for name, weight in policy.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    engine = TransformersEngine(policy)
    policy.model.train()
    first, second = (write(engine, [context(engine)], max_tokens=16) for _ in range(2))
    assert first == second and policy.model.training
    record = episodes(engine, [1], turns=2, max_tokens=16)[0]
    policy.model.eval()
    with torch.no_grad():
        ours = token_logprobs(
            policy.model,
            lay_out([trajectory_inputs(record, engine.policy, pixels)]),
            banned_ids=engine.renderer.banned_ids,
        )
    sampled = torch.tensor([value for turn in record.turns for value in turn.logprobs])
    assert (ours.logprobs - sampled).abs().max() < 1e-4
    engine.close()


def test_a_batch_is_parted_by_length_so_that_one_long_conversation_pads_no_short_one(policy):
    engine = TransformersEngine(policy, max_batch=3, batch_tokens=100)

    class Waiting:
        def __init__(self, place, tokens):
            self.place, self.draft = place, type("Draft", (), {"ids": [0] * tokens})

    batch = [Waiting(place, tokens) for place, tokens in enumerate((90, 20, 20, 30, 200, 20))]
    parts = [[waiter.place for waiter in part] for part in engine._parts(batch)]
    assert parts == [[1, 2, 5], [3], [0], [4]]  # 3 x 20; 30 and 90 do not fit in 100 together; 200 goes alone
    engine.close()
