"""The page as text: whole, alone, and no word of it can act."""

import base64
import hashlib
import json
import re
from dataclasses import replace

import pytest

from eva_lightning.faults import UsageError
from eva_lightning.reports.viewer.detail import detail
from eva_lightning.reports.viewer.page import build_page, data_block
from eva_lightning.reports.viewer.rows import pair, row
from eva_lightning.reports.viewer.thumbnails import Album, ThumbnailSettings
from tests.making import StillWorld, trajectory
from tests.reports.viewer.conftest import HARM


def page(*trajectories):
    pairs, _ = pair(trajectories, [])
    album = Album(StillWorld(), ThumbnailSettings(per_trajectory=1000))
    return build_page(["run"], [row(one) for one in pairs], (detail(one, album) for one in pairs), album, [])


def blocks(text):
    found = re.findall(r'<script type="application/json" id="([^"]+)">(.*?)</script>', text, re.DOTALL)
    return {name: json.loads(content) for name, content in found}


def test_what_is_written_is_read_back(taught):
    held = blocks(page(*taught.sloppy))
    assert [one["question"] for one in held["list"]["rows"]] == [one.task.question for one in taught.sloppy]
    for number, one in enumerate(taught.sloppy, start=1):
        (side,) = held[f"trajectory-{number}"]["sides"]
        texts = ["".join(text for _, text in turn["text"]) for turn in side["turns"]]
        assert texts == [turn.text for turn in one.turns]
        for turn in side["turns"]:
            for part in turn["world"] or []:
                if isinstance(part, dict):
                    clip = held[f"trajectory-{number}"]["task"]["clips"][part["clip"]]
                    assert part["picture"] in held[f"clip-{clip['shelf']}"]["pictures"]


def test_no_text_leaves_its_data_block(harmful):
    text = page(harmful)
    assert text.isascii() is False  # marks such as the tick are the page's own
    assert HARM not in text and "window.ran" in text
    assert "onerror=" in text and "<img" not in text and "<!--" not in text
    assert text.count("<script") == text.count("</script>") == 1 + len(blocks(text))
    assert blocks(text)["list"]["rows"][0]["question"] == HARM
    assert re.search(r"[\u2028\u2029]", text) is None


def test_a_text_that_looks_like_a_place_of_the_template_is_left_alone():
    one = trajectory(answer="{{script}}{{details}}")
    assert blocks(page(one))["list"]["rows"][0]["sides"][0]["answer"] == "{{script}}{{details}}"


def test_the_policy_lets_run_the_page_s_own_script_alone():
    text = page(trajectory())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
    for tag in ("script", "style"):
        own = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:|//)|@import|url\(", text)
    own = re.search("<script>(.*?)</script>", text, re.DOTALL)[1]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(|fetch\(", own)


def test_a_lone_surrogate_and_a_strange_number_do_not_break_the_page():
    assert blocks(page(trajectory(answer="\ud800")))["list"]["rows"][0]["sides"][0]["answer"] == "\ud800"
    page(trajectory(answer="\ud800")).encode()
    with pytest.raises(UsageError, match="trajectory-2: one of its numbers is infinite"):
        page(trajectory(), replace(trajectory(), advantage=float("inf")))


def test_data_blocks_hold_any_json():
    assert data_block("a", ["\u2028", "é&"]) == (
        '<script type="application/json" id="a">["\\u2028","\\u00e9\\u0026"]</script>'
    )
