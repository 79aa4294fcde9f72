"""A real MLflow store on SQLite, and runs in it that have logged a policy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from touchline.catalog import Catalog, ModelVersion, directory_digest
from touchline.catalog.payload import LOADER
from touchline.catalog.store import create_version, ensure_model
from touchline.catalog.version import DIGEST_TAG
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
    return written_policy(tmp_path / "policy")


def written_policy(directory: Path, gain: float = 0.5) -> Path:
    directory.mkdir()
    (directory / "policy.json").write_text(f'{{"gain": {gain}}}')
    (directory / "policy.safetensors").write_bytes(bytes(64))
    return directory


def log_to(
    catalog: Catalog,
    policy: Path,
    job: str = "finetune",
    run_id: str = "3f2a",
    inputs: dict[str, str] | None = None,
    signature: ModelSignature | None = SIGNATURE,
    metadata: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
) -> str:
    """Log a policy as a job's model; returns the MLflow run's id."""
    client, settings = catalog.client, catalog.settings
    code = policy.parent / "policy_model.py"
    code.write_text(CODE)
    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.set_registry_uri(settings.tracking_uri)
    experiment = client.get_experiment_by_name("club")
    location = (settings.home / "mlartifacts").as_uri() if settings.tracking_uri.startswith("sqlite:") else None
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


def plain_version(
    catalog: Catalog, word: str, model: str = "ddpg_finetuned", policy: Path | None = None
) -> ModelVersion:
    """A version of the model, made without MLflow's slow logging; its payload is ``policy``'s files, or just one."""
    name, place = catalog.full_name(model), catalog.settings.home / "plain" / word
    payload = place / "artifacts" / "policy"
    if policy is not None:
        shutil.copytree(policy, payload)
    else:
        payload.mkdir(parents=True)
        (payload / "policy.json").write_text(json.dumps({"word": word}))
    described = Model()
    files = {"policy": {"path": "artifacts/policy", "uri": str(payload)}}
    described.add_flavor("python_function", loader_module=LOADER, model_code_path="serve.py", artifacts=files)
    described.save(str(place / "MLmodel"))
    ensure_model(catalog.client, name)
    tags = {DIGEST_TAG: directory_digest(payload)}
    made = create_version(catalog.client, name, place.as_uri(), None, tags=tags)
    return catalog.get(name, int(made.version))


LogModel = Callable[..., str]


@pytest.fixture
def log_model(catalog: Catalog, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LogModel:
    """Log the policy (or another) as a job's model; returns the MLflow run's id."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def log(job: str = "finetune", run_id: str = "3f2a", gain: float | None = None, **more: Any) -> str:
        if gain is not None:
            (policy / "policy.json").write_text(f'{{"gain": {gain}}}')
        return log_to(catalog, policy, job, run_id, **more)

    return log
