"""Logging a model to MLflow as code plus a directory of weights, exactly once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from touchline.config import Settings
from touchline.tracking.journal import Event
from touchline.tracking.media import kept
from touchline.tracking.sinks.base import RunInfo

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.tracking import MlflowClient
    from mlflow.types import Schema

EVENT_TAG = "touchline.event"


def log_model(
    client: MlflowClient, settings: Settings, run: RunInfo, mlflow_run_id: str, experiment_id: str, event: Event
) -> str:
    """Log the model of a ``model`` event and return its MLflow id; a replay finds the one logged before."""
    import mlflow
    from mlflow.entities import LoggedModelStatus
    from mlflow.models import Model

    key = f"{run.id}/{event.seq}"
    # Both values are ours: the query cannot be changed by what a user names things.
    for known in client.search_logged_models([experiment_id], f"tags.`{EVENT_TAG}` = '{key}'"):
        if known.status == LoggedModelStatus.READY:
            return str(known.model_id)
        client.finalize_logged_model(known.model_id, LoggedModelStatus.FAILED)
    payload = event.payload
    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.set_registry_uri(settings.tracking_uri)
    # Without it the model goes to the Default experiment and its artifacts beside the configured place.
    mlflow.set_experiment(experiment_id=experiment_id)
    logged = Model.log(
        artifact_path=None,
        name=payload["name"],
        flavor=mlflow.pyfunc,
        run_id=mlflow_run_id,
        flavor_name="pyfunc.ModelFromCode",
        python_model=str(kept(run.directory, payload["code"])),
        artifacts={"policy": str(kept(run.directory, payload["path"]))},
        signature=signature_of(payload["signature"]),
        metadata=dict(payload["metadata"]),
        tags={EVENT_TAG: key, RUN_TAG: run.id, **{k: str(v) for k, v in payload["metadata"].items()}},
        # Named here, because MLflow would otherwise find them out by loading the model in one more process.
        pip_requirements=list(payload["requirements"]) or [f"mlflow=={mlflow.__version__}"],
        step=event.step or 0,
    )
    return str(logged.model_id)


RUN_TAG = "touchline.run_id"


def signature_of(description: Mapping[str, Any]) -> ModelSignature | None:
    """Build an MLflow signature from ``{"inputs": …, "outputs": …}``.

    Each side is a shape like (-1, 89), for one unnamed array, or a mapping from names to shapes; a shape may
    also be ``{"shape": …, "type": "float64"}``; the type is float32 otherwise. An empty mapping gives None.
    """
    if not description:
        return None
    from mlflow.models import ModelSignature

    sides = {side: _schema(description[side]) for side in ("inputs", "outputs") if description.get(side)}
    return ModelSignature(**sides)


def _schema(side: Any) -> Schema:
    from mlflow.types import Schema

    if isinstance(side, Mapping) and "shape" not in side:
        return Schema([_tensor(shape, name) for name, shape in side.items()])
    return Schema([_tensor(side, None)])


def _tensor(description: Any, name: str | None) -> Any:
    import numpy as np
    from mlflow.types import TensorSpec

    shape: Sequence[int] = description["shape"] if isinstance(description, Mapping) else description
    kind = description.get("type", "float32") if isinstance(description, Mapping) else "float32"
    return TensorSpec(np.dtype(kind), tuple(int(size) for size in shape), name)
