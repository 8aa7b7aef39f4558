"""The reference pages of the site, made from the source: commands, classes by room, and every shipped config.

They are made when the site is, and never committed.
"""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator

from source import ROOT, Entry, Field, Module, modules

ROOMS = {
    "ground": "Records, faults, time",
    "files": "Files",
    "video": "Video",
    "scoring": "Scoring",
    "objectives": "Objectives",
    "policy": "Policy",
    "engines": "Engines",
    "agent": "Agent, worlds, tools, dialects",
    "rewards": "Rewards",
    "data": "Data",
    "reports": "Reports",
    "modules": "LightningModules",
    "datamodules": "DataModules",
    "callbacks": "Callbacks",
}
"""Every room that has a page, in the order of the house; commands have a page of their own."""

OPTIONS = {"estimate": ("eva_lightning.reports.planning.work", "Hardware")}
"""Commands whose options are a record's fields."""


def pages() -> dict[str, str]:
    """Markdown by path on the site."""
    everything = [one for one in modules() if one.name != "eva_lightning.__main__"]
    made = {"reference/commands.md": commands(everything), "reference/configs.md": configs()}
    for room, title in ROOMS.items():
        mine = [one for one in everything if one.room == room]
        made[f"reference/{room}.md"] = "\n".join([f"# {title}\n", *map(_module, mine)])
    return made


def place_of(path: str) -> str | None:
    """Where the site tells of a file of the repository: a page and its anchor; None where it does not."""
    if path.startswith("configs/"):
        return f"reference/configs.md#{anchor(path)}" if path.endswith(".yaml") else "reference/configs.md"
    for one in modules():
        if str(one.path.relative_to(ROOT)) == path and one.room in ROOMS:
            return f"reference/{one.room}.md#{anchor(one.name)}"
    return None


def commands(everything: list[Module]) -> str:
    """What each `eva COMMAND` does and takes."""
    tree = ast.parse((ROOT / "eva_lightning/cli.py").read_text(encoding="utf-8"))
    tables = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in ("STAGES", "COMMANDS")
    }  # fmt: skip
    parts = [
        "# Commands\n",
        "`eva COMMAND --help` says the same. An option of several words is given by dots "
        "(`--agent.limits.turns 4`), or in a file for `--config`.\n",
        "## eva fit, validate, test { #eva-fit }\n",
        "\n".join(f"* `eva {name}`: {_plain(said)}" for name, said in tables["STAGES"].items()),
        "\nTheir options are the arguments of a [LightningModule](modules.md), a "
        "[DataModule](datamodules.md) and Lightning's Trainer; the [configs](configs.md) show them in use.\n",
    ]
    by_name = {one.name: one for one in everything}
    for name in tables["COMMANDS"]:
        for title, said, fields in _manuals(name, by_name):
            parts.append(f"## {title} {{ #{anchor(title)} }}\n")
            parts += [_text(said), _fields(fields, option=True)]
    return "\n".join(parts)


def _manuals(name: str, by_name: dict[str, Module]) -> Iterator[tuple[str, str, tuple[Field, ...]]]:
    """Title, manual and options of a command, or of each of its kinds; its file's words where it has none."""
    file = by_name[f"eva_lightning.commands.{name}"]
    found = [entry for entry in file.entries if entry.fields and _is_manual(entry)]
    if name == "synthesize":
        scripts = by_name["eva_lightning.commands.synthesize_scripts"].entries
        found += [entry for entry in scripts if entry.fields and _is_manual(entry)]
        yield from ((f"eva {name} {entry.name}", entry.said, entry.fields) for entry in found)
    elif name in OPTIONS:
        (record,) = [one for one in by_name[OPTIONS[name][0]].entries if one.name == OPTIONS[name][1]]
        yield f"eva {name}", f"{file.said}\n\nBeside the options of `eva fit`:", record.fields
    elif found:
        yield f"eva {name}", found[0].said, found[0].fields
    else:
        yield f"eva {name}", file.said, ()


def _is_manual(entry: Entry) -> bool:
    """Whether a function's options are told one by one, as those of a command are."""
    return not entry.bases and not entry.methods and all(one.said for one in entry.fields)


def configs() -> str:
    """Every shipped config as it is."""
    parts = ["# Configs\n", "Each is found by its name here: `eva fit --config grpo.yaml`.\n"]
    for path in sorted((ROOT / "configs").rglob("*.yaml")):
        name = path.relative_to(ROOT / "configs").as_posix()
        text = path.read_text(encoding="utf-8").rstrip()
        parts.append(f"## {name} {{ #{anchor(f'configs/{name}')} }}\n\n```yaml\n{text}\n```\n")
    return "\n".join(parts)


def _module(one: Module) -> str:
    parts = [f"## {one.name} {{ #{anchor(one.name)} }}\n", _text(one.said)]
    for entry in one.entries:
        parts.append(f"### {entry.name} {{ #{anchor(f'{one.name}.{entry.name}')} }}\n")
        if entry.bases:
            parts.append(f"*a kind of {', '.join(f'`{base}`' for base in entry.bases)}*\n")
        parts += [_text(entry.said), _fields(entry.fields)]
        parts += [f"* `{name}`: {_plain(' '.join(said.split()))}" for name, said in entry.methods]
        parts.append("")
    return "\n".join(parts)


def _fields(fields: tuple[Field, ...], option: bool = False) -> str:
    return "\n".join(_field(one, option) for one in fields) + "\n"


def _field(one: Field, option: bool) -> str:
    default = f" = `{one.default}`" if one.default else ""
    kind = f": `{one.kind}`" if one.kind else ""
    return f"`{'--' if option else ''}{one.name}`{kind}{default}\n:   {_plain(one.said) or '(no word)'}\n"


def _text(said: str) -> str:
    """A docstring as Markdown: paragraphs and lists as they are, sessions of Python as code."""
    return "\n\n".join(_paragraph(part) for part in re.split(r"\n\s*\n", said)) + "\n"


def _paragraph(part: str) -> str:
    first = part.lstrip()
    if first.startswith(">>>"):
        return "```python\n" + "\n".join(line.strip() for line in part.splitlines()) + "\n```"
    if part.startswith("    "):
        return part  # Markdown takes it for code
    if first.startswith("* "):
        return "\n".join(_plain(line) for line in part.splitlines())
    return _plain(part)


def _plain(text: str) -> str:
    """Nothing of it is HTML or a link; what stands between backticks is left as it is."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(piece if piece.startswith("`") else _escaped(piece) for piece in pieces)


def _escaped(text: str) -> str:
    return re.sub(r"(?<!^)([*_\[\]])", r"\\\1", html.escape(text, quote=False), flags=re.MULTILINE)


def anchor(name: str) -> str:
    """The name of a place on a page.

    >>> anchor("configs/eva/grpo.yaml"), anchor("eva fit")
    ('configs-eva-grpo.yaml', 'eva-fit')
    """
    return re.sub(r"[^\w.]+", "-", name).strip("-")
