"""A real headless Chromium for tests, driven over the WebDriver protocol: plain JSON over HTTP."""

import base64
import json
import re
import shutil
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from tempfile import TemporaryDirectory

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = "needs chromium and chromedriver: apt-get install chromium chromium-driver"
SWITCHES = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --window-size=1440,900"
)


class Browser:
    """One window."""

    def __init__(self, url):
        self.url = url

    def open(self, address):
        self._ask("/url", {"url": str(address)})

    def run(self, script, *arguments):
        """The value that the body of a function returns."""
        return self._ask("/execute/sync", {"script": script, "args": list(arguments)})

    def texts(self, selector):
        return self.run(
            "return [...document.querySelectorAll(arguments[0])].map(n => n.textContent)", selector
        )

    def click(self, selector):
        found = self._ask("/element", {"using": "css selector", "value": selector})
        self._ask(f"/element/{next(iter(found.values()))}/click", {})

    def type(self, selector, keys):
        found = self._ask("/element", {"using": "css selector", "value": selector})
        self._ask(f"/element/{next(iter(found.values()))}/value", {"text": keys})

    def wait(self, script, value=True):
        """Until a script returns the value; 5 s at most."""
        for _ in range(100):
            if self.run(script) == value:
                return
            time.sleep(0.05)
        raise AssertionError(f"{script}: {self.run(script)!r}, not {value!r}")

    def screenshot(self):
        return base64.b64decode(self._ask("/screenshot"))

    def messages(self):
        """What the page wrote to the console, refusals of its policy included."""
        return self._ask("/se/log", {"type": "browser"})

    def _ask(self, path, words=None):
        return _ask(self.url + path, words)


@contextmanager
def chromium(*switches):
    """A window of a new browser with an empty profile."""
    driver = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        port = next(
            found[1] for line in driver.stdout if (found := re.search(r"successfully on port (\d+)", line))
        )
        with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            words = [*SWITCHES.split(), f"--user-data-dir={profile}", *switches]
            wanted = {"goog:chromeOptions": {"binary": CHROMIUM, "args": words}}
            wanted["goog:loggingPrefs"] = {"browser": "ALL"}
            root = f"http://127.0.0.1:{port}/session"
            session = f"{root}/{_ask(root, {'capabilities': {'alwaysMatch': wanted}})['sessionId']}"
            try:
                yield Browser(session)
            finally:
                urllib.request.urlopen(urllib.request.Request(session, method="DELETE"), timeout=20).close()
    finally:
        driver.terminate()
        driver.wait()


def _ask(url, words=None):
    body = None if words is None else json.dumps(words).encode()
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return json.load(answer)["value"]
