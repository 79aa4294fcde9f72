"""``touchline ui``: MLflow, TensorBoard and the Optuna dashboard of one home, on loopback, gone with Ctrl-C."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from touchline import leash
from touchline.config import Settings
from touchline.errors import TouchlineError

HOST = "127.0.0.1"
START_SECONDS = 90.0  # MLflow's first start imports for seconds and creates its tables
HIGHEST_PORT = 65_535


@dataclass(frozen=True)
class Viewer:
    """One web page to open."""

    name: str
    command: tuple[str, ...]
    port: int

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{HOST}:{self.port}"


def viewers(settings: Settings, first_port: int | None = None) -> tuple[Viewer, ...]:
    """Return what can be opened for this home.

    With ``first_port`` the pages are on that port and the following ones, else on free ports. Raises
    TouchlineError when a port is taken.
    """
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
    ports = _ports(len(wanted), first_port)
    return tuple(
        Viewer(name, tuple(command(str(port))), port) for (name, command), port in zip(wanted, ports, strict=True)
    )


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _mlflow(python: str, settings: Settings, port: str) -> Sequence[str]:
    return (
        python, "-m", "mlflow", "server", "--host", HOST, "--port", port, "--workers", "1",
        "--backend-store-uri", settings.tracking_uri, "--registry-store-uri", settings.tracking_uri,
        "--artifacts-destination", settings.artifact_root.as_uri(),
    )  # fmt: skip


def _ports(count: int, first: int | None) -> list[int]:
    if first is None:
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
            for held in sockets:
                held.bind((HOST, 0))
            return [held.getsockname()[1] for held in sockets]
    ports = list(range(first, first + count))
    for port in ports:
        if not 0 < port <= HIGHEST_PORT:
            raise TouchlineError(f"There is no port {port}. Choose one from 1024 to 65000 with --port.")
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


@contextlib.contextmanager
def opened(settings: Settings, pages: Sequence[Viewer]) -> Iterator[None]:
    """Start the pages' servers and wait until each answers; end them and all their children afterwards.

    Raises TouchlineError, with the end of the server's log, when one does not come up.
    """
    logs = settings.home / "ui"
    logs.mkdir(parents=True, exist_ok=True)
    settings.runs.mkdir(exist_ok=True)
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONUNBUFFERED": "1"}
    started: list[tuple[Viewer, subprocess.Popen[bytes], Path]] = []
    try:
        for page in pages:
            log = logs / f"{page.name.lower()}.log"
            with log.open("wb") as file:
                started.append((page, leash.start(list(page.command), file.fileno(), environment), log))
        for page, process, log in started:
            _wait_until_answers(page, process, log)
        yield
    finally:
        for _, process, _ in started:
            if process.stdin is not None:
                process.stdin.close()
        for _, process, _ in started:
            process.wait()


def _wait_until_answers(page: Viewer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(page.url, timeout=2.0):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    lines = log.read_text(errors="replace").strip().splitlines()
    raise TouchlineError(
        f"{page.name} did not start on {page.url}: {lines[-1] if lines else 'it said nothing'}. Its log is {log}."
    )


def serve(settings: Settings, first_port: int | None, tell: Callable[[str], None] = print) -> None:
    """Open every page, tell their addresses, and hold them open until Ctrl-C or SIGTERM."""
    settings.ensure_home()
    pages = viewers(settings, first_port)
    if not settings.tracking_uri.startswith("sqlite:"):
        tell(f"MLflow is the server of your settings: {settings.tracking_uri}")
    if not pages:
        raise TouchlineError(
            "Neither MLflow nor TensorBoard is installed. Install them with: pip install 'touchline[all]'"
        )
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        tell(f"Opening {', '.join(page.name for page in pages)} of {settings.home} ...")
        with opened(settings, pages):
            for page in pages:
                tell(f"  {page.name:<12}{page.url}")
            tell("Ctrl-C closes them.")
            threading.Event().wait()
    except KeyboardInterrupt:
        tell("Closed.")
    finally:
        signal.signal(signal.SIGTERM, before)
