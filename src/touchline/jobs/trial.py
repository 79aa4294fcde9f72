"""A trial of the MLflow store: a model is registered and a file stored, and both are removed again.

Run as a process of its own (``python -m touchline.jobs.trial``), because MLflow may hang for as long as it likes.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from touchline.catalog.store import open_client, registry_uri, telling
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.tracking.launch import settings_from_order

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_TAG = "touchline_doctor"  # Unity Catalog takes no dots


def try_registry(client: MlflowClient, settings: Settings, name: str) -> float:
    """Register the model ``name`` below the catalog's prefix, tag it, remove it; returns the seconds it took.

    Raises TouchlineError where the registry refuses, or keeps what it should remove.
    """
    model = f"{settings.catalog_prefix}.{name}"
    began = time.perf_counter()
    with telling(settings, f"register a model such as {model}"):
        client.create_registered_model(model, description="A trial by touchline doctor; may be deleted.")
    try:
        with telling(settings, f"tag a model such as {model}"):
            client.set_registered_model_tag(model, _TAG, "trial")
    finally:
        with telling(settings, f"remove the model {model} of this trial, so delete it in MLflow"):
            client.delete_registered_model(model)
    return time.perf_counter() - began


def try_storage(client: MlflowClient, settings: Settings, name: str) -> float:
    """Store a small file called ``name`` where artifacts lie, read it back, remove it; returns the seconds it took.

    Raises TouchlineError where the storage refuses, or gives back something else.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    place = f"{location(client, settings)}/{name}"
    stores = {"tracking_uri": settings.tracking_uri, "registry_uri": registry_uri(settings)}
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="touchline-") as directory, telling(settings, f"store a file in {place}"):
        file, back = Path(directory) / f"{name}.txt", Path(directory) / "back"
        file.write_text(name, encoding="utf-8")
        back.mkdir()
        repository = get_artifact_repository(place, **stores)
        repository.log_artifact(str(file))
        try:
            found = Path(repository.download_artifacts(file.name, dst_path=str(back))).read_text(encoding="utf-8")
        finally:
            repository.delete_artifacts()
    if found != name:
        raise TouchlineError(f"A file stored in {place} came back as {found[:40]!r} instead of {name!r}.")
    return time.perf_counter() - began


def location(client: MlflowClient, settings: Settings) -> str:
    """URI below which a trial stores: where the project's artifacts lie, else where those of the store would."""
    from touchline.tracking.mlflow_store import find_experiment

    experiment = find_experiment(client, settings)
    if experiment is None and settings.tracking_uri.startswith("sqlite:"):
        return settings.home.as_uri()
    uri = str((experiment or client.get_experiment("0")).artifact_location).rstrip("/")
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        return uri
    path = Path(unquote(parts.path))
    # A directory that the first run makes is not to be left behind by a trial.
    return next(parent for parent in (path, *path.parents) if parent.is_dir()).as_uri()


def main() -> None:
    """Read the settings and a name from standard input, try both, and print what came of each as JSON.

    Each is ``{"seconds": …}`` or ``{"error": …}``; of the storage also ``place``. On Databricks there is no storage:
    only a run may write there.
    """
    order: dict[str, Any] = json.load(sys.stdin)
    settings = settings_from_order(order["settings"])
    try:
        client = open_client(settings)
    except TouchlineError as error:
        print(json.dumps({name: {"error": str(error)} for name in ("registry", "storage")}))
        return

    def outcome(trial: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return trial()
        except Exception as error:
            return {"error": str(error) or type(error).__name__}

    outcomes = {"registry": outcome(lambda: {"seconds": try_registry(client, settings, order["name"])})}
    if settings.tracking_uri.split(":")[0] != "databricks":
        outcomes["storage"] = outcome(
            lambda: {
                "seconds": try_storage(client, settings, order["name"]),
                "place": location(client, settings),
            }
        )
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
