"""Videos told in words: an oracle's words are the script's, to the letter, and nobody is asked twice."""

import asyncio
import random

import av
import numpy as np
import pytest

from eva_lightning.agent import AgentConfig, jobs_for, rollout
from eva_lightning.agent.dialects.react import ReActDialect
from eva_lightning.agent.tools.listen import Listen
from eva_lightning.agent.tools.observe import Observe
from eva_lightning.agent.worlds.described import Described
from eva_lightning.agent.worlds.script_world import ScriptWorld, Sighting, told
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.data.synthesis.in_words import in_words
from eva_lightning.data.synthesis.render import render
from eva_lightning.data.synthesis.script import ScriptSettings, write_script
from eva_lightning.engines.base import Engine, Utterance
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.engines.transcriber import Recogniser, Speech
from eva_lightning.faults import EngineFault, Fault, ToolError, UsageError
from eva_lightning.records import Clip, ToolCall
from eva_lightning.video.frame_store import FrameStore
from tests.making import StillWorld, task

SETTINGS = ScriptSettings(duration=(20, 40), event=(4, 8))
SCRIPTS = [write_script(seed, SETTINGS) for seed in range(4)]
WORDS = {script.id: in_words(script) for script in SCRIPTS}


class Oracle(Engine):
    """Tells of each frame what its script says, by clip and second."""

    def __init__(self, begins=None, name="oracle"):
        self.begins, self.name, self.asked = begins or {}, name, []

    def model_name(self):
        return self.name

    async def write(self, context, sampling):
        self.asked.append(context)
        frames = context.messages[0].frames
        for frame in frames:
            context.pixels(frame)  # it can really be read
        return Utterance(text=told(self._sighting(frame) for frame in frames))

    def _sighting(self, frame):
        name, begin = self.begins.get(frame.clip, (frame.clip, 0.0))
        return Sighting(frame.clip, frame.time, WORDS[name].at(begin + frame.time).see)


class OracleEar(Recogniser):
    """Hears of each stretch what its script says."""

    def __init__(self, begins=None):
        self.begins, self.asked = begins or {}, 0

    def model_name(self):
        return "oracle"

    async def transcribe(self, recording):
        self.asked += 1
        name, begin = self.begins.get(recording.clip, (recording.clip, 0.0))
        start = begin + recording.start
        heard = WORDS[name].heard(start, begin + recording.end)
        return tuple(Speech(start=one.start - start, end=one.end - start, words=one.hear) for one in heard)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for script in SCRIPTS:
        render(script, folder / f"{script.id}.mp4")
    return folder


@pytest.fixture(scope="module")
def clips(folder):
    """Three whole videos, and the part of another from second 3.5 to second 17."""
    whole = [Clip(id=one.id, path=str(folder / f"{one.id}.mp4")) for one in SCRIPTS[:3]]
    return (*whole, Clip(id="part", path=str(folder / f"{SCRIPTS[3].id}.mp4"), begin=3.5, end=17.0))


BEGINS = {"part": (SCRIPTS[3].id, 3.5)}


def rehearsal():
    return ScriptWorld.of(WORDS.values(), fps=SETTINGS.fps, size=(112, 112))


def described(seer=None, hearer=None, **settings):
    store = FrameStore(coarse="never")  # the very frames, as a script has them
    return Described(
        VideoWorld(store), seer or Oracle(BEGINS), hearer or OracleEar(BEGINS), **({"side": 112} | settings)
    )


def random_call(dice, clips):
    """A call as a policy makes them, a few of them wrong."""

    def time():
        return dice.choice([round(dice.uniform(-3, 42), 2), dice.randrange(42), dice.randrange(210) / 5])

    def stretch():
        one, other = time(), time()
        return (min(one, other), max(one, other)) if dice.random() < 0.9 else (one, other)

    if dice.random() < 0.3:
        start, end = stretch()
        arguments = {"clip": dice.choice(clips).id, "start": start, "end": end}
        return ToolCall(name="listen", arguments=arguments, text="")
    targets = [
        {"clip": dice.choice(clips).id, "start": start, "end": end, "frames": dice.randrange(1, 9)}
        for start, end in (stretch() for _ in range(dice.randrange(1, 4)))
    ]
    if dice.random() < 0.2:
        del targets[0]["start"], targets[0]["end"]
    return ToolCall(name="observe", arguments={"targets": targets, "focus": "What is shown?"}, text="")


def outcome(call, clips, world):
    tool = {"observe": Observe(), "listen": Listen()}[call.name]
    try:
        return asyncio.run(tool.run(call, clips, world, 10_000))
    except ToolError as mistake:
        return str(mistake)


def test_500_calls_find_the_same_in_a_script_and_in_the_video_made_of_it(clips):
    dice, videos, words = random.Random(0), described(), rehearsal()
    calls = [random_call(dice, clips) for _ in range(500)]
    there = [outcome(call, clips, videos) for call in calls]
    here = [outcome(call, clips, words) for call in calls]
    videos.close()
    different = [call.arguments for call, a, b in zip(calls, there, here, strict=True) if a != b]
    assert different == []
    assert 10 < sum(isinstance(one, str) for one in here) < 200  # ranges that run backwards or lie outside
    assert sum(not isinstance(one, str) and one.elsewhere > 0 for one in here) > 200
    assert sum(not isinstance(one, str) and " s: " in one.text for one in here) > 250


def test_changing_the_world_changes_nothing_else_that_an_agent_says_or_reads(clips):
    dialect = ReActDialect()
    stretches = [{"clip": one.id, "start": 2, "end": 12, "frames": 4} for one in clips]
    said = [
        dialect.call("observe", targets=stretches, focus="Which shapes?"),
        dialect.call("listen", clip="part", start=0, end=13),
        dialect.call("observe", targets=[{"clip": "part", "start": 50, "end": 60}], focus="What then?"),
        dialect.reply("B"),
    ]

    def acted(world):
        engine = ScriptedEngine(lambda context: said[sum(m.role == "assistant" for m in context.messages)])
        agent = AgentConfig(dialect=dialect, tools=[Observe(), Listen()], world=world).agent(engine)
        (made,) = asyncio.run(rollout(jobs_for([task(clips=clips)]), agent))
        world.close()
        return made

    there, here = acted(described()), acted(rehearsal())
    assert there == here and here.stop == "answered"
    assert here.elsewhere == 4 * 4 * 16 and here.messages[5].text.count(" s: ") >= 1


def ask(world, clips, focus="Which colour?", start=0):
    targets = [{"clip": one.id, "start": start, "end": start + 8, "frames": 3} for one in clips]
    call = ToolCall(name="observe", arguments={"targets": targets, "focus": focus}, text="")
    return Observe().run(call, clips, world, 1000)


def test_the_seer_is_shown_named_frames_of_its_own_size_and_then_the_question(clips):
    seer = Oracle(BEGINS)
    asyncio.run(ask(described(seer, side=60), clips[:2]))
    (message,) = seer.asked[0].messages
    assert len(message.frames) == 6 and {(one.height, one.width) for one in message.frames} == {(56, 56)}
    names = [one.id for one in clips[:2]]
    assert f"\nFrame 3 of {names[1]} at 1.2 seconds: " in message.text
    assert "frames of 2 videos, each with its name and its second. Which colour?\n" in message.text


def test_the_same_question_to_the_same_frames_is_asked_once_even_of_many_at_a_time(clips):
    seer = Oracle(BEGINS)
    world = described(seer)

    async def many():
        return await asyncio.gather(*(ask(world, clips) for _ in range(8)))

    assert len({one.text for one in asyncio.run(many())}) == 1
    assert len(seer.asked) == 1 and world.asked.recalled == 7
    for changed in ({"focus": "Which shape?"}, {"start": 1}, {"clips": clips[:1]}):
        asyncio.run(ask(world, **({"clips": clips} | changed)))
    assert len(seer.asked) == 4


def test_a_file_keeps_what_was_told_and_heard_until_video_or_model_are_others(clips, folder, tmp_path):
    cache = str(tmp_path / "told.jsonl")

    def go(seer, hearer):
        world = described(seer, hearer, cache=cache)
        found = asyncio.run(ask(world, clips[:1]))
        sound = asyncio.run(world.listen(clips[0], 0, 30))
        world.close()
        return found.text, sound.text, len(seer.asked), hearer.asked

    first = go(Oracle(), OracleEar())
    assert first[2:] == (1, 1) and ("beep" in first[1] or "tone" in first[1])
    assert go(Oracle(), OracleEar()) == (*first[:2], 0, 0)
    assert go(Oracle(name="another"), OracleEar())[2:] == (1, 0)
    path = folder / f"{SCRIPTS[0].id}.mp4"
    path.write_bytes(path.read_bytes() + b"\0" * 8)
    assert go(Oracle(), OracleEar())[2:] == (1, 1)


def test_nothing_is_kept_of_a_model_whose_weights_may_change(clips):
    seer = Oracle(BEGINS, name=None)
    world = described(seer)
    for _ in range(2):
        asyncio.run(ask(world, clips))
    assert len(seer.asked) == 2


def test_a_model_that_is_silent_is_a_fault_and_is_asked_again(clips):
    class Dead(Oracle):
        async def write(self, context, sampling):
            if not self.asked:
                self.asked.append(context)
                await asyncio.sleep(60)
            return await super().write(context, sampling)

    world = described(Dead(BEGINS), timeout=0.05)
    with pytest.raises(EngineFault, match="Dead did not reply in 0.05 s"):
        asyncio.run(ask(world, clips))
    world.timeout = 60.0
    assert "on" in asyncio.run(ask(world, clips)).text


def test_thoughts_of_the_seer_stay_with_it(clips):
    world = described(ScriptedEngine(lambda context: "<think>hm</think>\n\nA red one. "))
    assert asyncio.run(ask(world, clips)).text == "A red one."
    world = described(ScriptedEngine(lambda context: " "))
    assert asyncio.run(ask(world, clips)).text == "(no words came back)"


def test_a_glimpse_is_a_description_of_its_frame(clips):
    glimpses = asyncio.run(described().look(clips[0], [1.0, 2.1], 28, 28))
    assert [one.time for one in glimpses] == [1.0, 2.0]
    assert glimpses[0].content == f"{clips[0].id}, 1.0 s: {WORDS[clips[0].id].at(1.0).see}"


def test_a_video_without_sound_says_nothing(silent):
    world = described()
    assert asyncio.run(world.listen(Clip(id="v", path=silent), 0, 1)).text == ""


@pytest.fixture
def silent(tmp_path):
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.height = stream.width = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 9, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return str(path)


def test_what_is_missing_is_said(clips):
    world = Described(VideoWorld(), Oracle())
    with pytest.raises(Fault, match="Described has no hearer; give one, or leave out the tools that listen"):
        asyncio.run(world.listen(clips[0], 0, 1))
    with pytest.raises(UsageError, match="ScriptWorld has no pictures to be told of"):
        Described(rehearsal(), Oracle())
    with pytest.raises(UsageError, match="side 0"):
        Described(StillWorld(), Oracle(), side=0)
