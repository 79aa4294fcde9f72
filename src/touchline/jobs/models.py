"""How jobs hand policies on: into a Run as a model, into the catalog as a milestone, and out again by alias."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, fields
from pathlib import Path

from touchline.catalog import Catalog, LoggedModel, ModelVersion, directory_digest, tell_milestone
from touchline.catalog.lineage import INPUT_TAG
from touchline.catalog.version import DIGEST_TAG, STEP_TAG
from touchline.errors import TouchlineError
from touchline.jobs.base import SLOW_DELIVERY_SECONDS, raise_if_stopped, stop_requested
from touchline.jobs.cards import update_card
from touchline.jobs.history import JOB
from touchline.learning.policy import Policy
from touchline.tracking.launch import destination
from touchline.tracking.run import Run

DELIVERY_SECONDS = 180.0
"""How long a milestone waits for an MLflow that has trouble; the first start of a store takes seconds."""


def log_policy(run: Run, policy: Policy, name: str = "model") -> str:
    """Log ``policy`` with its deployed file as a model of the run, and return the digest of its files."""
    from touchline.jobs.deployment import deployed

    policy, serve = deployed(policy), Path(__file__).parent.parent / "learning" / "serve.py"
    with tempfile.TemporaryDirectory(prefix="policy-", dir=run.directory) as directory:
        path = policy.save(Path(directory) / "policy")
        digest = directory_digest(path)
        inputs, outputs = policy.mean.shape[0], policy.biases[-1].shape[0]
        run.log_model(
            path,
            name=name,
            code=serve,
            signature={"inputs": (-1, inputs), "outputs": (-1, outputs)},
            metadata={DIGEST_TAG: digest},
        )
    return digest


def register(run: Run, digest: str, step: int, tags: dict[str, str]) -> ModelVersion:
    """Register the model that the run logged as the milestone its job may set; both tracks are told.

    ``digest`` is what ``log_policy`` returned, ``step`` the number of policy transitions after which the model was
    taken from the training.

    Raises:
        TouchlineError: MLflow does not have the model in time; the journal has, so nothing is lost.
        Interrupted: a stop was asked for meanwhile.
    """
    began = time.monotonic()
    has_it = run.wait_delivered("mlflow", DELIVERY_SECONDS, SLOW_DELIVERY_SECONDS, stop_requested)
    if not has_it:
        raise_if_stopped(f"before MLflow had the model of run {run.id}")
    if not has_it or run.mlflow_run_id is None:
        state = run.delivery()["mlflow"]
        raise TouchlineError(
            f"MLflow at {destination('mlflow', run.settings)} has not taken the model of run {run.id} within "
            f"{time.monotonic() - began:.0f} s ({state.reason or state.state}), so it cannot become a milestone. "
            f"Mend the connection, then: touchline sync {run.id} and start the pipeline again."
        )
    tags = {**tags, STEP_TAG: str(step)}
    catalog = Catalog.of(run.settings)
    version = catalog.register(run.job, run.mlflow_run_id, digest=digest, tags=tags)
    update_card(catalog, version)
    tell_milestone(run, catalog, version)
    return version


@dataclass(frozen=True)
class Loaded:
    """A policy whose digest was verified, and where it comes from."""

    policy: Policy
    source: ModelVersion | LoggedModel


def load_policy(run: Run, model: str, alias: str) -> Loaded:
    """Load ``model@alias`` after verifying its digest, and record it as the run's input.

    Raises:
        TouchlineError: there is no such milestone, or its files are not those that were registered.
    """
    return load_version(run, milestone(Catalog.of(run.settings), model, alias), alias)


def load_version(run: Run, version: ModelVersion, context: str) -> Loaded:
    """Load a version after verifying its digest, and record it as the run's input under ``context``.

    Raises TouchlineError when its files are not those that were registered.
    """
    tell_input(run, version, context)
    return Loaded(_fetch(run, Catalog.of(run.settings), version), version)


def load_converted(run: Run) -> Loaded:
    """Load what *convert* made of ``mjx_sac@Candidate-Pretrain``, and record it as the run's input.

    It is a model of the *convert* Run and never in the catalog, so it is found through the version it was
    made from.

    Raises:
        TouchlineError: that version was not converted yet, or the files are not those that were written.
    """
    from touchline.tracking.mlflow_store import find_experiment

    settings, catalog = run.settings, Catalog.of(run.settings)
    source = milestone(catalog, "mjx_sac", "Candidate-Pretrain")
    experiment = find_experiment(catalog.client, settings)
    runs = catalog.client.search_runs(
        [experiment.experiment_id] if experiment else [],
        filter_string=f"tags.`{JOB}` = 'convert' and tags.`{INPUT_TAG}Candidate-Pretrain` = '{source.uri}' "
        "and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    if not runs:
        raise TouchlineError(f"{source} was not converted yet. Convert it with: touchline run convert")
    logged = catalog.logged(runs[0].info.run_id)
    tell_input(run, logged, "converted")
    return Loaded(_canonical(_fetch(run, catalog, logged)), logged)


def load_untrained(run: Run) -> Policy:
    """Load the untrained policy that ``mjx_sac@Candidate-Pretrain`` began as, and record it as the run's input.

    Raises:
        TouchlineError: there is no such milestone, or the files are not those that were written.
    """
    catalog = Catalog.of(run.settings)
    source = milestone(catalog, "mjx_sac", "Candidate-Pretrain")
    logged = catalog.logged(source.mlflow_run_id, "untrained")
    tell_input(run, logged, "untrained")
    return _fetch(run, catalog, logged)


def milestone(catalog: Catalog, model: str, alias: str) -> ModelVersion:
    """Return the version behind a milestone's alias; raises TouchlineError when there is none."""
    version = catalog.resolve(model, alias)
    if version is None:
        raise TouchlineError(
            f"There is no {catalog.full_name(model)}@{alias} in {destination('mlflow', catalog.settings)}. "
            "Run the job that sets it first; touchline run pipeline runs them all in order."
        )
    return version


def tell_input(run: Run, source: ModelVersion | LoggedModel, context: str) -> None:
    """Record what the run reads: which model, with which digest, made by which Run."""
    run.log_input(
        source.uri,
        context,
        digest=source.digest or "",
        run=source.mlflow_run_id,
        model_id=source.model_id,
    )


def _canonical(policy: Policy) -> Policy:
    """The policy without its deployed file, of which a training that goes on from it has no use."""
    return Policy(**{part.name: getattr(policy, part.name) for part in fields(Policy)})


def _fetch(run: Run, catalog: Catalog, source: ModelVersion | LoggedModel) -> Policy:
    from touchline.jobs.deployment import load_deployed

    with tempfile.TemporaryDirectory(prefix="policy-", dir=run.directory) as directory:
        return load_deployed(catalog.download(source, Path(directory) / "model"))
