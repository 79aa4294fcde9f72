"""The MLflow store of the settings: opened once at a time, its failures told in sentences.

Imports MLflow, so it is for couriers and for what already pays that price (the catalog, the jobs).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import sqlite3
import ssl
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from touchline.config import Settings
from touchline.errors import nearest
from touchline.filesystem import create_private, make_private
from touchline.tracking.launch import without_credentials
from touchline.tracking.probe import Reachable, probe_http
from touchline.tracking.sinks.base import SinkUnavailable

if TYPE_CHECKING:
    from mlflow.entities import Experiment
    from mlflow.tracking import MlflowClient

_SQLITE = "sqlite:///"
ASKED = ("http://", "https://", _SQLITE)
"""How the URIs begin that ``check_store`` asks."""
_CERTIFICATE = "MLFLOW_TRACKING_SERVER_CERT_PATH"
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "file", "databricks", "databricks-uc", "uc")
"""Those of MLflow's own tracking stores; plugins bring others."""
_UNKNOWN = re.compile(
    r"\bUNAUTHENTICATED\b|error code 401\b|\b401 (?:Client Error|Unauthorized)|^401: "
    r"|Invalid (?:access )?token|token (?:has |is )?expired",
    re.IGNORECASE,
)
"""What a user who is not known is told; of a token that has ended Databricks says it in words, with 403."""
_DENIED = re.compile(
    r"\bPERMISSION_DENIED\b|error code 403\b|\b403 (?:Client Error|Forbidden)|^403: |\bPermission denied\b",
    re.IGNORECASE,
)


def check_store(settings: Settings) -> None:
    """Find out within about 3 s whether the store can be used; raises SinkUnavailable with a remedy.

    Only what begins as one of ``ASKED`` is really asked; of another URI only its form is looked at.
    """
    uri = settings.tracking_uri
    _check_form(uri)
    if uri.startswith(("http://", "https://")):
        probe = probe_server(uri)
        if not probe.usable:
            raise SinkUnavailable(f"MLflow: {probe.reason}", permanent=probe.permanent)
    elif uri.startswith(_SQLITE):
        _check_database(Path(uri.removeprefix(_SQLITE)))


def probe_server(uri: str) -> Reachable:
    """Tell within about 3 s whether the MLflow server at ``uri`` answers."""
    return probe_http(uri.rstrip("/") + "/health", tls=_tls(), trust=" or ".join((_CERTIFICATE, _BUNDLES[0])))


def _tls() -> ssl.SSLContext:
    """Whom MLflow's client trusts, and what it shows of itself: the variables are MLflow's and those of requests."""
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context = ssl._create_unverified_context()
    else:
        named = next((name for name in (_CERTIFICATE, *_BUNDLES) if os.environ.get(name)), None)
        place = None if named is None else Path(os.environ[named])
        try:
            is_directory = place is not None and place.is_dir()
            context = ssl.create_default_context(
                cafile=None if is_directory else place, capath=place if is_directory else None
            )
        except OSError as error:
            raise SinkUnavailable(
                f"MLflow: {named} names {place}, which holds no certificate that can be read "
                f"({error.strerror or error}). Correct it.",
                permanent=True,
            ) from error
    if pair := os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        try:
            context.load_cert_chain(pair)
        except OSError as error:
            raise SinkUnavailable(
                f"MLflow: MLFLOW_TRACKING_CLIENT_CERT_PATH names {pair}, which holds no key and certificate that can "
                f"be read ({error.strerror or error}). Correct it.",
                permanent=True,
            ) from error
    return context


def _check_form(uri: str) -> None:
    scheme, colon, _ = uri.partition(":")
    if not colon or scheme.partition("+")[0] in _SCHEMES:
        return
    if any(plugin.name == scheme for plugin in entry_points(group="mlflow.tracking_store")):
        return
    guess = nearest(scheme, _SCHEMES)
    hint = f" Did you mean {guess!r}?" if guess else ""
    raise SinkUnavailable(
        f"The MLflow store {without_credentials(uri)} begins with {scheme!r}, which MLflow does not know.{hint} "
        "Correct MLFLOW_TRACKING_URI; it is like http://host:5000 or sqlite:////path/mlflow.db.",
        permanent=True,
    )


def _check_database(path: Path) -> None:
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        # Not read-only: after a kill in the middle of a write only one who may write can put the log in order.
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=5.0)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        if "locked" in str(error):  # somebody writes, so it is whole
            return
        raise SinkUnavailable(
            f"The MLflow store {path} cannot be read ({error}). Nothing is lost: put a backup in its place, or move "
            f"it away with: mv {path} {path}.damaged , and refill a new one with: touchline sync"
        ) from error


def connect(settings: Settings) -> MlflowClient:
    """Open the store, creating its schema on first use; safe when many processes do so at once.

    Raises SinkUnavailable when it cannot be opened.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    make_private(settings.home)
    with create_private(settings.home / "mlflow.lock").open("ab") as lock:
        # MLflow creates the tables of a fresh database without a lock of its own, and two at once fail.
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if settings.tracking_uri.startswith(_SQLITE):
                make_private(settings.artifact_root)
                _create_database(Path(settings.tracking_uri.removeprefix(_SQLITE)))
            client = MlflowClient(settings.tracking_uri, registry_uri=settings.tracking_uri)
            client.search_experiments(max_results=1)
        except Exception as error:
            raise unavailable(settings, error) from error
    return client


def _create_database(path: Path) -> None:
    """Create the tables beside ``path`` and move the file there when it is whole.

    A process killed in the middle of MLflow's migrations would leave a database that MLflow refuses for good.
    """
    from mlflow.tracking import MlflowClient

    if path.exists() and path.stat().st_size > 0:
        return
    make_private(path.parent)
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    for leftover in path.parent.glob(f"{path.name}.partial-*"):
        leftover.unlink()
    create_private(partial)
    MlflowClient(f"{_SQLITE}{partial}", registry_uri=f"{_SQLITE}{partial}").search_experiments(max_results=1)
    with contextlib.closing(sqlite3.connect(partial)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    partial.replace(path)


def find_experiment(client: MlflowClient, settings: Settings, project: str | None = None) -> Experiment | None:
    """Return MLflow's experiment of a project, which is the settings' unless another is named; None without one."""
    return client.get_experiment_by_name(_experiment_name(settings, project or settings.project))


def ensure_experiment(client: MlflowClient, settings: Settings, project: str) -> str:
    """Return the id of a project's experiment, creating it with its artifacts in the home."""
    from mlflow.exceptions import MlflowException

    found = find_experiment(client, settings, project)
    if found is not None:
        return str(found.experiment_id)
    name = _experiment_name(settings, project)
    location = None
    if settings.tracking_uri.startswith("sqlite:"):
        location = (settings.artifact_root / name).absolute().as_uri()
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException:
        found = find_experiment(client, settings, project)
        if found is None:
            raise
        return str(found.experiment_id)


def _experiment_name(settings: Settings, project: str) -> str:
    """A project's own name; on Databricks, which wants a path of the workspace, below /Shared."""
    return f"/Shared/{project}" if is_databricks(settings.tracking_uri) and not project.startswith("/") else project


def unavailable(settings: Settings, error: Exception) -> SinkUnavailable:
    """Build the reason for a store that failed just now."""
    text = _text(error)
    where = without_credentials(settings.tracking_uri)
    if (told := refused(settings.tracking_uri, error)) is not None:
        return SinkUnavailable(f"{told} Then: touchline sync", permanent=True)
    if "not a database" in text or "malformed" in text:
        return SinkUnavailable(f"The MLflow store {where} is damaged ({text}). Move it away, then: touchline sync")
    if "full" in text or "No space" in text:
        return SinkUnavailable(f"The disk of the MLflow store {where} is full. Free some space, then: touchline sync")
    if "QueuePool limit" in text:
        return SinkUnavailable(
            f"The MLflow server {where} has too few connections to its database for what is asked at once. It is "
            "asked again; its administrator may set MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW=80 (docs/servers.md)."
        )
    return SinkUnavailable(f"The MLflow store {where} fails ({text}).")


def refused(uri: str, error: Exception) -> str | None:
    """What to tell, and to do, where the store or registry at ``uri`` takes no user or gives no right; else None."""
    text = _text(error)
    is_unknown = _UNKNOWN.search(text) is not None
    if not is_unknown and not _DENIED.search(text):
        return None
    if is_databricks(uri):
        where, short = os.environ.get("DATABRICKS_HOST", "Databricks"), text[:200]
        if is_unknown:
            return (
                f"{where} does not take this token, which has expired or was revoked ({short}). Make a new one in "
                "the workspace's settings for developers, and set DATABRICKS_TOKEN; a cluster reads it from its "
                "secrets: databricks secrets put-secret touchline DATABRICKS_TOKEN"
            )
        return (
            f"{where} denies this user the permission ({short}). Let the owner grant it: models want USE CATALOG, "
            "USE SCHEMA, CREATE MODEL and, of those that are there, MANAGE; runs want CAN EDIT on their experiment."
        )
    where, short = without_credentials(uri), text[:120]
    if is_unknown:
        return (
            f"The MLflow store {where} does not know this user or password ({short}). Set MLFLOW_TRACKING_USERNAME "
            "and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
        )
    return (
        f"The MLflow store {where} denies this user the permission ({short}). Let its administrator give EDIT on the "
        "experiment, or choose another project."
    )


def is_databricks(uri: str) -> bool:
    """Whether runs, or models, go to a workspace of Databricks."""
    return uri.partition(":")[0] in ("databricks", "databricks-uc")


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
