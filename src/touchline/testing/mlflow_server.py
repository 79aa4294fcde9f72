"""A real MLflow server on PostgreSQL, both on loopback: for tests and benchmarks of what many machines share."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from touchline.errors import TouchlineError

__all__ = ["lack", "mlflow_server", "postgresql"]

_PLACES = "/usr/lib/postgresql/*/bin"
_PATIENCE_SECONDS = 180.0


def lack() -> str:
    """What this machine lacks for a server on PostgreSQL; empty when nothing."""
    if _programs() is None:
        return f"PostgreSQL is not installed (no initdb on the PATH or in {_PLACES}): apt-get install postgresql"
    if importlib.util.find_spec("psycopg2") is None:
        return "PostgreSQL's driver is not installed: pip install psycopg2-binary"
    if os.getuid() == 0 and not _account():
        return "PostgreSQL does not run as root, and there is no account postgres or nobody"
    return ""


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a fresh PostgreSQL cluster and yield its URI; nothing of it stays.

    Raises TouchlineError when it does not start.
    """
    programs, user = _programs(), _account()
    if programs is None:
        raise TouchlineError(f"{lack()}.")
    # Not below a directory of ours: the account that it runs as may not be allowed to look into that.
    with tempfile.TemporaryDirectory(prefix="touchline-postgresql-") as place:
        directory = Path(place)
        if user:
            shutil.chown(directory, user)
        with _cluster(directory, programs, user) as uri:
            yield uri


@contextmanager
def _cluster(directory: Path, programs: Path, user: str | None) -> Iterator[str]:
    data, port = str(directory / "data"), _free_port()
    options = ["-U", "mlflow", "--auth=trust", "--no-sync", "-E", "UTF8"]
    made = subprocess.run(
        [str(programs / "initdb"), "-D", data, *options],
        user=user,
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise TouchlineError(f"PostgreSQL's initdb failed: {made.stderr.strip()[-500:]}")
    # Nothing in it is to outlive the machine.
    command = [str(programs / "postgres"), "-D", data, "-k", str(directory), "-c", "fsync=off"]
    command += ["-h", "127.0.0.1", "-p", str(port)]
    with _process(command, directory, "postgres", user=user, stop=signal.SIGINT) as process:
        ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        _until(lambda: subprocess.run(ready, check=False).returncode == 0, process, directory / "postgres.log")
        yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/postgres"


@contextmanager
def mlflow_server(directory: Path, workers: int = 2) -> Iterator[str]:
    """Run an MLflow server on a PostgreSQL cluster of its own and yield its address; it keeps artifacts itself."""
    directory.mkdir(parents=True, exist_ok=True)
    with postgresql() as database:
        port = _free_port()
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", str(workers), "--backend-store-uri", database]
        command += ["--artifacts-destination", str(directory / "artifacts")]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        with _process(
            command, directory, "mlflow", env={**environment, "MLFLOW_DISABLE_TELEMETRY": "true"}
        ) as process:
            url = f"http://127.0.0.1:{port}"
            _until(lambda: _answers(f"{url}/health"), process, directory / "mlflow.log")
            yield url


def _programs() -> Path | None:
    found = shutil.which("initdb")
    places = [Path(found)] if found else sorted(Path("/").glob(f"{_PLACES[1:]}/initdb"))
    return places[-1].resolve().parent if places else None


def _account() -> str | None:
    """The account that PostgreSQL runs as: one's own, or for root, as whom it does not run, another."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)


@contextmanager
def _process(
    command: list[Any],
    directory: Path,
    name: str,
    *,
    user: str | None = None,
    env: Mapping[str, str] | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=directory, stdout=log, stderr=log, start_new_session=True, user=user, env=env
        )
    try:
        yield process
    finally:
        process.send_signal(stop)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10.0)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _until(is_ready: Any, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise TouchlineError(f"A server did not start. Its log ends with: {log.read_text()[-1_000:]}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=2.0) as answer:
        return bool(answer.status == 200)
    return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
