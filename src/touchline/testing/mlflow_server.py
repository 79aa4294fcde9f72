"""A real MLflow server on PostgreSQL, both on loopback: for tests and benchmarks of what many machines share."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from touchline.errors import TouchlineError

__all__ = ["SecuredServer", "lack", "mlflow_process", "mlflow_server", "postgresql", "secured_mlflow_server"]

_PLACES = "/usr/lib/postgresql/*/bin"
_PATIENCE_SECONDS = 180.0
_FORGETFUL = MappingProxyType({"fsync": "off"})
"""Nothing in a fresh cluster is to outlive the machine."""


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
def postgresql(
    directory: Path | None = None, settings: Mapping[str, str] = _FORGETFUL, superuser: str = "mlflow"
) -> Iterator[str]:
    """Run PostgreSQL with these settings and yield its URI: a fresh cluster of which nothing stays, or the one that
    lies in ``directory``, made where there is none.

    The account that it runs as must be allowed to look into the directory, where its socket is too. Raises
    TouchlineError when it does not start.
    """
    programs, user = _programs(), _account()
    if programs is None:
        raise TouchlineError(f"{lack()}.")
    with ExitStack() as stack:
        # Not below a directory of ours: the account that it runs as may not be allowed to look into that.
        place = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="touchline-postgresql-")))
        place.mkdir(parents=True, exist_ok=True)
        if user:
            shutil.chown(place, user)
        yield stack.enter_context(_cluster(place, programs, user, settings, superuser))


@contextmanager
def _cluster(
    directory: Path, programs: Path, user: str | None, settings: Mapping[str, str], superuser: str
) -> Iterator[str]:
    data, port = directory / "data", _free_port()
    if not (data / "PG_VERSION").exists():
        options = ["-U", superuser, "--auth=trust", "--no-sync", "-E", "UTF8"]
        made = subprocess.run(
            [str(programs / "initdb"), "-D", str(data), *options],
            user=user,
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise TouchlineError(f"PostgreSQL's initdb failed: {made.stderr.strip()[-500:]}")
    command = [str(programs / "postgres"), "-D", str(data), "-k", str(directory), "-h", "127.0.0.1", "-p", str(port)]
    command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with _process(command, directory, "postgres", user=user, stop=signal.SIGINT) as process:
        ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        _until(lambda: subprocess.run(ready, check=False).returncode == 0, process, directory / "postgres.log")
        yield f"postgresql+psycopg2://{superuser}@127.0.0.1:{port}/postgres"


@contextmanager
def mlflow_server(directory: Path, workers: int = 2) -> Iterator[str]:
    """Run an MLflow server on a PostgreSQL cluster of its own and yield its address; it keeps artifacts itself."""
    with postgresql() as database:
        told = ["--workers", str(workers), "--backend-store-uri", database]
        told += ["--artifacts-destination", str(directory / "artifacts")]
        with mlflow_process(directory, told) as url:
            yield url


@contextmanager
def mlflow_process(
    directory: Path, arguments: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[str]:
    """Run ``mlflow server`` with these arguments, in ``directory``, on a free port of loopback; yields its address.

    It sees none of the MLflow variables of whoever calls, but those of ``environment``. Raises TouchlineError when it
    does not start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "server", *arguments, "--host", "127.0.0.1", "--port", str(port)]
    with _process(command, directory, "mlflow", env={**_bare_environment(), **environment}) as process:
        url = f"http://127.0.0.1:{port}"
        _until(lambda: _answers(f"{url}/health"), process, directory / "mlflow.log")
        yield url


def _bare_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    # Without its seven processes for jobs that evaluate language models: 1.7 GB, and as many imports.
    return {**kept, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


@dataclass
class SecuredServer:
    """An MLflow server over TLS that knows users by password; it can be killed and started again where it was."""

    url: str
    database: str
    """Its PostgreSQL, for whoever counts what it holds."""
    certificate: Path
    """Its own, which a client must be told to trust."""
    log: Path
    passwords: dict[str, str]
    """Of its users; ``admin`` is one."""
    _command: list[str]
    _environment: dict[str, str]
    _process: subprocess.Popen[bytes] | None = None

    def environment(self, user: str) -> dict[str, str]:
        """The variables by which a client is this user."""
        return {
            "MLFLOW_TRACKING_URI": self.url,
            "MLFLOW_TRACKING_USERNAME": user,
            "MLFLOW_TRACKING_PASSWORD": self.passwords[user],
            "MLFLOW_TRACKING_SERVER_CERT_PATH": str(self.certificate),
        }

    def ask(self, path: str, user: str = "admin", version: str = "2.0", **told: Any) -> Any:
        """POST to MLflow's REST interface as ``user``; ``path`` follows ``/api/2.0/mlflow/``."""
        word = base64.b64encode(f"{user}:{self.passwords[user]}".encode()).decode()
        request = urllib.request.Request(
            f"{self.url}/api/{version}/mlflow/{path}",
            data=json.dumps(told).encode(),
            headers={"Authorization": f"Basic {word}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60.0, context=self._trusting()) as answer:
            return json.loads(answer.read() or b"{}")

    def add_user(self, name: str) -> None:
        """Add a user, who may do what the server lets everybody do and nothing else."""
        password = secrets.token_urlsafe(16)
        self.ask("users/create", username=name, password=password)
        self.passwords[name] = password

    def permit(self, user: str, experiment: str) -> None:
        """Let a user write to the experiment of this id."""
        self.ask(
            "users/permissions/grant",
            version="3.0",
            username=user,
            resource_type="experiment",
            resource_id=experiment,
            permission="EDIT",
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, start_new_session=True, env=self._environment
            )
        _until(lambda: _answers(f"{self.url}/health", self._trusting()), self._process, self.log)

    def kill(self) -> None:
        """End it and its workers with signal 9."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))


@contextmanager
def secured_mlflow_server(directory: Path, workers: int = 1) -> Iterator[SecuredServer]:
    """Run an MLflow server on a PostgreSQL cluster of its own, with TLS and users who see nothing of each other."""
    directory.mkdir(parents=True, exist_ok=True)
    key, certificate, settings = (directory / name for name in ("key.pem", "certificate.pem", "auth.ini"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        + ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=127.0.0.1"]
        + ["-addext", "subjectAltName=IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )
    with postgresql() as database:
        settings.write_text(
            f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = {database}\nadmin_username = admin\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            "auth_cache_ttl_seconds = 60\n"
        )
        port, password = _free_port(), secrets.token_urlsafe(16)
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", str(workers), "--app-name", "basic-auth", "--backend-store-uri", database]
        command += ["--artifacts-destination", str(directory / "artifacts")]
        command += ["--uvicorn-opts", f"--ssl-keyfile {key} --ssl-certfile {certificate}"]
        environment = {
            **_bare_environment(),
            "MLFLOW_AUTH_CONFIG_PATH": str(settings),
            "MLFLOW_AUTH_ADMIN_PASSWORD": password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
        }
        server = SecuredServer(
            f"https://127.0.0.1:{port}",
            database,
            certificate,
            directory / "mlflow.log",
            {"admin": password},
            command,
            environment,
        )
        try:
            server.start()
            yield server
        finally:
            server.kill()


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


def _answers(url: str, context: ssl.SSLContext | None = None) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=2.0, context=context) as answer:
        return bool(answer.status == 200)
    return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
