"""The page in a real Chromium: filters count, a click opens, two runs are compared, nothing harmful runs."""

import re
from dataclasses import replace

import pytest

from eva_lightning.cli import main
from eva_lightning.files.store import write
from eva_lightning.records import FrameRef, Observation, ToolCall, Turn
from eva_lightning.scoring import score
from tests.making import task, trajectory
from tests.reports.viewer.browser import CHROMIUM, DRIVER, MISSING, chromium
from tests.reports.viewer.conftest import HARM

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason=MISSING)


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(taught, browser):
    """Opens a page of the two runs, or of one, freshly."""

    def show(*words, file=taught.folder / "sloppy.jsonl", place=""):
        out = taught.folder / "page.html"
        assert main(["view", str(file), "--out", str(out), *map(str, words)]) == 0
        browser.open("about:blank")  # or else a change of the fragment alone would not load the page again
        browser.open(f"file://{out}{place}")
        assert browser.messages() == []
        return browser

    return show


def right(one):
    return score(one.task, one.answer).correct


def choose(browser, name, value):
    browser.click(f'#{name} > option[value="{value}"]')


def test_filters_change_the_list_and_the_count(taught, page):
    browser = page()
    wrong = [one for one in taught.sloppy if not right(one)]
    count, good = len(taught.sloppy), len(taught.sloppy) - len(wrong)
    assert 0 < good < count == 16
    assert len(browser.texts(".row")) == count
    (summary,) = browser.texts("#summary p")
    assert summary.startswith("16 of 16 trajectories")
    accuracy = float(re.search(rf"accuracy (\d+\.\d) % \({good} of 16 graded\)", summary)[1])
    assert accuracy == pytest.approx(100 * good / 16, abs=0.051)
    choose(browser, "grade", "=wrong")
    assert browser.texts(".row .asked") == [one.task.question for one in wrong]
    assert f"accuracy 0.0 % (0 of {len(wrong)} graded)" in browser.texts("#summary p")[0]
    choose(browser, "source", "=when")
    both = [one for one in wrong if one.task.source == "when"]
    assert len(browser.texts(".row")) == len(both) < len(wrong)
    choose(browser, "grade", "")
    choose(browser, "source", "")
    browser.type("#search", "COLOUR second")
    found = [one for one in taught.sloppy if "second" in one.task.question and "colour" in one.task.question]
    assert len(browser.texts(".row")) == len(found) < count
    browser.type("#search", " no such words")
    assert browser.texts(".row") == [] and browser.texts(".empty") == ["Nothing fits these filters."]
    assert "accuracy – (0 of 0 graded)" in browser.texts("#summary p")[0]


def test_the_list_can_be_sorted(taught, page):
    browser = page()
    choose(browser, "sort", "frames")
    shown = [int(text.split(" frame")[0]) for text in browser.texts(".row .counts > :nth-child(2)")]
    assert shown == sorted((len(one.frames) for one in taught.sloppy), reverse=True)


def test_a_click_shows_what_was_written_and_watched(taught, page):
    browser = page()
    place, one = next((i, one) for i, one in enumerate(taught.sloppy) if 3 < len(one.frames) <= 24)
    browser.click(f'.row[href="#{place + 1}"]')
    browser.wait("return document.querySelector('.task h2').innerText", one.task.question)
    assert browser.texts(".turn > .words") == [turn.text for turn in one.turns]
    assert len(browser.texts(".turn .call")) == sum(len(turn.calls) for turn in one.turns)
    drawn = (
        "return [...document.querySelectorAll('figure img')].filter(x => x.src.startsWith('data:')).length"
    )
    browser.wait(drawn, len(one.frames))
    length = browser.run(
        "return JSON.parse(document.getElementById('clip-0') && "
        f"document.getElementById('trajectory-{place + 1}').textContent).task.clips[0].length"
    )
    lefts = browser.run("return [...document.querySelectorAll('.tick')].map(x => parseFloat(x.style.left))")
    assert lefts == pytest.approx([100 * frame.time / length for frame in one.frames], abs=1e-3)
    assert len(browser.texts(".band")) == len(one.task.evidence)
    assert str(one.seed) in browser.texts(".facts")[0]


def test_keys_walk_the_list_and_leave_the_search_alone(taught, page):
    browser = page()
    where = "return location.hash + ' ' + document.querySelector('[aria-current]').getAttribute('href')"
    browser.type("body", "jjk")
    browser.wait(where, "#2 #2")
    browser.type("body", "\ue015")  # arrow down
    browser.wait(where, "#3 #3")
    browser.type("body", "/")
    browser.type("#search", "jk")
    assert browser.run("return document.getElementById('search').value") == "jk"
    assert browser.run(where.split(" + ' '")[0]) == "#3"


def test_two_runs_show_where_they_differ(taught, page):
    browser = page("--other", taught.folder / "oracle.jsonl", place="#2")
    assert all(right(one) for one in taught.oracle)
    differ = [i for i, one in enumerate(taught.sloppy, start=1) if not right(one)]
    assert browser.texts(".side > h3") == ["sloppy", "oracle"]
    choose(browser, "difference", "second")
    hrefs = "return [...document.querySelectorAll('.row')].map(row => row.getAttribute('href'))"
    assert browser.run(hrefs) == [f"#{number}" for number in differ]
    first, second = browser.texts("#summary p")
    assert f"(0 of {len(differ)} graded)" in first and f"({len(differ)} of {len(differ)} graded)" in second
    choose(browser, "difference", "first")
    assert browser.texts(".row") == []


def test_nothing_of_a_harmful_trajectory_runs(harmful, page, tmp_path):
    write(tmp_path / "harm.jsonl", [harmful, replace(harmful, replica=1, answer=None)])
    browser = page("--other", tmp_path / "harm.jsonl", file=tmp_path / "harm.jsonl")
    browser.wait("return document.querySelectorAll('.task h2').length", 1)
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    browser.run("document.querySelectorAll('.heat-button').forEach(one => one.click())")
    text = browser.run("return document.body.textContent")
    assert text.count(HARM) > 20  # all of it is there to be read
    assert browser.run("return window.ran ?? null") is None
    assert browser.run("return [...document.scripts].filter(one => !one.type).length") == 1
    assert browser.run("return document.images.length + document.querySelectorAll('i i, nav i').length") == 0
    assert browser.messages() == []


def test_the_policy_itself_refuses_what_the_script_never_does(page):
    browser = page()
    for harm in ("document.body.innerHTML = '<b>x</b>'", "new Image().setAttribute('onerror', 'x')"):
        assert browser.run(f"try {{ {harm} }} catch (error) {{ return error.name }}") == "TypeError"
    browser.run("const tag = new Image(); document.body.append(tag); tag.src = 'http://127.0.0.1:9/'")
    browser.wait("return document.body.lastChild.complete")
    assert "img-src data:" in browser.messages()[-1]["message"]  # who broke the policy is told there


def test_log_probs_come_on_demand(page, tmp_path):
    write(tmp_path / "a.jsonl", [trajectory()])
    browser = page(file=tmp_path / "a.jsonl")
    browser.wait("return document.querySelectorAll('.heat-button').length", 1)
    assert browser.texts(".bars i") == []
    browser.click(".heat-button")
    titles = browser.run("return [...document.querySelectorAll('.bars i')].map(one => one.title)")
    assert len(titles) == 6 and titles[0] == "token 1: probability 60.7 %, log-prob -0.5"
    browser.click(".heat-button")
    assert browser.texts(".bars i") == []


def test_a_long_list_is_drawn_as_it_is_scrolled(page, tmp_path):
    write(
        tmp_path / "long.jsonl",
        [trajectory(task=task(id=f"t{i}", question=f"Is {i} even?")) for i in range(450)],
    )
    browser = page(file=tmp_path / "long.jsonl")
    count = "return document.querySelectorAll('.row').length"
    assert browser.run(count) == 200
    browser.run("document.getElementById('rows').scrollTop = 1e9")
    browser.wait(count, 400)
    browser.run("location.hash = '#450'")
    browser.wait("return document.querySelector('.task h2').textContent", "Is 449 even?")
    assert browser.run(count) == 450
    assert "450 of 450 trajectories" in browser.texts("#summary p")[0]


def test_tokens_of_a_model_of_larger_squares_are_counted_by_its_own(page, tmp_path):
    seen = FrameRef(clip="v", time=1.0, height=64, width=96, square=32)
    look = Turn(text="look", observation=Observation(parts=("seen:", seen)))
    write(tmp_path / "a.jsonl", [trajectory(turns=[look])])
    browser = page(file=tmp_path / "a.jsonl")
    browser.wait("return document.querySelectorAll('.world > .quiet').length", 1)
    assert browser.texts(".world > .quiet") == ["1 frame of 96 × 64: 6 visual tokens"]


def test_without_its_video_a_trajectory_is_still_there_to_read(taught, page, tmp_path):
    copy = tmp_path / "sloppy.jsonl"
    copy.write_bytes((taught.folder / "sloppy.jsonl").read_bytes())
    place, one = next((i, one) for i, one in enumerate(taught.sloppy, start=1) if one.frames)
    browser = page(file=copy, place=f"#{place}")
    assert browser.texts("figure .gone") == ["unreadable"] * len(one.frames)
    assert "length not known" in browser.texts(".clip .name")[0]
    assert "clips can not be read" in browser.texts("#notes")[0]
    assert len(browser.texts(".tick")) == len(one.frames)


def test_the_answer_s_seconds_and_the_gold_ones_lie_on_the_time_line(taught, page, tmp_path):
    clip = taught.sloppy[0].task.clips[0]
    asked = task("interval", ((10.0, 20.0), (30.0, 35.0)), clips=(clip,))
    seen = Observation(parts=("nothing",), worked=1, elsewhere=120, error="no such second")
    look = Turn(text="look", calls=(ToolCall(name="f", arguments={}, text="l"),) * 2, observation=seen)
    made = trajectory(task=asked, turns=[look, Turn(text="15 to 25")], answer="15 to 25")
    write(tmp_path / "when.jsonl", [made, replace(made, replica=1, answer="soon")])
    browser = page(file=tmp_path / "when.jsonl", place="#1")
    length = browser.run(
        "return JSON.parse(document.getElementById('trajectory-1').textContent).task.clips[0].length"
    )
    lefts = "return [...document.querySelectorAll('.track .%s')].map(x => parseFloat(x.style.left))"
    browser.wait("return document.querySelectorAll('.track .wanted').length", 2)
    assert browser.run(lefts % "wanted") == pytest.approx([1000 / length, 3000 / length], abs=1e-3)
    assert browser.run(lefts % "named") == pytest.approx([1500 / length], abs=1e-3)
    widths = browser.run(
        "return [...document.querySelectorAll('.track .named')].map(x => x.getBoundingClientRect().width)"
    )
    assert widths[0] > 4
    told = browser.texts(".turn > .head")[0]
    assert "1 of 2 calls worked" in told and "120 visual tokens read by another model" in told
    assert "gold answer" in browser.texts(".clip + .legend")[0]
    browser.click('.row[href="#2"]')
    browser.wait("return document.querySelectorAll('.track .named').length", 0)
    assert "no time was named" in " ".join(browser.texts(".track .note"))
