"""Homes with recorded runs, and the commands called on them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import touchline
from touchline.cli import main
from touchline.config import Settings
from touchline.tracking.delivery import Cursor, write_cursor
from touchline.tracking.journal import JournalReader
from touchline.tracking.run import Run

from ..tracking.conftest import kill_couriers

TOUCHLINE = Path(sys.executable).with_name("touchline")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home that the environment names; the working directory is beside it."""
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("TOUCHLINE_HOME", str(path))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.chdir(tmp_path)
    yield path
    if (path / "couriers").is_dir():
        kill_couriers(path)


def begin(home: Path, run_id: str, sinks: tuple[str, ...] = (), **options: Any) -> Run:
    """Start a run that this process owns; without sinks nothing delivers it."""
    settings = Settings(home=home, sinks=sinks, capture=())
    return touchline.start_run("train", settings=settings, run_id=run_id, **options)


def record(home: Path, run_id: str, points: int = 3, status: Any = "finished") -> Path:
    """A run that ended, with ``points`` values of the metric loss; returns its directory."""
    run = begin(home, run_id)
    for step in range(points):
        run.log({"loss": 1.0 / (step + 1)}, step)
    run.finish(status, timeout=5)
    return run.directory


def killed(home: Path, run_id: str, body: str) -> Path:
    """A run whose process was killed with SIGKILL after ``body``, in which ``run`` is open."""
    script = (
        "import os, touchline\nfrom pathlib import Path\n"
        f"settings = touchline.Settings(home=Path({str(home)!r}), sinks=(), capture=())\n"
        f"run = touchline.start_run('train', settings=settings, run_id={run_id!r})\n"
        + textwrap.dedent(body)
        + "\nrun._writer.flush(10)\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    return home / "runs" / run_id


def deliver(directory: Path, sink: str, upto: int | None = None, **changes: Any) -> None:
    """Let ``sink`` have everything up to a sequence number (None: all, and the end), as its courier writes it."""
    with JournalReader(directory / "journal.db") as journal:
        last = journal.last_seq()
    done = upto is None
    cursor = Cursor(sink, "far", last if done else upto or 0, last, "done" if done else "live")
    values = {"remote_id": "m1", "closed": "finished" if done else "", **changes}
    write_cursor(directory, Cursor(**{**cursor.__dict__, **values}))


def call(*arguments: str) -> int:
    """Run a command in this process; returns its exit code."""
    try:
        return main(arguments)
    except SystemExit as error:
        return int(error.code or 0)


def environment() -> dict[str, str]:
    """The environment of a command in a process of its own, without colour."""
    return {**os.environ, "PYTHONUNBUFFERED": "", "NO_COLOR": "1"}
