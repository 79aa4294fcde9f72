"""Every Python block compiles, and what it takes from Touchline is there, with the arguments that it gives."""

from __future__ import annotations

import ast
import importlib
import textwrap
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, README, ROOT, Block, blocks

SHOWN = [block for page in (*PAGES, README) for block in blocks(page) if block.language == "python"]
SOURCE = ROOT / "src"


def tree_of(block: Block) -> ast.Module:
    return ast.parse(textwrap.dedent(block.text), str(block))


@cache
def module(name: str) -> ast.Module | None:
    path = SOURCE / name.replace(".", "/")
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return ast.parse(file.read_text(encoding="utf-8"))
    return None


@cache
def names_in(name: str) -> dict[str, ast.AST]:
    """What a module binds, also for type checkers alone, without importing it."""
    tree = module(name)
    found: dict[str, ast.AST] = {}
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name: node for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id: node for target in targets if isinstance(target, ast.Name)}
    return found


def is_there(owner: str, name: str) -> bool:
    """Whether ``owner.name`` is a module or something in the module ``owner``; unsure cases are imported."""
    return (
        name in names_in(owner)
        or module(f"{owner}.{name}") is not None
        or hasattr(importlib.import_module(owner), name)
    )


def imported(tree: ast.Module) -> dict[str, str]:
    """Name in the block → dotted name of what it is, for what comes from Touchline."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {
                alias.asname or alias.name.partition(".")[0]: alias.name
                if alias.asname
                else alias.name.partition(".")[0]
                for alias in node.names
                if alias.name.partition(".")[0] == "touchline"
            }
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "touchline":
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


@cache
def definition(dotted: str) -> ast.AST | None:
    """The function or class of that name, followed through the packages that hand it on."""
    owner, _, name = dotted.rpartition(".")
    node = names_in(owner).get(name) if owner else None
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("touchline"):
        return definition(f"{node.module}.{name}")
    return node


def arguments_of(node: ast.AST | None) -> set[str] | None:
    """Names of the arguments that it takes; None where that cannot be told."""
    if isinstance(node, ast.ClassDef):
        made = next(
            (part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"), None
        )
        if made is None:
            fields = {
                part.target.id
                for part in node.body
                if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
            }
            return fields if fields and not node.bases else None
        node = made
    if not isinstance(node, ast.FunctionDef) or node.args.kwarg is not None:
        return None
    return {argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}


@pytest.mark.parametrize("block", SHOWN, ids=str)
def test_a_block_compiles_and_takes_from_touchline_what_is_there(block: Block) -> None:
    tree = tree_of(block)
    names = imported(tree)
    for dotted in names.values():
        owner, _, name = dotted.rpartition(".")
        assert not owner or is_there(owner, name), f"{block}: there is no {dotted}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            owner = names[node.value.id]
            if module(owner) is not None:
                assert is_there(owner, node.attr), f"{block}: there is no {owner}.{node.attr}"
        if isinstance(node, ast.Call):
            given = {keyword.arg for keyword in node.keywords if keyword.arg}
            taken = arguments_of(definition(called(node.func, names)))
            assert taken is None or given <= taken, (
                f"{block}: {ast.unparse(node.func)} takes no {given - (taken or set())}"
            )


def called(function: ast.expr, names: dict[str, str]) -> str:
    """Dotted name of what is called where it comes from Touchline, else nothing."""
    if isinstance(function, ast.Name):
        return names.get(function.id, "")
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id in names:
        return f"{names[function.value.id]}.{function.attr}"
    return ""


@pytest.mark.parametrize("block", SHOWN, ids=str)
def test_other_packages_that_a_block_imports_are_installed_or_named_as_extra(block: Block) -> None:
    for node in ast.walk(tree_of(block)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for name in modules:
                root = name.partition(".")[0]
                is_here = find_spec(root) is not None or (Path(DOCS) / f"{root}.md").exists()
                assert is_here or root in ("duckdb",), f"{block}: there is no package {root}"


def test_a_name_that_is_not_there_would_be_found() -> None:
    assert is_there("touchline", "start_run") and is_there("touchline.gates", "rejudge")
    assert not is_there("touchline", "begin_run") and not is_there("touchline.gates", "rejudged")
    assert arguments_of(definition("touchline.start_run")) is not None
    assert "every" in (arguments_of(definition("touchline.Cadence")) or ())
