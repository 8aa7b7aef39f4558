"""A teacher over real HTTP and real clips: what it writes becomes a checked task, or a row with a cause."""

import json
import threading
import time
from collections import Counter

import pytest

from eva_lightning.agent.dialects.base import Parsed
from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.data.mining.causes import Failure
from eva_lightning.data.mining.harvest import harvest
from eva_lightning.data.mining.teacher_author import TeacherAuthor
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.engines.server_engine import ServerEngine
from eva_lightning.faults import UsageError
from eva_lightning.records import Answer, Clip
from tests.engines.test_server_engine import says, serving
from tests.making import task

EVA = EvaDialect()
SMALL = ScriptSettings(duration=(30, 30), height=112, width=112, fps=2)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A folder with one clip of half a minute."""
    return build_world(tmp_path_factory.mktemp("videos"), 1, SMALL).folder / "clips"


def failures(options=True):
    one = task() if options else task(kind="text", value="blue")
    return [Failure(task=one, cause="wrong", answer="C", watched="1 frame at 3.0 s")]


def row(question="Which ink?", answer="pink", start=1.0, end=4.0, **more):
    return {"question": question, "answer": answer, "start": start, "end": end, **more}


def choice(question="Which ink?", **more):
    return row(question, options=["pink", "grey", "black", "white"], **more)


class Script:
    """Writes `replies` one after the other; answers from frames as `seen` says, without any as `blind`."""

    def __init__(self, *replies, seen="pink", blind="who knows"):
        self.replies, self.seen, self.blind, self.asked = list(replies), seen, blind, []

    def __call__(self, messages):
        """The reply to messages as the server reads them: text and pictures of one message."""
        text, pictures = messages
        self.asked.append(text)
        if "failed at these questions" not in text:
            return self.seen if pictures else self.blind
        reply = self.replies.pop(0) if self.replies else "[]"
        return reply if isinstance(reply, str) else json.dumps(reply)

    def over_http(self, number, body):
        content = body["messages"][0]["content"]
        if isinstance(content, str):
            return says(self((content, 0)))
        text = "".join(part["text"] for part in content if part["type"] == "text")
        return says(self((text, sum(part["type"] == "image_url" for part in content))))

    def here(self, context):
        message = context.messages[0]
        for frame in message.frames:
            assert context.pixels(frame).shape == (frame.height, frame.width, 3)
        return self((message.text, len(message.frames)))


def mined(engine, videos, count=2, options=True, pool=(), tries=1, dialect=EVA, **settings):
    author = TeacherAuthor(engine, str(videos), **({"frames": 3, "concurrency": 1} | settings))
    seen = VideoWorld()
    author.settle(videos, seen, dialect)
    try:
        return harvest(author, failures(options), count, pool=pool, world=seen, seed=0, tries=tries)
    finally:
        author.close()
        seen.close()


def causes(found):
    return [one.cause for one in found.rejected]


def test_a_good_row_is_a_task_about_the_unseen_video_with_evidence_and_gold(videos):
    script = Script([choice("Which ink?"), choice("Which ink is it not?", answer="A")])
    with serving(script.over_http) as (url, asked):
        found = mined(ServerEngine(url), videos, per_reply=2)
    first, second = found.tasks
    assert causes(found) == [] and first.id != second.id
    assert (first.source, first.question) == ("", "Which ink?")
    assert list(map(str, first.evidence)) == ["1 to 4 s"]
    assert sorted(first.options) == ["black", "grey", "pink", "white"]
    for one in found.tasks:
        assert one.options[one.letters.index(one.answer.value)] == "pink"
    (path,) = videos.iterdir()
    assert first.clips == (Clip(id=path.stem, path=str(path.resolve())),)
    commission = asked[0][1]["messages"][0]["content"]
    assert sum(part["type"] == "image_url" for part in commission) == 3
    for said in (
        "What colour?",
        "Right answer: B",
        "The agent answered: C",
        "1 frame at 3.0 s",
        "Write 2 new",
    ):
        assert said in commission[0]["text"]
    assert len(asked) == 1 + 2 * 2  # a commission, and two short calls for each task


def test_open_failures_bring_open_questions_with_words_or_numbers(videos):
    script = Script([row("What?", "a pink cross"), row("How often?", 2)], seen="a pink cross, 2 times")
    found = mined(ScriptedEngine(script.here), videos, options=False, verify=False)
    assert [one.answer for one in found.tasks] == [
        Answer(kind="text", value="a pink cross"),
        Answer(kind="number", value=2.0),
    ]
    assert not any(one.options for one in found.tasks)


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        ("I'm sorry, but I cannot write questions about this video.", "refused"),
        ("[]", "refused"),
        ("Sure! Here are two questions about the colours.", "not JSON"),
        ('[{"question": "Which ink?", ', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("", "not JSON"),
        ("7", "not a task"),
        ([["Which ink?"]], "not a task"),
        ([row()], "not a task"),  # options were asked for
        ([choice(mood="happy")], "not a task"),
        ([choice(question=" ")], "not a task"),
        ([choice(question="why " * 500)], "not a task"),
        ([choice(start="early")], "not a task"),
        ([choice(end=float("nan"))], "not JSON"),
        ([choice(end=True)], "not a task"),
        ([choice(answer="blue")], "bad options"),
        ([choice() | {"options": ["pink"]}], "bad options"),
        ([choice() | {"options": ["pink", "Pink", "grey"]}], "bad options"),
        ([choice(start=4.0)], "off clip"),
        ([choice(end=31.0)], "off clip"),
        ([choice("Is the ink pink?")], "leaked"),
    ],
)
def test_what_is_no_good_task_is_a_rejected_row_with_its_cause(reply, cause, videos):
    found = mined(ScriptedEngine(Script(reply).here), videos, count=1, per_reply=1)
    assert found.tasks == () and causes(found) == [cause]
    assert found.rejected[0].reason and (found.rejected[0].text or found.rejected[0].task or not reply)


def test_a_good_row_beside_a_bad_one_is_kept_and_a_fence_is_no_garbage(videos):
    reply = f"```json\n{json.dumps([choice(), {'question': 'What?'}])}\n```"
    found = mined(ScriptedEngine(Script(reply).here), videos)
    assert (len(found.tasks), causes(found)) == (1, ["not a task"])


def test_a_teacher_that_repeats_itself_is_taken_once(videos):
    same = [choice(), choice(" which INK")]
    found = mined(ScriptedEngine(Script(same, same, same).here), videos, count=6)
    assert len(found.tasks) == 1 and causes(found) == ["duplicate"] * 5
    again = mined(ScriptedEngine(Script(same).here), videos, pool=found.tasks)
    assert again.tasks == () and causes(again) == ["duplicate"] * 2


def test_more_rows_than_were_asked_for_are_left_out_and_told(videos):
    rows = [choice(f"Which ink is number {i}?") for i in range(9)]
    found = mined(ScriptedEngine(Script(rows).here), videos)
    assert len(found.tasks) == 2
    assert [(one.cause, one.reason[:35]) for one in found.rejected] == [
        ("surplus", "9 rows where 2 were asked for; the ")
    ]


def test_a_reply_that_was_cut_is_not_read(videos):
    with serving(lambda n, body: says(json.dumps([choice()]), "length")) as (url, _):
        assert causes(mined(ServerEngine(url), videos)) == ["cut short"]


def test_a_teacher_that_is_late_or_dead_is_a_cause_and_no_exception(videos):
    late = threading.Event()

    def hang(n, body):
        late.wait(5.0)
        return says("late")

    with serving(hang) as (url, _):
        began = time.perf_counter()
        assert causes(mined(ServerEngine(url), videos, timeout=0.2)) == ["no reply"]
        assert time.perf_counter() - began < 3.0
        late.set()
    with serving(lambda n, body: (500, {})) as (url, _):
        assert causes(mined(ServerEngine(url, "m", retries=0), videos)) == ["no reply"]


@pytest.mark.parametrize(
    ("seen", "blind", "cause"),
    [
        ("grey", "grey", "not in the frames"),
        ("pink", "<answer>pink</answer>", "needs no frames"),
        ("<answer>pink</answer>", "grey", None),
    ],
)
def test_a_task_must_be_answered_from_its_frames_and_not_without(seen, blind, cause, videos):
    script = Script([choice()], seen=seen, blind=blind)
    found = mined(ScriptedEngine(script.here), videos, count=1)
    assert causes(found) == ([] if cause is None else [cause])
    assert len(found.tasks) == (cause is None)


class Shouted(EvaDialect):
    """Answers as !!blue!!."""

    def parse(self, text):
        return Parsed(answer=text.strip("!")) if text.startswith("!!") else Parsed(problem="not shouted")

    def reply(self, answer):
        return f"!!{answer}!!"


def test_answers_are_asked_for_and_read_as_the_agent_spells_them(videos):
    script = Script([row()], seen="!!pink!!", blind="!!who knows!!")
    found = mined(ScriptedEngine(script.here), videos, count=1, options=False, dialect=Shouted())
    assert causes(found) == [] and len(found.tasks) == 1
    seen, blind = script.asked[1:]
    assert seen.endswith("alone: !!a few words!!") and blind.endswith("guess: !!a few words!!")


def test_a_teacher_that_dies_before_the_examination_leaves_nothing_unchecked(videos):
    def once(n, body):
        return says(json.dumps([choice()])) if n == 1 else (500, {})

    with serving(once) as (url, _):
        found = mined(ServerEngine(url, "m", retries=0), videos, count=1)
    assert found.tasks == () and causes(found) == ["no reply"]


def test_what_is_missing_is_asked_for_again(videos):
    script = Script("no", [choice()], [choice("Which shape?")])
    found = mined(ScriptedEngine(script.here), videos, count=2, per_reply=1, tries=2)
    assert len(found.tasks) == 2 and Counter(causes(found)) == {"not JSON": 1}


def test_commissions_follow_the_failures_and_the_videos_of_failures_are_left_out(videos):
    (path,) = videos.iterdir()
    own = [Failure(task=task(clips=(Clip(id="v", path=str(path)),)), cause="wrong")]
    author = TeacherAuthor(ScriptedEngine(Script().here), str(videos))
    author.settle(videos, VideoWorld(), EVA)
    assert [one.cause for one in author.write(own, 2, 0).rejected] == ["nothing to ask"]


def test_settings_that_can_not_work_are_refused(videos, tmp_path):
    with pytest.raises(UsageError, match="holds no video"):
        TeacherAuthor(ScriptedEngine(str), str(tmp_path))
    with pytest.raises(UsageError, match="1 or more examples"):
        TeacherAuthor(ScriptedEngine(str), str(videos), examples=0)
