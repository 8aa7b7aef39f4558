"""Callbacks ask a module by its methods: none writes into it, none feels for a name."""

import ast
from pathlib import Path

import pytest

import eva_lightning.callbacks

FILES = sorted(Path(eva_lightning.callbacks.__file__).parent.glob("*.py"))
MODULE = {"pl_module", "module"}


def name_of(node):
    return node.id if isinstance(node, ast.Name) else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_callback_writes_nothing_into_a_module_and_feels_for_no_name(path):
    tree = ast.parse(path.read_text())
    written = [
        target.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Attribute) and name_of(target.value) in MODULE
    ]
    felt = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and name_of(node.func) in {"hasattr", "getattr", "setattr"}
        and name_of(node.args[0]) in MODULE | {"data"}
    ]
    assert (written, felt) == ([], [])
