"""The engine of a command: the options that `eva ask` and `eva collect` share, made into an agent.

Also the server that other commands ask. Runs nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from eva_lightning.agent.config import AgentConfig
from eva_lightning.agent.rollout import Agent
from eva_lightning.agent.worlds.base import World
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.engines.base import Engine
from eva_lightning.faults import UsageError
from eva_lightning.video.frame_store import FrameStore

if TYPE_CHECKING:
    from eva_lightning.engines.server_engine import ServerEngine

DecoderChoice = Literal["auto", "pyav", "cpu", "cuda"]
"""Which video decoder to use; auto takes the GPU where there is one."""


Here = Literal["transformers", "vllm"]
"""Who writes with a checkpoint in this process: transformers, or vLLM, which is faster with many at once."""


ToolRole = Literal["tool", "user"]
"""How tool messages are sent to a server: OpenAI's own wants them as the user's."""


def want_one(model: str | None, server: str | None) -> None:
    """UsageError unless either a checkpoint or a server is named."""
    if (model is None) == (server is None):
        raise UsageError("say who answers: --model FOLDER|HUB_ID to run it here, or --server URL")


def choose_engine(
    model: str | None,
    server: str | None,
    served_name: str | None,
    here: Here,
    *,
    tool_role: ToolRole = "tool",
    concurrency: int = 16,
) -> Engine:
    """A checkpoint that runs here, or a server; UsageError unless exactly one of them is named."""
    want_one(model, server)
    if server is not None:
        return served(server, served_name, tool_role=tool_role, concurrency=concurrency)
    from eva_lightning.device import own_card
    from eva_lightning.engines.transformers_engine import TransformersEngine
    from eva_lightning.policy.loading import PolicyConfig, load_policy

    policy = load_policy(PolicyConfig(path=str(model)))
    if here == "transformers":
        policy.model.to(own_card())
        return TransformersEngine(policy)
    from eva_lightning.engines.vllm.engine import VLLMEngine

    return VLLMEngine(policy)


def served(
    server: str, name: str | None, *, tool_role: ToolRole = "tool", concurrency: int = 16
) -> ServerEngine:
    """A model behind an OpenAI-compatible server, which is sent OPENAI_API_KEY if that is set.

    To another machine over https:// alone, unless EVA_KEY_OVER_HTTP=1.
    """
    from eva_lightning.engines.server_engine import ServerEngine

    return ServerEngine(
        server, name, key_variable="OPENAI_API_KEY", concurrency=concurrency, tool_role=tool_role
    )


def name_on(server: str) -> str:
    """The model that a server names first. Its address is no setting: the same model may move."""
    engine = served(server, None)
    try:
        return engine.model_name()
    finally:
        engine.close()


def make_world(config: AgentConfig, decoder: DecoderChoice) -> World:
    """The world of an agent; where its config names none it is video files, read by this decoder."""
    return config.world or VideoWorld(FrameStore(device=decoder))


def make_agent(config: AgentConfig, engine: Engine, decoder: DecoderChoice) -> Agent:
    """The agent of a config, in that world."""
    return replace(config, world=make_world(config, decoder)).agent(engine)
