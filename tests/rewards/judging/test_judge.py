"""A judge over real HTTP: asked once, believed if it can be read, given up if it is silent."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from eva_lightning.engines.checkpoint_engine import CheckpointEngine
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.engines.server_engine import ServerEngine
from eva_lightning.engines.single_turn import ask
from eva_lightning.faults import EngineFault, Fault, UsageError
from eva_lightning.files.store import read
from eva_lightning.rewards.judging.judge import Costs, Judge, Unreadable
from eva_lightning.rewards.judging.rubric import Case, Rubric
from eva_lightning.rewards.judging.rulings import Ruling, Rulings
from tests.engines.test_server_engine import says, serving
from tests.making import StillWorld, frame, task

ROOT = Path(__file__).parents[3]
YES_NO = Rubric(name="colour", version=1, question="Is it red?", values={"yes": 1.0, "no": 0.0})


def verdict(word="yes", reason="I saw it"):
    return says(json.dumps({"reason": reason, "verdict": word}))


def about(*texts):
    return [Case(parts=(text,)) for text in texts]


def judge(url, **settings):
    return Judge(ServerEngine(url, retries=0), YES_NO, **settings)


def rule(judge, *texts):
    return asyncio.run(judge.rule(about(*texts)))


def words(rulings):
    return [one.verdict if isinstance(one, Ruling) else type(one).__name__ for one in rulings]


def prompt(body):
    return body["messages"][0]["content"]


def redness(number, body):
    return verdict("yes" if prompt(body).startswith("red") else "no")


def test_each_question_is_put_once_in_the_same_words_with_the_same_dice(tmp_path):
    with serving(redness) as (url, asked):
        one = judge(url, concurrency=1)  # so that they are heard in the order they are put
        seen = []
        rulings = asyncio.run(one.rule(about("red", "blue", "red"), seen.append))
        assert words(rulings) == ["yes", "no", "yes"] and sum(seen) == 3
        assert words(rule(one, "blue", "pink")) == ["no", "no"]
    assert rulings[0].told == "yes: I saw it (judge tiny, prompt colour/1)"
    assert [prompt(body).splitlines()[0] for _, body, _ in asked] == ["red", "blue", "pink"]
    assert {(body["temperature"], body["seed"], body["model"]) for _, body, _ in asked} == {(0.0, 0, "tiny")}
    assert one.costs == Costs(asked=3, recalled=1)


def test_the_judge_sees_the_pixels_of_the_frames():
    case = Case(parts=("Frame 0: ", frame(height=56, width=84)), clips=task().clips)
    with serving(lambda n, body: verdict()) as (url, asked):
        (ruling,) = asyncio.run(judge(url, world=StillWorld()).rule([case]))
    text, picture, question = prompt(asked[0][1])
    assert text["text"] == "Frame 0: " and picture["image_url"]["url"].startswith("data:image/png;base64,")
    assert "Is it red?" in question["text"] and ruling.verdict == "yes"


def test_an_unreadable_reply_is_asked_for_once_more_with_a_reminder():
    with serving(lambda n, body: says("Well, yes.") if n == 1 else verdict()) as (url, asked):
        one = judge(url)
        assert words(rule(one, "red")) == ["yes"]
    first, second = (prompt(body) for _, body, _ in asked)
    assert second == first + YES_NO.reminder and "can not be read" in second
    assert one.costs == Costs(asked=1, reminded=1)


READABLE = '{"reason": "I saw it", "verdict": "yes"}'


@pytest.mark.parametrize(
    "reply", [says("Well, yes."), says('{"verdict": "yes"}'), says(READABLE, "length")], ids=str
)
def test_a_reply_that_stays_unreadable_or_is_cut_is_a_fault_and_is_not_remembered(reply):
    with serving(lambda n, body: reply if n < 3 else verdict("no")) as (url, asked):
        one = judge(url)
        (fault,) = rule(one, "red")
        assert isinstance(fault, Unreadable) and "could not be read, twice" in str(fault)
        assert words(rule(one, "red")) == ["no"]
    assert len(asked) == 3 and one.costs == Costs(asked=2, reminded=1, silent=1)


def test_one_refusal_is_one_fault_and_the_others_are_judged():
    def script(number, body):
        return (400, {"error": "too long"}) if prompt(body).startswith("long") else verdict()

    with serving(script) as (url, _):
        one = judge(url)
        rulings = rule(one, "red", "long", "blue")
    assert words(rulings) == ["yes", "EngineRefusal", "yes"] and "too long" in str(rulings[1])
    with serving(script) as (url, _):
        assert words(rule(judge(url, patient=False), "long", "red")) == ["EngineRefusal", "yes"]


def test_a_silent_judge_is_given_up_and_not_asked_any_more():
    with serving(lambda n, body: (503, {"error": "busy"})) as (url, asked):
        one = judge(url, concurrency=1, give_up=3)
        with pytest.raises(Fault, match=r"gave no verdict 3 times in a row; the last time: .*503.*busy"):
            rule(one, *"abcdefgh")
        assert len(asked) == 3
        with pytest.raises(Fault, match="3 times in a row"):
            rule(one, "x")
        assert len(asked) == 3


def test_where_stopping_costs_nothing_a_judge_out_of_reach_is_given_up_at_once():
    with serving(lambda n, body: (503, {"error": "busy"})) as (url, asked):
        one = judge(url, concurrency=1, patient=False)
        with pytest.raises(EngineFault, match="did not answer in 1 tries"):
            rule(one, *"abcdefgh")
    assert len(asked) == 1


def test_silence_now_and_then_is_borne_and_what_was_said_before_the_end_is_kept(tmp_path):
    silent = {2, 3, 5, 6, 8, 9, 10}
    with serving(lambda n, body: (500, {}) if n in silent else verdict()) as (url, _):
        one = judge(url, concurrency=1, give_up=3, cache=str(tmp_path / "said.jsonl"))
        with pytest.raises(Fault, match="3 times in a row"):
            rule(one, *"abcdefghijkl")
    assert len(read(tmp_path / "said.jsonl", Ruling)) == 3  # a, d and g


def test_a_server_that_is_not_there_is_no_verdict():
    with serving(lambda n, body: verdict()) as (url, _):
        pass
    rulings = rule(judge(url), "red", "blue")
    assert words(rulings) == ["EngineFault"] * 2 and "did not answer" in str(rulings[0])
    named = Judge(ServerEngine(url, "m", retries=0), YES_NO)
    assert words(rule(named, "red")) == ["EngineFault"] and named.costs == Costs(asked=1, silent=1)


def test_a_late_reply_is_a_fault():
    late = threading.Event()

    def hang(n, body):
        late.wait(5.0)
        return verdict()

    with serving(hang) as (url, _):
        assert words(rule(judge(url, timeout=0.2), "red")) == ["EngineFault"]
        late.set()


def test_as_many_are_asked_at_once_as_was_said():
    under_way, most, lock, three = [0], [0], threading.Lock(), threading.Barrier(3)

    def slow(number, body):
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        three.wait(30.0)  # nobody is answered before three have asked, however slow the machine
        time.sleep(0.05)
        with lock:
            under_way[0] -= 1
        return verdict()

    with serving(slow) as (url, _):
        assert words(rule(judge(url, concurrency=3), *"abcdefghi")) == ["yes"] * 9
    assert most[0] == 3


def test_a_file_of_verdicts_outlives_the_process_and_needs_no_server(tmp_path):
    cache = str(tmp_path / "said" / "verdicts.jsonl")
    with serving(redness) as (url, _):
        first = judge(url, cache=cache)
        said = rule(first, "red", "blue")
        first.close()
    with Path(cache).open("a") as file:
        file.write('{"key": "torn')  # a killed writer
    again = Judge(ServerEngine(url, "tiny", retries=0), YES_NO, cache=cache)  # nobody is there any more
    assert rule(again, "blue", "red") == said[::-1]
    assert again.costs == Costs(recalled=2)
    other = Judge(ServerEngine(url, "another", retries=0), YES_NO, cache=cache)
    assert words(rule(other, "red")) == ["EngineFault"], "another judge's verdict is none of this one's"


def test_a_judge_that_is_killed_loses_no_verdict_and_goes_on(tmp_path):
    """A process judges a hundred cases and is killed while it does; the next asks only what is missing."""
    cache = tmp_path / "verdicts.jsonl"
    program = (
        "import asyncio, sys\n"
        "from tests.rewards.judging.test_judge import about, judge\n"
        "one = judge(sys.argv[1], cache=sys.argv[2], concurrency=4)\n"
        "asyncio.run(one.rule(about(*map(str, range(100)))))\n"
    )

    def slow(number, body):
        time.sleep(0.01)
        return verdict()

    with serving(slow) as (url, asked):
        process = subprocess.Popen(
            [sys.executable, "-c", program, url, str(cache)], cwd=ROOT, env=os.environ | {"PYTHONPATH": "."}
        )
        while not cache.exists() or len(cache.read_bytes().splitlines()) < 20:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept, before = len(cache.read_bytes().splitlines()), len(asked)
        one = Judge(ServerEngine(url), YES_NO, cache=str(cache))
        assert words(rule(one, *map(str, range(100)))) == ["yes"] * 100
        assert 20 <= kept < 100 and one.costs.recalled >= kept - 1
        assert one.costs.asked == 100 - one.costs.recalled and len(asked) >= before + one.costs.asked
    assert len(read(cache, Ruling)) == 100


def test_several_processes_add_to_one_file(tmp_path):
    mine, theirs = Rulings(tmp_path / "v.jsonl"), Rulings(tmp_path / "v.jsonl")
    for number in range(40):
        said = {"verdict": "yes", "reason": "x" * 500, "judge": "m", "rubric": "r/1"}
        (mine if number % 2 else theirs).add(Ruling(key=str(number), **said))
    assert len(Rulings(tmp_path / "v.jsonl")) == 40
    assert [path.name for path in tmp_path.iterdir()] == ["v.jsonl"]


def test_a_cache_that_can_not_be_written_or_read_is_refused_by_name(tmp_path):
    with pytest.raises(UsageError, match="can not be written"):
        Rulings(tmp_path)
    (tmp_path / "v.jsonl").write_text('{"key": 1}\n')
    with pytest.raises(UsageError, match=r"v\.jsonl:1: verdict: missing"):
        Rulings(tmp_path / "v.jsonl")


def test_what_changing_weights_said_is_not_remembered():
    """An engine that does not know which model it is may have learned since."""
    asked = []

    def author(context):
        asked.append(context.messages)
        return '{"reason": "", "verdict": "yes"}'

    one = Judge(ScriptedEngine(author), YES_NO)
    assert words(rule(one, "red", "red")) == ["yes"] * 2 and words(rule(one, "red")) == ["yes"]
    assert len(asked) == 2


def test_a_checkpoint_judges_in_this_process(tiny_folder):
    """Its weights are random, so that it writes no verdict; but it reads the frames, twice."""
    one = Judge(CheckpointEngine(str(tiny_folder)), YES_NO, world=StillWorld(), max_tokens=4)
    cases = [Case(parts=(frame(time=t), "What?"), clips=task().clips) for t in (1.0, 2.0, 3.0)]
    assert words(asyncio.run(one.rule(cases))) == ["Unreadable"] * 3
    assert one.costs == Costs(asked=3, reminded=3, silent=3)
    one.close()


def test_settings_that_can_not_work_are_refused():
    with pytest.raises(UsageError, match="give_up 0"):
        Judge(ScriptedEngine(str), YES_NO, give_up=0)


def test_an_engine_that_is_late_by_its_own_clock_is_a_fault():
    def late(context):
        raise TimeoutError

    with pytest.raises(EngineFault, match="ScriptedEngine did not reply in its own time"):
        asyncio.run(ask(ScriptedEngine(late), ("What?",), lambda frame: None, clips=()))
