"""What only a GPU can show: NVDEC fetches the frames PyAV fetches, and bfloat16 agrees with float32."""

import numpy as np
import pytest
import torch

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    from eva_lightning.data.synthesis.render import render
    from eva_lightning.data.synthesis.script import ScriptSettings, write_script

    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    render(write_script(0, ScriptSettings(duration=(60, 60))), path)
    return str(path)


def test_nvdec_fetches_the_same_frames_as_pyav(clip):
    from eva_lightning.video.opening import open_decoder

    times = [0.0, 7.3, 31.0, 59.9]
    with open_decoder(clip, "pyav") as ours, open_decoder(clip, "cuda") as theirs:
        here, there = ours.frames(times, 224, 224), theirs.frames(times, 224, 224)
    assert [frame.time for frame in here] == [frame.time for frame in there]
    for one, other in zip(here, there, strict=True):
        # Not bit-equal: another decoder, another resize. Close enough for the same picture.
        assert np.abs(one.pixels.astype(int) - other.pixels.astype(int)).mean() < 4


def test_auto_takes_the_gpu_where_there_is_one(clip):
    from eva_lightning.video.opening import open_decoder

    with open_decoder(clip, "auto") as decoder:
        assert type(decoder).__name__ == "TorchcodecDecoder"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_engine_and_the_trainer_agree_on_the_gpu(tiny_folder, clip, dtype):
    import asyncio

    from eva_lightning.agent.dialects.eva import EvaDialect
    from eva_lightning.agent.rollout import Agent, Limits, jobs_for, rollout
    from eva_lightning.agent.tools.frame_select import FrameSelect
    from eva_lightning.agent.worlds.video_world import VideoWorld
    from eva_lightning.engines.transformers_engine import TransformersEngine
    from eva_lightning.policy.inputs import lay_out, trajectory_inputs
    from eva_lightning.policy.loading import PolicyConfig, load_policy
    from eva_lightning.policy.logprobs import token_logprobs
    from eva_lightning.records import Clip, Task

    policy = load_policy(PolicyConfig(path=str(tiny_folder), dtype=dtype))
    policy.model.cuda()
    world = VideoWorld()
    agent = Agent(
        engine=TransformersEngine(policy),
        dialect=EvaDialect(),
        tools=[FrameSelect()],
        world=world,
        limits=Limits(turns=2, turn_tokens=32),
    )
    task = Task(id="t", clips=(Clip(id="v", path=clip),), question="What is shown?")
    made = asyncio.run(rollout(jobs_for([task], replicas=8), agent))
    renderer = policy.renderer
    for one in made:
        inputs = trajectory_inputs(one, policy, lambda frame: world.pixels(task.clips[0], frame))
        batch = lay_out([inputs]).to("cuda")
        ours = token_logprobs(policy.model, batch, banned_ids=renderer.banned_ids).logprobs
        theirs = torch.tensor([lp for turn in one.turns for lp in turn.logprobs], device="cuda")
        assert (ours - theirs).abs().max() < (1e-4 if dtype == "float32" else 0.2)


def test_one_call_for_all_trajectories_is_one_call_for_each():
    """Flash attention within borders, forwards and backwards, four heads that share two keys."""
    from types import SimpleNamespace

    from eva_lightning.policy.attention import attention

    torch.manual_seed(0)
    borders = torch.tensor([0, 300, 1000, 1064, 1128, 1129], dtype=torch.int32, device="cuda")
    for causal in (True, False):
        module = SimpleNamespace(is_causal=causal, num_key_value_groups=2)
        states = [torch.randn(1, heads, 1129, 64, device="cuda") for heads in (4, 2, 2)]
        found = []
        for dtype in (torch.bfloat16, torch.float32):
            mine = [one.to(dtype).requires_grad_() for one in states]
            seen, _ = attention(module, *mine, None, cu_seq_lens_q=borders, max_length_q=700)
            seen.float().square().sum().backward()
            found.append([seen.detach(), *(one.grad for one in mine)])
        for half, whole in zip(*found, strict=True):
            assert half.dtype == torch.bfloat16
            assert (half.float() - whole).abs().max() < 0.02 * whole.abs().max()
