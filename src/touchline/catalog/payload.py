"""The files of a model: fetched from the store and held against their digests."""

from __future__ import annotations

import tempfile
from pathlib import Path

from touchline.catalog.digest import directory_digest, files_digest
from touchline.catalog.store import registry_uri, telling
from touchline.catalog.version import CODE_DIGEST_TAG, LoggedModel, ModelVersion
from touchline.config import Settings
from touchline.errors import TouchlineError

PAYLOAD = Path("artifacts", "policy")
"""Where MLflow puts the artifact ``policy`` inside a pyfunc model."""


def fetch(settings: Settings, uri: str, directory: Path) -> None:
    """Download the whole model into ``directory``; raises TouchlineError when the store cannot."""
    from mlflow.artifacts import download_artifacts

    with telling(settings, f"fetch {uri}"):
        download_artifacts(
            artifact_uri=uri,
            dst_path=str(directory),
            tracking_uri=settings.tracking_uri,
            registry_uri=registry_uri(settings),
        )


def inspect(settings: Settings, logged: LoggedModel, digest: str | None) -> tuple[str, str]:
    """Return the digests of payload and code of what the store really has.

    Raises TouchlineError when the model has no signature with inputs and outputs, or not the given digest.
    """
    from mlflow.models import Model

    with tempfile.TemporaryDirectory(prefix="touchline-") as place:
        directory = Path(place)
        fetch(settings, logged.uri, directory)
        signature = Model.load(str(directory)).signature
        if signature is None or not signature.inputs or not signature.outputs:
            raise TouchlineError(
                f"The model {logged.name!r} of run {logged.mlflow_run_id} has no signature with inputs and outputs, "
                "which the catalog wants. Give run.log_model a signature like "
                '{"inputs": (-1, 89), "outputs": (-1, 12)}.'
            )
        found = directory_digest(directory / PAYLOAD)
        expected = digest or logged.digest
        if expected is not None and expected != found:
            raise mismatch(f"The logged model {logged.uri}", "payload", expected, found)
        return found, code_digest(directory)


def verify(source: ModelVersion | LoggedModel, directory: Path) -> None:
    """Raise TouchlineError, with both digests, unless the files in ``directory`` are those of ``source``."""
    payload = directory / PAYLOAD
    found = directory_digest(payload) if payload.is_dir() else "of nothing"
    if found != source.digest:
        raise mismatch(f"{source.uri} in {directory}", "payload", source.digest, found)
    code = source.tags.get(CODE_DIGEST_TAG)
    if code is not None and code != code_digest(directory):
        raise mismatch(f"{source.uri} in {directory}", "code", code, code_digest(directory))


def code_digest(directory: Path) -> str:
    """Digest of the Python that loading the model would run, which the payload's digest does not cover."""
    payload = directory / PAYLOAD
    return files_digest(directory, (p for p in directory.rglob("*.py") if not p.is_relative_to(payload)))


def mismatch(what: str, part: str, expected: str | None, found: str) -> TouchlineError:
    """Build the error for files that are not what a digest promised."""
    return TouchlineError(
        f"{what} is not what was registered: its {part} has the sha256 digest {found}, and {expected} was expected. "
        "Do not use it: restore the artifact from a backup, or log and register the model anew."
    )
