"""The app in a real Chromium, served by the real command: a dropped video, a question, two checkpoints."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.reports.viewer.browser import CHROMIUM, DRIVER, MISSING, chromium

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason=MISSING),
]


@contextmanager
def running(*words, folder):
    """`eva app` as its user types it; the address that it prints."""
    place = {**os.environ, "TMPDIR": str(folder)}
    words = [sys.executable, "-m", "eva_lightning", "app", *map(str, words)]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are begun deaf to it
    app = subprocess.Popen(words, env=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = app.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), app.stderr.read()[-2000:]
        yield app, line.split()[0]
    finally:
        if app.poll() is None:
            app.kill()
        app.communicate()


@pytest.fixture(scope="module")
def app(learned, tiny_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uploads")
    words = ["--model", tiny_folder, "--model", learned.folder, "--uploads.megabytes=1"]
    words += ["--agent.dialect=EvaDialect", "--agent.dialect.timestamps=seconds"]
    with running(*words, "--agent.limits.turn_tokens=96", folder=folder) as (process, url):
        process.folder = folder
        yield process, url


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(app, browser):
    browser.open("about:blank")
    browser.open(app[1])
    return browser


ENABLED = "return !document.getElementById('ask').disabled"
DROPPED = "return document.getElementById('dropped').textContent"
DONE = "return document.getElementById('stop').hidden && document.querySelectorAll('.side').length"


def test_a_video_is_sent_a_question_asked_and_two_checkpoints_answer_side_by_side(page, learned):
    task, frames = learned.shown.task, len(learned.shown.frames)
    assert page.run(ENABLED) is False and frames > 2
    page.type("#file", str(learned.clip))
    page.wait(DROPPED, f"{learned.clip.name} (30 s, 112 × 112)")
    page.type("#question", task.text)
    page.wait(ENABLED)
    page.run(
        "window.seen = []; new MutationObserver(() => window.seen.push("
        "[...document.querySelectorAll('.side:last-child .working')].map(one => one.textContent).join()))"
        ".observe(document.getElementById('answer'), {childList: true})"
    )
    page.click("#ask")
    page.wait(DONE, 2)
    assert page.texts(".side > h3")[1] == "learned"
    assert page.texts(".side:last-child .turn > .words") == [turn.text for turn in learned.shown.turns]
    assert len(page.texts(".side:last-child .call")) == 1
    assert page.texts(".side:last-child .verdict .answer") == [learned.shown.answer]
    drawn = "return [...document.querySelectorAll('.side:last-child figure img')].filter(x => x.complete)"
    page.wait(f"{drawn}.length", frames)
    assert len(page.texts(".side:last-child .tick")) == frames
    total = learned.shown.ledger.total
    assert page.texts(".side:last-child .ledger + .legend > span")[0] == f"{total} tokens:"
    assert "cut off by the token limit" in page.texts(".side:first-child .turn > .head")[0]
    seen = page.run("return window.seen")
    assert "writing turn 2 …" in seen and seen[-1] == ""  # the first turn was there before the second
    assert page.messages() == []


def test_the_answer_is_there_again_when_the_page_is_loaded_again(page, learned):
    page.wait(DONE, 2)
    assert page.texts(".task h2") == [learned.shown.task.text]


def test_what_is_no_video_and_what_is_too_large_are_one_line_each(page, tmp_path):
    name = "<img src=x onerror=window.ran=1>.mp4"
    (tmp_path / name).write_text("no video at all\n" * 100)
    (tmp_path / "large.mp4").write_bytes(bytes(1_200_000))
    said = "return document.getElementById('problem').textContent"
    page.type("#file", str(tmp_path / name))
    page.wait(f"{said}.startsWith('{name}: ')")
    assert page.run("return window.ran ?? null") is None
    page.type("#file", str(tmp_path / "large.mp4"))
    page.wait(said, "large.mp4: 1.2 MB are more than the 1 MB that are taken")
    assert page.run(ENABLED) is False


def test_a_dropped_file_is_sent_and_a_question_can_be_stopped(page, learned):
    data = json.dumps(list(learned.clip.read_bytes()))
    page.run(
        f"const held = new DataTransfer(); held.items.add(new File([new Uint8Array({data})], 'a/../b.mp4'));"
        "document.dispatchEvent(new DragEvent('drop', {dataTransfer: held, bubbles: true, cancelable: true}))"
    )
    page.wait(DROPPED, "b.mp4 (30 s, 112 × 112)")
    page.type("#question", "What is this?")
    page.wait(ENABLED)
    page.run("document.getElementById('ask').click()")
    page.wait("return document.getElementById('stop').hidden", False)
    page.run("document.getElementById('stop').click()")
    page.wait("return document.getElementById('stop').hidden")
    assert set(page.texts(".working-ended")) <= {"stopped by its reader"}


def test_ctrl_c_ends_it_and_nothing_that_was_sent_is_left(app):
    process, _ = app
    assert list(process.folder.glob("eva-app-*/*.video"))
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert list(process.folder.glob("eva-app-*")) == []
    assert "Traceback" not in process.stderr.read()
