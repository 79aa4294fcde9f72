"""How jobs hand policies on: into a Run as a model, into the catalog as a milestone, and out again by alias."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchline.catalog import Catalog, ModelVersion, directory_digest
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.jobs.history import JOB
from touchline.learning.policy import Policy
from touchline.tracking.run import Run

DELIVERY_SECONDS = 180.0
"""How long a milestone waits until MLflow has the model; the first start of a store takes seconds."""


def catalog_of(settings: Settings) -> Catalog:
    """Return the catalog of these settings."""
    return Catalog(settings.tracking_uri, settings.catalog_prefix)


def log_policy(run: Run, policy: Policy) -> str:
    """Log ``policy`` as the run's model and return the digest of its files."""
    serve = Path(__file__).parent.parent / "learning" / "serve.py"
    with tempfile.TemporaryDirectory(prefix="policy-", dir=run.directory) as directory:
        path = policy.save(Path(directory) / "policy")
        digest = directory_digest(path)
        inputs, outputs = policy.mean.shape[0], policy.biases[-1].shape[0]
        run.log_model(
            path,
            code=serve,
            signature={"inputs": (-1, inputs), "outputs": (-1, outputs)},
            metadata={"digest": digest},
        )
    run.set_tags({"touchline.digest": digest})
    return digest


def register(run: Run, digest: str, tags: dict[str, Any]) -> ModelVersion:
    """Register the run's model as the milestone its job may set.

    Raises:
        TouchlineError: MLflow does not have the model in time; the journal has, so nothing is lost.
    """
    if not run.wait_delivered("mlflow", DELIVERY_SECONDS) or run.mlflow_run_id is None:
        state = run.delivery()["mlflow"]
        raise TouchlineError(
            f"MLflow at {run.settings.tracking_uri} has not taken the model of run {run.id} within "
            f"{DELIVERY_SECONDS:.0f} s ({state.reason or state.state}), so it cannot become a milestone. "
            f"Mend the connection, then: touchline sync {run.id} and start the pipeline again."
        )
    return catalog_of(run.settings).register(run.job, run.mlflow_run_id, digest=digest, tags=tags)


@dataclass(frozen=True)
class Loaded:
    """A verified policy from the catalog."""

    policy: Policy
    version: ModelVersion


def load_policy(run: Run, model: str, alias: str) -> Loaded:
    """Load ``model@alias`` after verifying its digest, and record it as the run's input.

    Raises:
        TouchlineError: there is no such milestone, or its files are not those that were registered.
    """
    catalog = catalog_of(run.settings)
    version = catalog.resolve(model, alias)
    if version is None:
        raise TouchlineError(
            f"There is no {catalog.full_name(model)}@{alias} in {run.settings.tracking_uri}. "
            "Run the job that registers it first; touchline run pipeline runs them all in order."
        )
    with tempfile.TemporaryDirectory(prefix="policy-", dir=run.directory) as directory:
        policy = Policy.load(catalog.download(version, Path(directory)))
    run.log_input(f"models:/{version.name}/{version.version}", alias)
    run.set_tags(
        {
            "touchline.input.model": f"{version.name}/{version.version}",
            "touchline.input.digest": version.digest,
            "touchline.input.run": version.run_id,
        }
    )
    return Loaded(policy, version)


@dataclass(frozen=True)
class Converted:
    """The PyTorch twin of a pre-trained version: an artifact of its Run, never in the catalog."""

    policy: Policy
    run_id: str
    """MLflow id of the *convert* Run."""
    digest: str


def load_converted(run: Run) -> Converted:
    """Load what *convert* made of ``mjx_sac@Candidate-Pretrain`` and record it as the run's input.

    Raises:
        TouchlineError: that version was not converted yet, or the artifact is not what was written.
    """
    from mlflow import MlflowClient

    settings = run.settings
    catalog = catalog_of(settings)
    source = catalog.resolve("mjx_sac", "Candidate-Pretrain")
    if source is None:
        raise TouchlineError(
            f"There is no {catalog.full_name('mjx_sac')}@Candidate-Pretrain in {settings.tracking_uri}. "
            "Start with: touchline run pretrain"
        )
    client = MlflowClient(tracking_uri=settings.tracking_uri)
    experiment = client.get_experiment_by_name(settings.project)
    runs = client.search_runs(
        [experiment.experiment_id] if experiment else [],
        filter_string=f"tags.`{JOB}` = 'convert' and tags.`touchline.input.digest` = '{source.digest}' "
        "and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    if not runs:
        raise TouchlineError(
            f"{source.name} version {source.version} was not converted yet. Convert it with: touchline run convert"
        )
    found = runs[0]
    expected = found.data.tags["touchline.digest"]
    with tempfile.TemporaryDirectory(prefix="converted-", dir=run.directory) as directory:
        path = Path(client.download_artifacts(found.info.run_id, "converted/policy", directory))
        digest = directory_digest(path)
        if digest != expected:
            raise TouchlineError(
                f"The converted policy of MLflow run {found.info.run_id} has digest {digest[:12]}…, written was "
                f"{expected[:12]}…: the files were changed. Convert again with: touchline run convert"
            )
        policy = Policy.load(path)
    run.set_tags(
        {
            "touchline.input.run": found.info.run_id,
            "touchline.input.digest": digest,
            "touchline.input.model": f"{source.name}/{source.version}",
        }
    )
    return Converted(policy, found.info.run_id, digest)
