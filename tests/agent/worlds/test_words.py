"""A world of words: no file, no picture, and an agent that finds its answer there all the same."""

import asyncio
from dataclasses import replace

import pytest

from eva_lightning.agent.config import AgentConfig
from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.overview import Overview
from eva_lightning.agent.rollout import Agent, Job, Limits, rollout
from eva_lightning.agent.tools.base import Findings, Tool
from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.agent.worlds.base import ClipFacts, Glimpse, Look, World
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.faults import Fault, UsageError
from eva_lightning.policy.renderer import Renderer
from eva_lightning.records import Clip, Span
from tests.making import StillWorld, frame, task

DIALECT = EvaDialect()
EVENTS = {"left": ("a pan is oiled", "an egg is broken"), "right": ("rice is rinsed", "a lid is put on")}
CLIPS = tuple(Clip(id=name, path="") for name in EVENTS)
"""Every event takes ten seconds."""


class Told(World):
    """Clips of twenty seconds, of which it knows only what can be said."""

    has_pictures = False

    def describe(self, clip):
        return ClipFacts(duration=20.0)

    async def look(self, clip, times, height, width):
        return [Glimpse(time=time, content=EVENTS[clip.id][int(time // 10)]) for time in times]

    async def tell(self, looks, focus):
        said = [
            f"{look.clip.id} at {at:g} s: {await self._at(look, at)}" for look in looks for at in look.times
        ]
        return "\n".join([f"about {focus}:", *said])

    async def _at(self, look, time):
        (glimpse,) = await self.look(look.clip, [time], look.height, look.width)
        return glimpse.content


class Watch(Tool):
    """A moment of each clip that is named, told with a question in mind."""

    name = "observe"

    def manual(self, clips):
        return "- clips: which ones; second: when; focus: what to heed."

    def example(self, clips):
        return {"clips": list(clips), "second": 5, "focus": "hands"}

    async def run(self, call, clips, world, room):
        asked, second = call.arguments["clips"], call.arguments["second"]
        looks = [Look(clip=clip, times=(second,)) for clip in clips if clip.id in asked]
        spans = tuple(Span(clip=look.clip.id, start=second, end=second) for look in looks)
        told = await world.tell(looks, call.arguments["focus"])
        return Findings(text=told, spans=spans, elsewhere=sum(look.visual_tokens for look in looks))


class Roomy(Watch):
    """The same; it notes the room that each call had."""

    def __init__(self):
        self.rooms = []

    async def run(self, call, clips, world, room):
        self.rooms.append(room)
        return await super().run(call, clips, world, room)


def call(second=15, clips=("left", "right")):
    return DIALECT.call("observe", clips=list(clips), second=second, focus="food")


def run(*turns, tool=None, renderer=None, world=None):
    def author(context):
        return turns[sum(message.role == "assistant" for message in context.messages)]

    agent = Agent(
        engine=ScriptedEngine(author, renderer),
        dialect=DIALECT,
        tools=[tool or Watch()],
        world=world or Told(),
    )
    question = task(clips=CLIPS, question="What follows?", options=("an egg", "a lid"), value="A")
    (one,) = asyncio.run(rollout([Job(task=question)], agent))
    return one


def test_an_agent_reads_what_it_can_not_see_and_answers():
    one = run(call(), DIALECT.reply("A"))
    assert (one.stop, one.answer, one.faults) == ("answered", "A", [])
    assert (
        "about food:\nleft at 15 s: an egg is broken\nright at 15 s: a lid is put on" in one.messages[3].text
    )
    assert one.looked and one.frames == () and one.visual_tokens == 0
    assert one.perceived == (Span(clip="left", start=15, end=15), Span(clip="right", start=15, end=15))
    opening = one.prompt[1].text
    assert "left: Video Length: 19 seconds. right: Video Length: 19 seconds. What follows?" in opening
    assert "resolution" not in opening


def test_its_ids_hold_no_image(tiny_folder):
    renderer = Renderer.from_pretrained(tiny_folder)
    one = run(call(), DIALECT.reply("A"), renderer=renderer)
    assert renderer.image_token_id not in one.token_ids
    assert one.ledger.total == len(one.token_ids) and one.ledger.visual == 0


def test_words_take_room_from_the_next_call_of_a_turn():
    tool = Roomy()
    run(call() + call(second=5), DIALECT.reply("A"), tool=tool)
    told = "about food:\nleft at 15 s: an egg is broken\nright at 15 s: a lid is put on"
    assert tool.rooms[0] - tool.rooms[1] == len(told) // 4 == 18


def test_words_in_the_place_of_frames_cost_what_words_cost():
    class Described(StillWorld):
        async def look(self, clip, times, height, width):
            return [Glimpse(time=time, content="a red circle on white") for time in times]

    async def found():
        (asked,) = DIALECT.parse(
            DIALECT.call("frame_select", start_time=0, end_time=9, nframes=4, resize=1)
        ).calls
        return await FrameSelect().run(asked, task().clips, Described(), 9999)

    assert len(asyncio.run(found()).glimpses) == 4 and asyncio.run(found()).tokens == 0


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"tools": [FrameSelect()]}, "the tool frame_select fetches frames, and Told has no pictures"),
        ({}, "the tool frame_select fetches frames, and Told has no pictures"),
        (
            {"tools": [Watch()], "overview": Overview()},
            "an overview shows frames, and Told has no pictures",
        ),
    ],
)
def test_an_agent_that_wants_frames_is_refused_before_it_begins(parts, said):
    with pytest.raises(UsageError, match=said):
        AgentConfig(world=Told(), **parts).agent(ScriptedEngine(lambda context: ""))


def test_a_clip_without_pictures_among_others_is_told_to_the_model():
    class Mixed(StillWorld):
        def describe(self, clip):
            facts = super().describe(clip)
            return replace(facts, height=None, width=None, fps=None) if clip.id == "left" else facts

    tool, shown = FrameSelect(), Overview(frames=2)
    agent = Agent(
        engine=ScriptedEngine(
            lambda context: (
                DIALECT.call("frame_select", video="left", start_time=0, end_time=5, nframes=2, resize=1)
                if len(context.messages) == 2
                else DIALECT.reply("A")
            )
        ),
        dialect=DIALECT,
        tools=[tool],
        world=Mixed(),
        overview=shown,
        limits=Limits(),
    )
    (one,) = asyncio.run(rollout([Job(task=task(clips=CLIPS))], agent))
    assert one.stop == "answered" and {one.clip for one in one.frames} == {"right"}
    assert one.turns[0].observation.error == "'left' has no pictures, so there are no frames to fetch"


def test_what_another_model_reads_for_the_agent_is_counted_beside_its_conversation():
    class Described(StillWorld):
        async def tell(self, looks, focus):
            return "two pans"

    class Sized(Watch):
        async def run(self, call, clips, world, room):
            looks = [Look(clip=clip, times=(1.0, 2.0), height=56, width=84) for clip in clips]
            told = await world.tell(looks, "pans")
            return Findings(text=told, elsewhere=sum(look.visual_tokens for look in looks))

    one = run(call() + call(), DIALECT.reply("A"), tool=Sized(), world=Described())
    assert (one.elsewhere, one.visual_tokens) == (2 * 2 * 2 * 6, 0)  # calls, clips, frames, squares
    assert run(call(), DIALECT.reply("A")).elsewhere == 0  # nobody looks in a world of words


def test_what_a_world_does_not_have_is_a_fault_that_says_so():
    world = Told()
    with pytest.raises(Fault, match="Told has no pictures"):
        world.reader(CLIPS)(frame(clip="left"))
    with pytest.raises(Fault, match="Told has no sound"):
        asyncio.run(world.listen(CLIPS[0], 0, 1))
    with pytest.raises(Fault, match="StillWorld has no words"):
        asyncio.run(StillWorld().tell([], "hands"))
