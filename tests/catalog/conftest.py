"""A real MLflow store on SQLite, and runs in it that have logged a policy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from touchline.catalog import Catalog
from touchline.config import Settings

CODE = """
import json
from pathlib import Path

import mlflow
import numpy as np


class Policy(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.gain = json.loads((Path(context.artifacts["policy"]) / "policy.json").read_text())["gain"]

    def predict(self, context, model_input, params=None):
        return np.full((len(model_input), 2), self.gain, np.float32)


mlflow.models.set_model(Policy())
"""


def array(size: int) -> Schema:
    return Schema([TensorSpec(np.dtype("float32"), (-1, size))])


SIGNATURE = ModelSignature(inputs=array(3), outputs=array(2))


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store with MLflow's tables, which take seconds to create."""
    store = tmp_path_factory.mktemp("store") / "mlflow.db"
    assert Catalog(f"sqlite:///{store}", "club.models").versions("any") == ()
    return store


@pytest.fixture
def settings(tmp_path: Path, fresh_store: Path) -> Settings:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(fresh_store, home)
    return replace(Settings(), home=home, catalog_prefix="club.models")


@pytest.fixture
def catalog(settings: Settings) -> Catalog:
    return Catalog.of(settings)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    directory = tmp_path / "policy"
    directory.mkdir()
    (directory / "policy.json").write_text('{"gain": 0.5}')
    (directory / "policy.safetensors").write_bytes(bytes(64))
    return directory


LogModel = Callable[..., str]


@pytest.fixture
def log_model(catalog: Catalog, settings: Settings, policy: Path, tmp_path: Path, monkeypatch) -> LogModel:
    """Log the policy (or another) as a job's model; returns the MLflow run's id."""
    code = tmp_path / "policy_model.py"
    code.write_text(CODE)
    monkeypatch.chdir(tmp_path)

    def log(
        job: str = "finetune",
        run_id: str = "3f2a",
        gain: float | None = None,
        inputs: dict[str, str] | None = None,
        signature: ModelSignature | None = SIGNATURE,
        metadata: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> str:
        client: MlflowClient = catalog.client
        mlflow.set_tracking_uri(settings.tracking_uri)
        mlflow.set_registry_uri(settings.tracking_uri)
        if gain is not None:
            (policy / "policy.json").write_text(f'{{"gain": {gain}}}')
        experiment = client.get_experiment_by_name("club")
        location = (settings.home / "mlartifacts").as_uri()
        number = experiment.experiment_id if experiment else client.create_experiment("club", location)
        told = {"touchline.run_id": run_id, "touchline.job": job, "touchline.status": "finished", **(tags or {})}
        told |= {f"touchline.input.{context}": uri for context, uri in (inputs or {}).items()}
        with mlflow.start_run(experiment_id=number, tags=told) as run:
            mlflow.pyfunc.log_model(
                name="model",
                python_model=str(code),
                artifacts={"policy": str(policy)},
                signature=signature,
                pip_requirements=["mlflow"],
                tags=metadata,
            )
        # The catalog has to go by its own settings, so the process's global store is one that does not answer.
        mlflow.set_tracking_uri("http://127.0.0.1:9")
        mlflow.set_registry_uri("http://127.0.0.1:9")
        return run.info.run_id

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return log
