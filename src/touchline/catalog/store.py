"""The registry behind the catalog: opened once, its failures told in sentences."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError
from touchline.tracking.find import existing_home
from touchline.tracking.mlflow_store import connect, refused, unavailable
from touchline.tracking.sinks.base import SinkUnavailable

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
_PRESENT = ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS")


def settings_for(tracking_uri: str, prefix: str) -> Settings:
    """Build settings whose home is where an SQLite store lies, or the default one for a server."""
    home = Settings().home
    if tracking_uri.startswith("sqlite:///"):
        home = Path(tracking_uri.removeprefix("sqlite:///")).parent
    return replace(Settings(), home=home.absolute(), mlflow_tracking_uri=tracking_uri, catalog_prefix=prefix)


def registry_uri(settings: Settings) -> str:
    """URI of the registry: the configured one, else the tracking store's own, on Databricks Unity Catalog."""
    if settings.mlflow_registry_uri is not None:
        return settings.mlflow_registry_uri
    uri = settings.tracking_uri
    return uri.replace("databricks", "databricks-uc", 1) if uri.split(":")[0] == "databricks" else uri


def existing_store(settings: Settings) -> None:
    """Raise UsageError where the store would be a new file of the home: to ask about models is not to create one."""
    if not settings.has_store:
        existing_home(settings)
        raise UsageError(
            f"No model is registered in {settings.home}: no run of it has reached MLflow yet. Name another home with "
            "--home DIR or TOUCHLINE_HOME, or a server with MLFLOW_TRACKING_URI."
        )


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


def is_unity_catalog(settings: Settings) -> bool:
    """Whether versions lie in Databricks Unity Catalog, which copies the files of each and lends credentials."""
    return registry_uri(settings).partition(":")[0] == "databricks-uc"


def is_absent(error: Exception) -> bool:
    """Whether the registry said that there is no such thing."""
    return getattr(error, "error_code", "") in _ABSENT


def ensure_model(client: MlflowClient, name: str) -> None:
    """Create the registered model unless it is there; others may do so at the same moment."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
        return
    except MlflowException as error:
        if not is_absent(error):
            raise
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if getattr(error, "error_code", "") not in _PRESENT:
            raise


def all_versions(client: MlflowClient, name: str) -> Iterator[Any]:
    """Yield MLflow's entities of all versions of a model, page by page; those of Unity Catalog tell no tags."""
    token: str | None = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        yield from page
        if not (token := page.token):
            return


def create_version(client: MlflowClient, name: str, source: str, files: Path | None, **more: Any) -> Any:
    """Create a version and return MLflow's entity; ``files`` is where the model lies, for a registry that copies it.

    Without them Unity Catalog's client would fetch ``source`` itself, and remove that when it has uploaded it: a
    local store would lose the model.
    """
    place = None if files is None else str(files)
    return client._create_model_version(name, source, local_model_path=place, await_creation_for=0, **more)


@contextlib.contextmanager
def telling(settings: Settings, what: str) -> Iterator[None]:
    """Turn MLflow's failures into sentences; ``what`` completes "could not …"."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        denial = refused(registry_uri(settings), error)
        told = f"{denial} Then give the command again." if denial else unavailable(settings, error)
        raise TouchlineError(f"The catalog could not {what}. {told}") from error
