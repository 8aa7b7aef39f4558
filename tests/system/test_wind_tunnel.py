"""`eva tunnel` trains the ways of a finding side by side, keeps them, and refuses what can not be tried."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from eva_lightning.cli import main
from eva_lightning.commands.findings.finding import Comparison, Finding, Way, refuse, shipped
from eva_lightning.commands.findings.report import effects_of, headline, told
from eva_lightning.commands.findings.trial import Trial
from eva_lightning.commands.named_configs import CONFIGS
from eva_lightning.faults import UsageError
from eva_lightning.reports.effects import Sums
from tests.system.pages import blocks, commands

PAGE = "docs/wind-tunnel.md"
SHIPPED = sorted((CONFIGS / "tunnel").glob("*.yaml"))
SHORT = ["--model.agent.limits.turn_tokens=8", "--model.attempts=2", "--data.batch_size=2"]
"""What makes an iteration of a policy that knows nothing short."""


def finding(**changed):
    ways = {"one": Way(), "other": Way(words=["--model.attempts=4"])}
    usual = {"effects": {"more": Comparison(measure="accuracy", of="one", over="other")}, "ways": ways}
    return Finding(**{"name": "mine", "asks": "Is it so?", **usual, **changed})


def sums(right):
    return Sums(
        attempts=4, right=right, value=right, proven=right, met=right, frames=40, visual_tokens=80, rounds=12
    )


def trial(right):
    return Trial(course=20.0, minutes=2.5, sums={f"q{i}": sums(right) for i in range(40)})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ways": {"one": Way(after="dpo")}}, "way one: 'dpo' is no stage of search; there are warmup, "),
        ({"ways": {"one": Way(stages=["ppo"])}}, "way one: 'ppo' is no stage of search"),
        ({"ways": {"one": Way(kit="wings")}}, "way one: kit is 'wings'; of search there are overview_8, "),
        ({"ways": {"one": Way(open_share=2)}}, "way one: open_share is 2: want a share between 0 and 1"),
        ({"ways": {"one": Way(steps=0)}}, "way one: steps is 0: want 1 or more"),
        ({"effects": {}}, "finding mine compares nothing: give it effects"),
        ({"ways": {"one": Way()}}, "effect more: there is no way 'other'; there are one"),
    ],
)
def test_what_can_not_be_tried_is_refused_in_a_line(changed, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        refuse(finding(**changed))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--share=2"], "share is 2.0: want more than 0, at most 1"),
        (["--seeds=[1, 1]"], "seeds are [1, 1]: want one or more, each once"),
    ],
)
def test_words_that_make_no_sense_end_with_a_line(words, message, tmp_path, capsys):
    assert main(["tunnel", "--config", "tunnel/choice.yaml", "--out", str(tmp_path), *words]) == 1
    assert message in capsys.readouterr().err


def test_an_effect_holds_if_all_of_its_interval_lies_on_the_side_that_was_expected():
    better = {seed: {"one": trial(3), "other": trial(2)} for seed in (0, 1)}
    assert headline(finding(), better) == {
        "effect": 0.25,
        "low": 0.25,
        "high": 0.25,
        "seeds": [0, 1],
        "minutes": 50.0,  # of each seed a course of 20 and two ways of 2.5
        "holds": True,
    }
    less = Comparison(measure="accuracy", of="one", over="other", expected="less")
    assert not effects_of(finding(effects={"less": less}), better)["less"].holds
    same = {0: {"one": trial(2), "other": trial(2)}}
    assert not headline(finding(), same)["holds"]
    table = told(finding(paper="a paper says so"), better)
    assert re.search(r"^one +0\.750 ", table, re.MULTILINE) and re.search(
        r"^other +0\.500 ", table, re.MULTILINE
    )
    assert re.search(r"^more +one - other +\+0\.250 +0\.250 to 0\.250 +more +yes$", table, re.MULTILINE)
    assert table.endswith("2 seeds; intervals over seeds and questions.\nElsewhere: a paper says so")


@pytest.mark.parametrize("config", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_finding_can_be_tried_and_is_short(config):
    made = shipped(config.stem)
    refuse(made)
    assert made.name == config.stem and made.asks.endswith("?") and made.paper
    assert len(config.read_text().splitlines()) <= 25
    assert f"eva tunnel --config tunnel/{config.name}" in config.read_text().splitlines()[0]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("tunnel")


def tried(name, out, capsys, *words):
    """A shipped finding at two thousandths, its iterations short; what was printed, and its record."""
    said = yaml.safe_load((CONFIGS / "tunnel" / f"{name}.yaml").read_text())
    for way in said["finding"]["ways"].values():
        if way.get("stages", ["grpo"])[-1:] == ["grpo"]:
            way["words"] = [*way.get("words", []), *SHORT]
    file = out / f"{name}.yaml"
    file.write_text(yaml.safe_dump(said, sort_keys=False))
    assert main(["tunnel", "--config", str(file), "--share=0.002", f"--out={out}", *words]) == 0
    return capsys.readouterr().out, json.loads((out / f"{name}.json").read_text())


@pytest.mark.system
def test_a_finding_is_tried_from_nothing_and_again_from_what_is_there(out, capsys):
    said, record = tried("csv", out, capsys, "--json")
    assert set(record["0"]) == {"choice", "csv"}
    assert "Does the completeness reward leave fewer right answers" in said
    line = json.loads(said.splitlines()[-1])
    assert set(line["csv"]) == {"effect", "low", "high", "seeds", "minutes", "holds"}
    assert (out / "csv.png").stat().st_size > 5000
    assert line["csv"]["minutes"] >= record["0"]["csv"]["course"] > 0
    ways = out / "seed_0" / "ways"
    settings = json.loads((ways / "csv" / "way.settings.json").read_text())
    assert settings["open_share"] == 0 and "WorldJudge" in settings["words"][0]
    log = (out / "tunnel.log").read_text()
    assert "CompletenessReward" in log and str(out / "seed_0" / "world") in log
    pool = [json.loads(row) for row in (out / "seed_0" / "world" / "open_0.jsonl").read_text().splitlines()]
    assert pool and all(row["options"] for row in pool)
    before = (ways / "csv" / "sums.json").stat().st_mtime_ns
    _, same = tried("csv", out, capsys)
    assert same == record and (ways / "csv" / "sums.json").stat().st_mtime_ns == before


@pytest.mark.system
def test_another_finding_shares_the_course_and_other_kits_have_teachers_of_their_own(out, capsys):
    tiny = (out / "seed_0" / "tiny" / "model.safetensors").stat().st_mtime_ns
    _, record = tried("frontier", out, capsys)
    assert (out / "seed_0" / "tiny" / "model.safetensors").stat().st_mtime_ns == tiny
    assert set(record["0"]) == {"nothing", "window", "uniform"}
    world = out / "seed_0" / "world"
    window = (world / "window_rehearsals.jsonl").read_text()
    assert "get_video_clip_frame" in window and "frame_select" not in window
    uniform = [json.loads(row) for row in (world / "uniform_rehearsals.jsonl").read_text().splitlines()]
    assert {len(row["turns"]) for row in uniform} == {1}
    for way in ("window", "uniform"):
        assert (out / "seed_0" / "ways" / way / "rehearsal" / "export" / "final").exists()


@pytest.mark.system
def test_a_kit_is_trained_through_all_stages_where_a_way_says_so(out, capsys):
    said = yaml.safe_load((CONFIGS / "tunnel" / "frontier.yaml").read_text())
    whole = {"after": "rehearsal", "stages": ["rehearsal", "sft", "grpo"], "kit": "window", "words": SHORT}
    effects = {"accuracy": {"measure": "accuracy", "of": "whole", "over": "whole"}}
    said["finding"] |= {"name": "whole", "ways": {"whole": whole}, "effects": effects}
    (out / "whole.yaml").write_text(yaml.safe_dump(said, sort_keys=False))
    assert main(["tunnel", "--config", str(out / "whole.yaml"), "--share=0.002", f"--out={out}"]) == 0
    assert (out / "seed_0" / "ways" / "whole" / "grpo" / "export" / "final").exists()


@pytest.mark.system
@pytest.mark.parametrize("name", [path.stem for path in SHIPPED if path.stem not in ("csv", "frontier")])
def test_every_other_finding_is_tried_beside_them(name, out, capsys):
    said, record = tried(name, out, capsys)
    ways = yaml.safe_load((CONFIGS / "tunnel" / f"{name}.yaml").read_text())["finding"]["ways"]
    assert list(record["0"]) == list(ways) and "intervals over seeds and questions" in said


@pytest.mark.system
def test_every_line_of_the_page_works(out, tmp_path, monkeypatch, capsys):
    """In the folder of the findings above, at two thousandths."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (idea,), (reward,) = blocks(PAGE, "yaml"), blocks(PAGE, "python")
    said = yaml.safe_load(idea.text)
    for way in said["finding"]["ways"].values():
        way["words"] += SHORT
    Path("idea.yaml").write_text(yaml.safe_dump(said, sort_keys=False))
    Path("frugal.py").write_text(reward.text)
    one_seed, _, own = commands(PAGE)
    assert main([*shlex.split(own)[1:], "--share=0.002", f"--out={out}"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^tokens +frugal / plain ", told, re.MULTILINE)
    tried("csv", out, capsys)  # as the first line says
    assert "--config tunnel/csv.yaml" in one_seed


@pytest.mark.system
def test_a_way_that_means_something_else_is_refused(out, capsys):
    said = yaml.safe_load(Path(out / "csv.yaml").read_text())
    said["finding"]["ways"]["csv"]["steps"] = 3
    (out / "other.yaml").write_text(yaml.safe_dump(said, sort_keys=False))
    assert main(["tunnel", "--config", str(out / "other.yaml"), "--share=0.002", f"--out={out}"]) == 1
    assert "the way csv in" in (told := capsys.readouterr().err) and "another name" in told
