"""The registry behind the catalog: opened once, locked for changes, its failures told in sentences."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.tracking.mlflow_store import connect, unavailable
from touchline.tracking.sinks.base import SinkUnavailable

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_POLL_SECONDS = 0.05
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")


def settings_for(tracking_uri: str, prefix: str) -> Settings:
    """Build settings whose home is where an SQLite store lies, or the default one for a server."""
    home = Settings().home
    if tracking_uri.startswith("sqlite:///"):
        home = Path(tracking_uri.removeprefix("sqlite:///")).parent
    return replace(Settings(), home=home.absolute(), mlflow_tracking_uri=tracking_uri, catalog_prefix=prefix)


def registry_uri(settings: Settings) -> str:
    """URI of the registry: the tracking store's own, on Databricks Unity Catalog."""
    uri = settings.tracking_uri
    return uri.replace("databricks", "databricks-uc", 1) if uri.split(":")[0] == "databricks" else uri


def open_client(settings: Settings) -> MlflowClient:
    """Open tracking store and registry; raises TouchlineError when they cannot be used."""
    # A bar for each downloaded file would tear the jobs' own progress display.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        client = connect(settings)
    except SinkUnavailable as error:
        raise TouchlineError(str(error)) from error
    if registry_uri(settings) != settings.tracking_uri:
        from mlflow.tracking import MlflowClient

        return MlflowClient(settings.tracking_uri, registry_uri=registry_uri(settings))
    return client


def is_absent(error: Exception) -> bool:
    """Whether the registry said that there is no such thing."""
    return getattr(error, "error_code", "") in _ABSENT


@contextlib.contextmanager
def telling(settings: Settings, what: str) -> Iterator[None]:
    """Turn MLflow's failures into sentences; ``what`` completes "could not …"."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        raise TouchlineError(f"The catalog could not {what}. {unavailable(settings, error)}") from error


@contextlib.contextmanager
def changing(settings: Settings, timeout: float = 60.0) -> Iterator[None]:
    """Hold the machine's lock on changes of the catalog; raises TouchlineError after ``timeout`` seconds.

    Aliases have no compare-and-set, so on one machine a file lock stands in for it. It does not reach other
    machines: those are caught by the read before and the read after, not excluded.
    """
    path = settings.home / "catalog.lock"
    deadline = time.monotonic() + timeout
    with path.open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise TouchlineError(
                        f"Another process has held the catalog's lock {path} for {timeout:.0f} s. "
                        "Wait for its promotion to end, or stop it, then repeat the command."
                    ) from error
                time.sleep(_POLL_SECONDS)
        yield
