"""Runs of other people's loops: the journals they leave, and the examples run as scripts within this process."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
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


class Drawn(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose picture needs no renderer: it grows brighter by the step."""

    render_mode = "rgb_array"

    def reset(self, **options: Any) -> Any:
        """Begin in black."""
        self.steps = 0
        return self.env.reset(**options)

    def step(self, action: Any) -> Any:
        """Step."""
        self.steps += 1
        return self.env.step(action)

    def render(self) -> Any:
        """One picture (32, 48, 3)."""
        return np.full((32, 48, 3), self.steps % 256, np.uint8)


def drawn(environment: str = "Pendulum-v1", **options: Any) -> Drawn:
    """An environment of Gymnasium that can be filmed anywhere."""
    return Drawn(gymnasium.make(environment, **options))


def films_or_tells(run_directory: Path) -> bool:
    """Whether Gymnasium's classic environments were filmed or, without the package that draws them, that was told."""
    has_pygame = importlib.util.find_spec("pygame") is not None
    alerts = [payload["title"] for _, _, payload in events(run_directory, "alert")]
    return len(events(run_directory, "video")) == has_pygame and alerts == ["Filming failed"] * (not has_pygame)
