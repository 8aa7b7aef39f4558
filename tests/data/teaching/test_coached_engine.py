"""A teacher reads a briefing and objections; the trajectory it leaves knows nothing of them."""

import asyncio

import pytest

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.rollout import Agent, Limits, jobs_for, rollout
from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.data.teaching.audits import Auditor, AuditRules
from eva_lightning.data.teaching.bank import ExperienceBank
from eva_lightning.data.teaching.coach import Coach
from eva_lightning.data.teaching.coached_engine import CoachedEngine
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.policy.renderer import Renderer
from eva_lightning.records import Clip
from tests.making import StillWorld, task, trajectory

DIALECT, LIMITS = EvaDialect(), Limits()
GREEDY = DIALECT.call("frame_select", start_time=0, end_time=4, nframes=9, resize=0.2)
GOOD = DIALECT.call("frame_select", start_time=0, end_time=4, nframes=3, resize=0.2)
ANSWER = DIALECT.reply("B")


@pytest.fixture(scope="module")
def renderer(tiny_folder):
    return Renderer.from_pretrained(tiny_folder)


class Teacher:
    """Says `turns`, one for each time it is asked, and remembers what it was asked."""

    def __init__(self, *turns):
        self.turns, self.asked, self.ids = turns, [], []

    def __call__(self, context):
        self.asked.append(context.messages)
        self.ids.append(context.ids)
        return self.turns[len(self.asked) - 1]


def jobs(count=1, seed=0):
    clips = (Clip(id="v", path="v.mp4"),)
    return jobs_for([task(id="new", clips=clips)], replicas=count, seed=seed)


def coach(made=None, kinds=("workflow",), bank=()):
    return Coach(made or jobs(), DIALECT, [FrameSelect()], LIMITS, kinds=kinds, bank=ExperienceBank(bank))


def taught(teacher, renderer=None, coach=None, audits=True, **settings):
    """The trajectory of a teacher with a coach, an auditor, or both."""
    world, made = StillWorld(), jobs()
    auditor = Auditor(AuditRules(), DIALECT, world.describe) if audits else None
    engine = CoachedEngine(
        ScriptedEngine(teacher, renderer), [job.task for job in made], coach, auditor, **settings
    )
    agent = Agent(engine=engine, dialect=DIALECT, tools=[FrameSelect()], world=world, limits=LIMITS)
    (one,) = asyncio.run(rollout(made, agent))
    return one


def plain(renderer=None):
    """What the same words leave behind where nobody is briefed."""
    agent = Agent(
        engine=ScriptedEngine(Teacher(GOOD, ANSWER), renderer),
        dialect=DIALECT,
        tools=[FrameSelect()],
        world=StillWorld(),
        limits=LIMITS,
    )
    (one,) = asyncio.run(rollout(jobs(), agent))
    return one


def test_the_briefing_is_read_in_every_turn_and_written_in_none():
    teacher = Teacher(GOOD, ANSWER)
    assert taught(teacher, coach=coach()) == plain()
    first, second = teacher.asked
    system = first[0].text
    assert system.startswith("Use Frame Select Tool to Anlysis the video")
    assert DIALECT.call("frame_select", start_time=30, end_time=60, nframes=6, resize=0.5) in system
    assert "at most 12000" in system and "write 6 messages at most" in system
    assert system.count("Briefing, for this question: ") == 1
    assert second[0] == first[0] and [message.role for message in second[1:]] == ["user", "assistant", "tool"]


def test_a_call_that_was_objected_to_was_never_made():
    causes = []
    teacher = Teacher("I want it all. " + GREEDY, GOOD, ANSWER)
    assert taught(teacher, on_objection=causes.append) == plain()
    assert causes == ["dense"]
    again = teacher.asked[1]
    assert [message.role for message in again[-2:]] == ["assistant", "user"]
    assert again[-1].text.startswith(
        "The auditor objects: 9 frames of 0 to 4 seconds are more than 1 a second"
    )
    assert all("auditor" not in message.text for message in teacher.asked[2])


def test_what_a_teacher_insists_on_is_let_through_in_the_end():
    one = taught(Teacher(GREEDY, GREEDY, GREEDY, ANSWER), patience=2)
    assert [len(turn.calls) for turn in one.turns] == [1, 0] and len(one.frames) == 9


def test_a_message_that_the_limit_cut_is_not_objected_to(renderer):
    teacher = Teacher("word " * 3000)
    assert taught(teacher, renderer).stop in ("turn_cut", "token_limit") and len(teacher.asked) == 1


def test_ids_are_those_a_policy_will_read_without_briefing_and_objection(renderer):
    teacher = Teacher(GREEDY, GOOD, ANSWER)
    one = taught(teacher, renderer, coach())
    assert one == plain(renderer)
    assert one.prompt_ids == renderer.opening(one.prompt)
    assert [renderer.decode(turn.token_ids) for turn in one.turns] == [GOOD, ANSWER]
    for messages, ids in zip(teacher.asked, teacher.ids, strict=True):  # what it read itself, word for word
        assert list(ids) == renderer.opening(messages)


def test_the_dice_of_a_trajectory_choose_its_hint():
    made = jobs(60)

    def hints(seed):
        asked = coach(jobs(60, seed), ("workflow", "reflection", "format"))
        return [asked.opening(place, ())[0].text.rpartition("Briefing, for this")[2] for place in range(60)]

    assert hints(0) == hints(0) != hints(1)
    asked = coach(made, ("workflow", "reflection", "format"))
    asked.opening(7, ())
    one = trajectory(task=made[7].task, replica=7)
    assert asked.hint(one) in ("workflow", "reflection", "format")
    assert asked.hint(trajectory(task=made[8].task, replica=8)) == ""  # nobody was told anything yet
    drawn = []
    for place in range(60):
        asked.opening(place, ())
        drawn.append(asked.hint(trajectory(task=made[place].task, replica=place)))
    assert all(drawn.count(kind) >= 10 for kind in ("workflow", "reflection", "format"))


def test_an_experience_is_of_another_task_and_another_clip_and_a_workflow_stands_in_for_it():
    other = trajectory(task=task(id="old", clips=(Clip(id="w", path="w.mp4"),)))
    told = coach(kinds=("experience",), bank=[other])
    system = told.opening(0, ())[0].text
    assert "Question: What colour?" in system and "(2 frames were shown, at 0.0, 1.0 seconds)" in system
    assert told.hint(trajectory(task=task(id="new"))) == "experience"
    same = trajectory(task=task(id="old", clips=(Clip(id="w", path="v.mp4"),)))
    alone = coach(kinds=("experience",), bank=[same])
    assert "Question: What colour?" not in alone.opening(0, ())[0].text
    assert alone.hint(trajectory(task=task(id="new"))) == "workflow"


def test_a_question_about_several_clips_says_how_to_name_one():
    clips = (Clip(id="left", path="a.mp4"), Clip(id="right", path="b.mp4"))
    system = coach(jobs_for([task(clips=clips)])).opening(0, ())[0].text
    assert '"video": "left"' in system and "- video: which one, out of left, right." in system
