"""What it takes to record somebody's example: at most ten lines."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from .conftest import EXAMPLES

MARK = "  # touchline"
LINES = 10
OURS = {"run", "training", "callback", "callbacks", "logger", "film"}
"""Names in the examples of what is Touchline's."""
FILES = sorted(EXAMPLES.glob("*.py"))


def changed(file: Path) -> list[str]:
    """The lines that differ from the example as it was."""
    return [line for line in file.read_text(encoding="utf-8").splitlines() if MARK in line]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_differs_in_ten_lines_at_most_and_marks_all_of_them(file: Path) -> None:
    assert 0 < len(changed(file)) <= LINES
    tree, lines = ast.parse(file.read_text(encoding="utf-8")), file.read_text(encoding="utf-8").splitlines()
    named = {"touchline"} | {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("touchline")
        for alias in node.names
    }
    ours = named - {"SummaryWriter"} | OURS  # that writer has the name which the script used before
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in ours:
            assert MARK in lines[node.lineno - 1], f"line {node.lineno} is ours and bears no mark"


def test_a_script_in_the_style_of_cleanrl_differs_in_three_at_most() -> None:
    assert len(changed(EXAMPLES / "cleanrl_reinforce.py")) <= 3
