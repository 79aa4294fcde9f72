"""What MLflow's interface has and this one has not, each with its remedy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from touchline.compat.told import no_attribute, refusal, tell

_REAL = "use MLflow's own package for it: import mlflow as real_mlflow"
_WATCH = "touchline.watch records the machine"
_MODEL = (
    "Save the weights and keep them with mlflow.log_artifact(path), log a pyfunc with "
    "mlflow.active_run().touchline.log_model(directory, code=…), or " + _REAL
)
FLAVOURS = (
    "pytorch",
    "sklearn",
    "tensorflow",
    "keras",
    "xgboost",
    "lightgbm",
    "catboost",
    "onnx",
    "pyfunc",
    "spark",
    "transformers",
    "statsmodels",
    "prophet",
    "spacy",
    "diffusers",
    "langchain",
    "openai",
)

RAISED = {
    "autolog": f"mlflow.autolog patches training libraries from inside, which this interface does not; {_REAL}. "
    "Log what matters with mlflow.log_metrics.",
    "MlflowClient": f"mlflow.MlflowClient talks to the server, which this interface never waits for; {_REAL}.",
    "search_runs": f"mlflow.search_runs reads from the server, which this interface never waits for; {_REAL}.",
    "search_experiments": f"mlflow.search_experiments reads from the server; {_REAL}.",
    "get_artifact_uri": "mlflow.get_artifact_uri is known to the server only. The run's own directory is "
    "mlflow.active_run().touchline.directory.",
    "register_model": f"mlflow.register_model waits for the server; touchline.catalog registers, or {_REAL}.",
    "log_model": f"mlflow.log_model is not supported. {_MODEL}.",
    "load_table": f"mlflow.load_table reads from the server; {_REAL}.",
    "evaluate": f"mlflow.evaluate is not supported; {_REAL}.",
    "models": f"mlflow.models is not supported. {_MODEL}.",
    "data": "mlflow.data builds datasets with MLflow's own package: import mlflow.data as mlflow_data, and give what "
    "it returns to log_input here.",
    "artifacts": f"mlflow.artifacts reads from the server; {_REAL}.",
    "projects": f"mlflow.projects is not supported; {_REAL}.",
    "run": f"mlflow.run is not supported; {_REAL}.",
    "trace": f"mlflow.trace is not supported; {_REAL}.",
    "start_span": f"mlflow.start_span is not supported; {_REAL}.",
    "delete_run": f"mlflow.delete_run is not supported: the journal forgets nothing; {_REAL}.",
    "delete_experiment": f"mlflow.delete_experiment is not supported; {_REAL}.",
    **{flavour: f"mlflow.{flavour} is not supported. {_MODEL}." for flavour in FLAVOURS},
}
"""Calling one of these, or what is in it, raises TouchlineError."""

TOLD = {
    "delete_tag": "mlflow.delete_tag has no effect: the journal forgets nothing. Set the tag to another value.",
    "set_experiment_tag": f"mlflow.set_experiment_tag has no effect; {_REAL}.",
    "set_experiment_tags": f"mlflow.set_experiment_tags has no effect; {_REAL}.",
    "set_registry_uri": "mlflow.set_registry_uri has no effect: the registry is at the tracking URI.",
    "enable_system_metrics_logging": f"mlflow.enable_system_metrics_logging has no effect; {_WATCH}.",
    "disable_system_metrics_logging": f"mlflow.disable_system_metrics_logging has no effect; {_WATCH}.",
    "set_active_model": "mlflow.set_active_model has no effect: metrics belong to the run.",
}
"""Calling one of these warns once and does nothing."""

SILENT = ("flush_async_logging", "flush_artifact_async_logging", "flush_metric_async_logging", "login")
"""Nothing is to be done for these: a courier delivers."""


class Refused:
    """Stands for a name that is not offered; calling it, or what is in it, raises TouchlineError."""

    def __init__(self, name: str, sentence: str) -> None:
        self._name, self._refuse = name, refusal(sentence)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._refuse

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._refuse()


def attribute(name: str, known: Iterable[str]) -> Any:
    """What stands for a name that is not offered; raises AttributeError for one that MLflow has not either."""
    if name in RAISED:
        return Refused(name, RAISED[name])
    if name in TOLD:
        return lambda *arguments, **named: tell(f"mlflow.{name}", TOLD[name])
    if name in SILENT:
        return lambda *arguments, **named: None
    raise no_attribute("touchline.compat.mlflow", name, known)
