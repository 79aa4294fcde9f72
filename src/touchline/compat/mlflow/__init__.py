"""MLflow's interface on Touchline's journal: ``import touchline.compat.mlflow as mlflow``.

Runs are recorded on both tracks; no call waits for a server, and MLflow's package is not loaded.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from touchline.compat.mlflow import _refused
from touchline.compat.mlflow._active import ActiveRun
from touchline.compat.mlflow._log import (
    log_artifact,
    log_artifacts,
    log_dict,
    log_figure,
    log_image,
    log_input,
    log_inputs,
    log_metric,
    log_metrics,
    log_param,
    log_params,
    log_stream,
    log_table,
    log_text,
    set_tag,
    set_tags,
)
from touchline.compat.mlflow._start import (
    Experiment,
    active_run,
    create_experiment,
    end_run,
    get_experiment,
    get_experiment_by_name,
    get_parent_run,
    get_run,
    get_tracking_uri,
    is_tracking_uri_set,
    last_active_run,
    set_experiment,
    set_tracking_uri,
    start_run,
)
from touchline.errors import TouchlineError

MlflowException = TouchlineError
exceptions = SimpleNamespace(MlflowException=TouchlineError)

__all__ = [
    "ActiveRun",
    "Experiment",
    "MlflowException",
    "active_run",
    "create_experiment",
    "end_run",
    "exceptions",
    "get_experiment",
    "get_experiment_by_name",
    "get_parent_run",
    "get_run",
    "get_tracking_uri",
    "is_tracking_uri_set",
    "last_active_run",
    "log_artifact",
    "log_artifacts",
    "log_dict",
    "log_figure",
    "log_image",
    "log_input",
    "log_inputs",
    "log_metric",
    "log_metrics",
    "log_param",
    "log_params",
    "log_stream",
    "log_table",
    "log_text",
    "set_experiment",
    "set_tag",
    "set_tags",
    "set_tracking_uri",
    "start_run",
]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"touchline.compat.mlflow has no attribute {name!r}.")
    return _refused.attribute(name, __all__)


def __dir__() -> list[str]:
    return sorted(__all__)
