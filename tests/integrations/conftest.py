"""Runs of other people's loops: the journals they leave, and the examples run as scripts within this process."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compat.conftest import events, journal_only, only_run, points
from tests.tracking.conftest import home, no_account

__all__ = ["events", "home", "journal_only", "no_account", "only_run", "points"]

EXAMPLES = Path(__file__).parents[2] / "examples" / "integrations"

Example = Callable[..., dict[str, object]]


@pytest.fixture
def example(journal_only: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Example:
    """Run an example with arguments, in a home without far sides; returns its names."""
    monkeypatch.setenv("TOUCHLINE_CAPTURE", "")
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: object) -> dict[str, object]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        return runpy.run_path(str(EXAMPLES / name), run_name="__main__")

    return run


def names(run_directory: Path) -> set[str]:
    """Of the metrics in a journal."""
    return {name for name, _, _ in points(run_directory)}
