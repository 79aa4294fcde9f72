"""Starting couriers: one detached process for each (home, sink, destination), held single by a file lock."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from touchline.config import Settings, plain
from touchline.errors import TouchlineError
from touchline.filesystem import create_private, make_private
from touchline.redaction import redact_text
from touchline.tracking.sinks import destination_of

WANDB_DEFAULT_URL = "https://api.wandb.ai"
# A fork while a lock is only probed would leave it held by the child for as long as that lives.
_probing = threading.Lock()
os.register_at_fork(before=_probing.acquire, after_in_parent=_probing.release, after_in_child=_probing.release)
OFFLINE = "offline"
"""Destination of a W&B run that is written to its own directory for ``wandb sync``."""
_children: list[subprocess.Popen[bytes]] = []


def destination(sink: str, settings: Settings) -> str:
    """Name the far side that ``settings`` point a sink at, without user names or passwords, as a journal has it."""
    return redact_text(_far_side(sink, settings))


def _far_side(sink: str, settings: Settings) -> str:
    if sink == "mlflow":
        return without_credentials(settings.tracking_uri)
    if sink == "wandb":
        if settings.wandb_mode == "offline":
            return OFFLINE
        return f"{without_credentials(settings.wandb_base_url or WANDB_DEFAULT_URL)}/{settings.wandb_entity or ''}"
    if sink == "tensorboard":
        return "run directory"
    return destination_of(sink, settings)


def without_credentials(uri: str) -> str:
    """Strip ``user:password@`` from a URI."""
    parts = urllib.parse.urlsplit(uri)
    return uri.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2], 1) if "@" in parts.netloc else uri


class CourierLock:
    """Held by the one courier of a destination for as long as it lives; the kernel lets go when it dies."""

    def __init__(self, settings: Settings, sink: str) -> None:
        """Only names the lock; ``acquire`` takes it."""
        key = hashlib.sha256(destination(sink, settings).encode()).hexdigest()[:8]
        self.path = couriers_directory(settings) / f"{sink}-{key}.lock"
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Take the lock unless another process has it."""
        file = create_private(self.path).open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Let go."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def is_held(self) -> bool:
        """True while some courier holds it."""
        with _probing, create_private(self.path).open("ab") as file:
            try:
                # Shared, so that two who merely ask do not see each other.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
        return False


def couriers_directory(settings: Settings) -> Path:
    """Directory of the couriers' locks and log files, created on demand."""
    path = settings.home / "couriers"
    return make_private(path)


def ensure_courier(
    settings: Settings, sink: str, *, drain: bool = False, runs: Sequence[str] | None = None
) -> subprocess.Popen[bytes] | None:
    """Start the courier of ``sink`` unless one runs; returns its process, or None when one ran already.

    ``drain`` serves the named ``runs`` (None: all) wherever they were first meant to go, and ends when it can
    get no further. Raises TouchlineError when no process can be started.
    """
    _reap()
    if CourierLock(settings, sink).is_held():
        return None
    order = json.dumps({"settings": plain(settings), "sink": sink, "drain": drain, "runs": runs})
    try:
        with create_private(couriers_directory(settings) / f"{sink}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "touchline.tracking.courier"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=settings.home,
                env=_environment(),
                start_new_session=True,
            )
        # Settings travel through a pipe: a tracking URI may hold a password, and arguments are public.
        assert process.stdin is not None
        process.stdin.write(order.encode())
        process.stdin.close()
    except OSError as error:
        raise TouchlineError(
            f"The courier of {sink} could not be started ({error}). The journal keeps everything; "
            "send it later with: touchline sync"
        ) from error
    _children.append(process)
    return process


def _reap() -> None:
    _children[:] = [child for child in _children if child.poll() is None]


def _environment() -> dict[str, str]:
    """The trainer's environment without its devices and without its own W&B process."""
    environment = dict(os.environ)
    for name in ("WANDB_SERVICE", "WANDB_RUN_ID", "WANDB_RESUME", "MLFLOW_RUN_ID"):
        environment.pop(name, None)
    quiet = {
        "CUDA_VISIBLE_DEVICES": "",
        "JAX_PLATFORMS": "cpu",
        "OMP_NUM_THREADS": "1",
        "GIT_PYTHON_REFRESH": "quiet",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "PYTHONUNBUFFERED": "1",
    }
    return {**environment, **quiet, **_http_bounds(environment)}


def _http_bounds(environment: dict[str, str]) -> dict[str, str]:
    """Short MLflow time-outs: its own defaults wait for minutes where a courier can try again by itself."""
    bounds = {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    }
    return {name: environment.get(name, value) for name, value in bounds.items()}


def settings_from_order(values: dict[str, Any]) -> Settings:
    """Rebuild the settings that ``ensure_courier`` sent."""
    known = {field.name for field in dataclasses.fields(Settings)}
    kept = {name: value for name, value in values.items() if name in known}
    kept["home"] = Path(kept["home"])
    kept["sinks"] = tuple(kept["sinks"])
    return Settings(**kept)
