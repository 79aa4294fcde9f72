"""Homes in temporary directories, real couriers, and their end after each test."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from touchline.config import Settings
from touchline.testing.wandb_backend import API_KEY, WandbBackend, wandb_backend


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, server or home of the person who runs the tests is used."""
    for name in list(os.environ):
        if name.startswith(("WANDB_", "MLFLOW_", "TOUCHLINE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose couriers are ended after the test."""
    path = tmp_path / "home"
    path.mkdir()
    yield path
    for process in couriers_of(path):
        with contextlib.suppress(psutil.Error):
            process.kill()


@pytest.fixture
def settings(home: Path) -> Settings:
    """Only MLflow, in its SQLite file."""
    return Settings(home=home, sinks=("mlflow",))


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbBackend]:
    """A W&B server on loopback, with the key that it takes."""
    with wandb_backend() as server:
        monkeypatch.setenv("WANDB_API_KEY", API_KEY)
        yield server


def couriers_of(home: Path, sink: str | None = None) -> list[psutil.Process]:
    """The living courier processes of a home (of one sink, by the log file it writes)."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if "touchline.tracking.courier" in process.cmdline() and process.cwd() == str(home):
                log = os.readlink(f"/proc/{process.pid}/fd/2")
                if sink is None or Path(log).stem == sink:
                    found.append(process)
    return found


def kill_couriers(home: Path) -> int:
    """Kill the couriers of a home with SIGKILL and wait for their end; returns how many there were."""
    found = couriers_of(home)
    for process in found:
        process.kill()
    # A killed process whose parent, a busy trainer, does not look stays on as a zombie, so its lock tells.
    until(lambda: not any(is_locked(lock) for lock in (home / "couriers").glob("*.lock")))
    return len(found)


def is_locked(path: Path) -> bool:
    """True while some process holds a lock on the file."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def until(condition: Callable[[], object], seconds: float = 300.0) -> None:
    """Wait until ``condition()`` is true; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the awaited event did not happen"
        time.sleep(0.02)


_trainers: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def no_trainer_stays() -> Iterator[None]:
    """Training scripts are ended after the test."""
    yield
    while _trainers:
        process = _trainers.pop()
        process.kill()
        process.communicate()


def trainer(home: Path, body: str, tmp_path: Path, **settings: object) -> subprocess.Popen[str]:
    """Start a training script as a process of its own; ``run`` is open in it."""
    script = tmp_path / "train.py"
    fields = "".join(f", {name}={value!r}" for name, value in settings.items())
    script.write_text(
        "import time, os, sys, touchline\nfrom pathlib import Path\n"
        f"settings = touchline.Settings(home=Path({str(home)!r}){fields})\n"
        "run = touchline.start_run('train', settings=settings, run_id='r1')\n" + textwrap.dedent(body)
    )
    return _start(script)


def start_script(text: str, tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a Python script as a process of its own."""
    script = tmp_path / "train.py"
    script.write_text(text)
    return _start(script, *arguments)


def _start(script: Path, *arguments: str) -> subprocess.Popen[str]:
    _trainers.append(
        subprocess.Popen(
            [sys.executable, str(script), *arguments], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
    )
    return _trainers[-1]
