"""Every dialect is written as the checkpoint's own template writes it: opening, turns, what follows them."""

import asyncio

import pytest
from transformers import AutoTokenizer

from eva_lightning.agent import Agent, Dialect, Limits, Overview, jobs_for, rollout
from eva_lightning.agent.dialects.react import ReActDialect
from eva_lightning.agent.small_talk import agent_text
from eva_lightning.agent.tools.clip_frames import ClipFrames
from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.agent.tools.listen import Listen
from eva_lightning.agent.tools.observe import Observe
from eva_lightning.agent.worlds.script import ClipScript, ScriptEvent
from eva_lightning.agent.worlds.script_world import ScriptWorld
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.policy.renderer import Renderer
from eva_lightning.policy.tiny import build_tiny
from tests.agent.test_manuals import below
from tests.making import StillWorld, task
from tests.policy.conversations import plain
from tests.policy.test_renderer import RESPONSES, STOCK


@pytest.mark.parametrize("template", [None, STOCK, RESPONSES], ids=["tiny", "stock", "responses"])
@pytest.mark.parametrize("dialect", below(Dialect))
def test_a_trajectory_is_the_template_s_own_word_on_it(dialect, template, tiny_folder):
    tokenizer, speech, tools = (
        AutoTokenizer.from_pretrained(tiny_folder),
        dialect(),
        [FrameSelect(), ClipFrames()],
    )
    said = [speech.call(tool.name, **tool.example(("v",))) for tool in tools]
    said = [f"{said[0]}", f"{said[0]}{said[1]}", "Hm. <tool_call>{</tool_call>", speech.reply("B")]
    renderer = Renderer(tokenizer, template=template, image_token="<|image_pad|>")
    agent = Agent(
        engine=ScriptedEngine(
            lambda context: said[sum(one.role == "assistant" for one in context.messages)], renderer
        ),
        dialect=speech,
        tools=tools,
        world=StillWorld(duration=100.0),
        overview=Overview(frames=3, frame_tokens=4),
        limits=Limits(total_tokens=32_768),
    )
    (made,) = asyncio.run(rollout(jobs_for([task()]), agent))
    assert len(made.frames) > 8 and made.rounds >= 3
    text = tokenizer.apply_chat_template(
        plain(made.messages), chat_template=renderer._template, tokenize=False, add_generation_prompt=False
    )
    newline = tokenizer("\n")[
        "input_ids"
    ]  # the template ends with one; a trajectory ends with its last token
    assert made.token_ids + newline == tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("thinks", [False, True])
def test_a_rehearsal_in_words_is_the_word_of_a_template_that_keeps_the_thoughts_of_a_task(thinks, tmp_path):
    """Up to where the last turn begins: there Qwen3's template puts an empty thought if there is none."""
    build_tiny(tmp_path, corpus=agent_text(), family="qwen3")
    renderer, speech, tools = Renderer.from_pretrained(tmp_path), ReActDialect(), [Observe(), Listen()]
    said = [speech.thinking("I look.", speech.call(tool.name, **tool.example(("v",)))) for tool in tools]
    said = [said[0], "I only talk.", said[1], speech.thinking("So it is.", speech.reply("B"))]
    said = [f"<think>\nHm.\n</think>\n\n{turn}" for turn in said] if thinks else said
    kettle = ScriptEvent(start=0, end=60, see="a kettle is filled", hear="two cups, please")
    agent = Agent(
        engine=ScriptedEngine(
            lambda context: said[sum(one.role == "assistant" for one in context.messages)], renderer
        ),
        dialect=speech,
        tools=tools,
        world=ScriptWorld.of([ClipScript(clip="v", duration=100, events=(kettle,))]),
        limits=Limits(turn_tokens=500),
    )
    (made,) = asyncio.run(rollout(jobs_for([task()]), agent))
    assert (made.stop, made.rounds, made.answer) == ("answered", 4, "B")
    assert "two cups, please" in made.messages[-2].text and made.turns[1].observation.error
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    text = tokenizer.apply_chat_template(
        plain(made.messages[:-1]), tokenize=False, add_generation_prompt=True
    )
    ids = made.token_ids[: -len(made.turns[-1].token_ids)]
    assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert renderer.decode(made.token_ids).count("</think>") == (4 if thinks else 0)
