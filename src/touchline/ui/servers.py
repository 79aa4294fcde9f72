"""MLflow, TensorBoard and the Optuna dashboard of one home: started beside the page, gone with it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from touchline import leash
from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError
from touchline.filesystem import create_private, make_private

HOST = "127.0.0.1"
START_SECONDS = 90.0  # MLflow's first start imports for seconds and creates its tables
HIGHEST_PORT = 65_535
NAMES = ("MLflow", "TensorBoard", "Optuna")

State = Literal["starting", "up", "failed", "elsewhere", "absent"]


@dataclass(frozen=True)
class Viewer:
    """One server to start."""

    name: str
    command: tuple[str, ...]
    port: int

    @property
    def url(self) -> str:
        """Address of its page."""
        return f"http://{HOST}:{self.port}"


@dataclass(frozen=True)
class ServerState:
    """What can be said of one server now."""

    name: str
    state: State
    url: str
    """Where it answers; empty where there is nothing to open."""
    reason: str
    """Why it is not up, a sentence with the remedy, or empty."""


def viewers(settings: Settings, ports: Sequence[int] | None = None) -> tuple[Viewer, ...]:
    """Return what can be started for this home, on ``ports``, or on free ones."""
    python = sys.executable
    wanted: list[tuple[str, Callable[[str], Sequence[str]]]] = []
    if settings.tracking_uri.startswith("sqlite:") and _installed("mlflow"):
        wanted.append(("MLflow", lambda port: _mlflow(python, settings, port)))
    if _installed("tensorboard"):
        logs = ("--logdir", str(settings.runs), "--host", HOST, "--reload_interval", "5")
        wanted.append(("TensorBoard", lambda port: (python, "-m", "tensorboard.main", *logs, "--port", port)))
    studies = settings.home / "optuna.db"
    if _installed("optuna_dashboard") and studies.exists():
        code = "import sys; from optuna_dashboard._cli import main; sys.exit(main())"
        storage = f"sqlite:///{studies}"
        wanted.append(("Optuna", lambda port: (python, "-c", code, storage, "--host", HOST, "--port", port)))
    chosen = _free_ports(len(wanted)) if ports is None else ports
    return tuple(
        Viewer(name, tuple(command(str(port))), port) for (name, command), port in zip(wanted, chosen, strict=False)
    )


def absent(settings: Settings) -> tuple[ServerState, ...]:
    """Of the servers that ``viewers`` leaves out: why, or where they are instead."""
    uri = settings.tracking_uri
    found = []
    if not uri.startswith("sqlite:"):
        url = _without_password(uri) if uri.startswith(("http://", "https://")) else ""
        told = "" if url else f"The settings name {uri}, which has its own pages."
        found.append(ServerState("MLflow", "elsewhere", url, told))
    elif not _installed("mlflow"):
        found.append(_not_installed("MLflow", "mlflow"))
    if not _installed("tensorboard"):
        found.append(_not_installed("TensorBoard", "tensorboard"))
    if not _installed("optuna_dashboard"):
        found.append(_not_installed("Optuna", "tuning"))
    elif not (settings.home / "optuna.db").exists():
        told = "No study is in this home yet. Start one with touchline tune, then touchline ui again."
        found.append(ServerState("Optuna", "absent", "", told))
    return tuple(found)


def taken_from(first: int, count: int) -> list[int]:
    """``first`` and the ports after it.

    Raises UsageError where one of them cannot exist, TouchlineError where it is taken.
    """
    ports = list(range(first, first + count))
    for port in ports:
        if not 0 < port <= HIGHEST_PORT:
            raise UsageError(f"There is no port {port}. Choose one from 1024 to 65000 with --port.")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise TouchlineError(
                    f"The port {port} cannot be used ({error.strerror}): another program has it, perhaps. "
                    "Choose another with --port, or leave --port out and free ones are found."
                ) from error
    return ports


class Servers:
    """The started ones, each with all its children on a leash: they end with this process, however it ends."""

    def __init__(self, settings: Settings, chosen: Sequence[Viewer], others: Sequence[ServerState] = ()) -> None:
        """``chosen``: those to start; ``others``: what to say of the rest."""
        self._logs = settings.home / "ui"
        self._others = tuple(others)
        self._started = [_Started(viewer, self._logs / f"{viewer.name.lower()}.log") for viewer in chosen]

    def start(self) -> None:
        """Start all of them and return at once; ``states`` tells how far they have come."""
        if self._started:
            make_private(self._logs)
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONUNBUFFERED": "1"}
        for one in self._started:
            with create_private(one.log).open("wb") as file:
                one.process = leash.start(list(one.viewer.command), file.fileno(), environment)
            threading.Thread(target=one.wait_until_it_answers, daemon=True).start()

    def states(self) -> tuple[ServerState, ...]:
        """All that this home may have, in the order of NAMES."""
        found = [*(one.state() for one in self._started), *self._others]
        return tuple(sorted(found, key=lambda state: NAMES.index(state.name)))

    def close(self) -> None:
        """End the servers and everything they started, and wait for that."""
        processes = [one.process for one in self._started if one.process is not None]
        for process in processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in processes:
            process.wait()


@dataclass
class _Started:
    viewer: Viewer
    log: Path
    process: subprocess.Popen[bytes] | None = None
    answered: threading.Event = field(default_factory=threading.Event)
    late: bool = False

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.process is not None and self.process.poll() is None and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(self.viewer.url, timeout=2.0):
                    self.answered.set()
            except urllib.error.HTTPError:
                self.answered.set()
            except OSError:
                pass
            if self.answered.wait(0.2):
                return
        self.late = True

    def state(self) -> ServerState:
        name, url = self.viewer.name, self.viewer.url
        if self.process is None or (self.process.poll() is None and not self.answered.is_set()):
            told = f"It has not answered for {START_SECONDS:.0f} s. Its log is {self.log}." if self.late else ""
            return ServerState(name, "failed" if self.late else "starting", "", told)
        if self.process.poll() is None:
            return ServerState(name, "up", url, "")
        lines: list[str] = []
        with contextlib.suppress(OSError):
            lines = self.log.read_text(errors="replace").strip().splitlines()
        said = lines[-1][:300].rstrip(".") if lines else "It said nothing"
        return ServerState(name, "failed", "", f"It ended: {said}. Its log is {self.log}.")


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _not_installed(name: str, extra: str) -> ServerState:
    return ServerState(name, "absent", "", f"It is not installed here: pip install 'touchline[{extra}]'")


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _mlflow(python: str, settings: Settings, port: str) -> Sequence[str]:
    return (
        python, "-m", "mlflow", "server", "--host", HOST, "--port", port, "--workers", "1",
        "--backend-store-uri", settings.tracking_uri, "--registry-store-uri", settings.tracking_uri,
        "--artifacts-destination", settings.artifact_root.as_uri(),
    )  # fmt: skip


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for held in sockets:
            held.bind((HOST, 0))
        return [held.getsockname()[1] for held in sockets]
