"""Scripts that speak to W&B or MLflow, run here or as processes of their own, and what came of them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import touchline.compat.mlflow._active as mlflow_active
import touchline.compat.mlflow._start as mlflow_start
import touchline.compat.wandb._init as wandb_init
from tests.tracking.conftest import backend, home, no_account
from touchline.compat import told

__all__ = ["backend", "home", "no_account"]

Event = tuple[str, int | None, dict[str, Any]]


@pytest.fixture(autouse=True)
def nothing_open(monkeypatch: pytest.MonkeyPatch, no_account: None) -> Iterator[None]:
    """Each test begins without a run and without anything told; what is captured beside a script is left out."""
    monkeypatch.setenv("TOUCHLINE_CAPTURE", "")
    told._told.clear()
    yield
    run = wandb_init.active()
    if run is not None:
        run.finish()
    while mlflow_active.active() is not None:
        mlflow_start.end_run()
    wandb_init._active.clear()
    mlflow_start._choice.uri = mlflow_start._choice.experiment = None


@pytest.fixture
def journal_only(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose runs have no far side; returns the directory of the runs."""
    monkeypatch.setenv("TOUCHLINE_HOME", str(home))
    monkeypatch.setenv("TOUCHLINE_SINKS", "")
    return home / "runs"


def start(**arguments: object) -> Path:
    """Open a W&B run and return its directory."""
    return wandb_init.init(project="p", **arguments).touchline.directory  # type: ignore[arg-type]


def events(run_directory: Path, *kinds: str) -> list[Event]:
    """(kind, step, payload) of a journal's events of some kinds."""
    connection = sqlite3.connect(run_directory / "journal.db")
    try:
        rows = connection.execute("SELECT kind, step, payload FROM events ORDER BY seq").fetchall()
    finally:
        connection.close()
    return [(kind, step, json.loads(payload)) for kind, step, payload in rows if not kinds or kind in kinds]


def points(run_directory: Path) -> set[tuple[str, int, float]]:
    """(metric, step, value) of a journal."""
    rows = events(run_directory, "metrics")
    return {(name, step, value) for _, step, payload in rows for name, value in payload.items()}


def only_run(runs: Path) -> Path:
    """The directory of the one run in a home."""
    (found,) = runs.iterdir()
    return found


def script(tmp_path: Path, body: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start a Python script as a process of its own, in ``tmp_path``."""
    file = tmp_path / "script.py"
    file.write_text(textwrap.dedent(body))
    return process(tmp_path, str(file), *arguments, **environment)


def process(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start Python with these arguments in ``folder``."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def done(process: subprocess.Popen[str], code: int = 0, seconds: float = 300.0) -> tuple[str, str]:
    """Wait for a process that ends with ``code``; returns what it printed and what it warned."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == code, err
    return out, err
