"""The files of a model: fetched from the store and held against their digests."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchline.catalog.digest import directory_digest, files_digest
from touchline.catalog.store import registry_uri, telling
from touchline.catalog.version import CODE_DIGEST_TAG, INPUTS_TAG, OUTPUTS_TAG, LoggedModel, ModelVersion
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.filesystem import is_inside, refuse_links_out

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

ARTIFACT = "policy"
"""Name of the pyfunc artifact that holds the payload, as ``run.log_model`` gives it."""

LOADER = "mlflow.pyfunc.loaders.code_model"
"""What MLflow loads a model from code by."""


def payload_of(directory: Path) -> Path:
    """Return where the payload lies in a downloaded model; raises TouchlineError when it has none.

    MLflow names it after the directory that was logged, so only its ``MLmodel`` file knows.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    try:
        flavor = Model.load(str(directory)).flavors["python_function"]
        payload = directory / str(flavor["artifacts"][ARTIFACT]["path"])
    except (MlflowException, KeyError, TypeError, ValueError, OSError) as error:
        raise TouchlineError(
            f"The model in {directory} has no artifact {ARTIFACT!r} ({type(error).__name__}: {error}). "
            "Log it with run.log_model(directory, ...)."
        ) from error
    if not is_inside(payload, directory):
        raise TouchlineError(
            f"The MLmodel file in {directory} names the payload {payload}, which is not in the model. Do not use it: "
            "restore the artifact from a backup, or log and register the model anew."
        )
    return payload


def fetch(client: MlflowClient, settings: Settings, source: ModelVersion | LoggedModel, directory: Path) -> None:
    """Download the whole model into ``directory``.

    Raises TouchlineError when the store cannot, and when a symbolic link in the model leads out of it.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    stores = {"tracking_uri": settings.tracking_uri, "registry_uri": registry_uri(settings)}
    with telling(settings, f"fetch {source.uri}"):
        if registry_uri(settings) != settings.tracking_uri and isinstance(source, ModelVersion):
            # Unity Catalog lends credentials for its storage through this URI only.
            download_artifacts(artifact_uri=source.uri, dst_path=str(directory), **stores)
        else:
            if isinstance(source, ModelVersion):
                place = client.get_model_version_download_uri(source.name, str(source.version))
            else:
                place = client.get_logged_model(source.model_id).artifact_location
            # Asked for by models:/ URI, MLflow looks into the process's global store instead of ours.
            get_artifact_repository(place, **stores).download_artifacts("", dst_path=str(directory))
    refuse_links_out(directory, source.uri)


def source_of(client: MlflowClient, settings: Settings, logged: LoggedModel) -> str:
    """Return what a version of the logged model names as its source."""
    if settings.tracking_uri.startswith("sqlite:"):
        # Without a server the registry would look a models:/ URI up in the process's global store, not in ours.
        return str(client.get_logged_model(logged.model_id).artifact_location)
    return logged.uri


def inspect(
    client: MlflowClient, settings: Settings, logged: LoggedModel, digest: str | None
) -> tuple[str, str, dict[str, str]]:
    """Return the digests of payload and code of what the store really has, and tags of its shapes.

    Raises TouchlineError when the model has no signature with inputs and outputs, or not the given digest.
    """
    from mlflow.models import Model

    with tempfile.TemporaryDirectory(prefix="touchline-") as place:
        directory = Path(place)
        fetch(client, settings, logged, directory)
        signature = Model.load(str(directory)).signature
        if signature is None or not signature.inputs or not signature.outputs:
            raise TouchlineError(
                f"The model {logged.name!r} of run {logged.mlflow_run_id} has no signature with inputs and outputs, "
                "which the catalog wants. Give run.log_model a signature like "
                '{"inputs": (-1, 89), "outputs": (-1, 12)}.'
            )
        found = directory_digest(payload_of(directory))
        expected = digest or logged.digest
        if expected is not None and expected != found:
            raise mismatch(f"The logged model {logged.uri}", "payload", expected, found)
        shapes = {INPUTS_TAG: signature.inputs, OUTPUTS_TAG: signature.outputs}
        return found, code_digest(directory), {tag: told for tag, side in shapes.items() if (told := _shape(side))}


def _shape(schema: Any) -> str:
    """The shape of the one unnamed array that a schema describes, as JSON; empty for any other schema."""
    if not schema.is_tensor_spec() or schema.has_input_names():
        return ""
    return json.dumps(list(schema.inputs[0].shape))


def verify(source: ModelVersion | LoggedModel, directory: Path) -> Path:
    """Return the payload in ``directory``; raises TouchlineError, with both digests, unless it is ``source``'s."""
    payload = payload_of(directory)
    _refuse_foreign_loader(source, directory)
    found = directory_digest(payload) if payload.is_dir() else "of nothing"
    if found != source.digest:
        raise mismatch(f"{source.uri} in {directory}", "payload", source.digest, found)
    code = source.tags.get(CODE_DIGEST_TAG)
    if code is not None and code != code_digest(directory):
        raise mismatch(f"{source.uri} in {directory}", "code", code, code_digest(directory))
    return payload


def _refuse_foreign_loader(source: ModelVersion | LoggedModel, directory: Path) -> None:
    """Refuse an ``MLmodel``, which no digest covers, that has loading run anything but the model's own code."""
    from mlflow.models import Model

    flavor = Model.load(str(directory)).flavors["python_function"]
    loader, code, pickled = flavor.get("loader_module"), flavor.get("code"), flavor.get("python_model")
    if loader != LOADER or code or pickled or not flavor.get("model_code_path"):
        raise TouchlineError(
            f"{source.uri} is not what was registered: its MLmodel file loads it by {loader!r}, with code {code!r} "
            f"and pickle {pickled!r}, and a model from code loads by {LOADER!r} alone. Do not use it: restore the "
            "artifact from a backup, or log and register the model anew."
        )


def code_digest(directory: Path) -> str:
    """Digest of the Python that loading the model would run, which the payload's digest does not cover."""
    payload = payload_of(directory)
    return files_digest(directory, (p for p in directory.rglob("*.py") if not p.is_relative_to(payload)))


def mismatch(what: str, part: str, expected: str | None, found: str) -> TouchlineError:
    """Build the error for files that are not what a digest promised."""
    return TouchlineError(
        f"{what} is not what was registered: its {part} has the sha256 digest {found}, and {expected} was expected. "
        "Do not use it: restore the artifact from a backup, or log and register the model anew."
    )
