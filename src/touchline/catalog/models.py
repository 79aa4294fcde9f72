"""Versions of models: registered once, found by alias, loaded only when their digest matches."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchline.catalog.milestones import MILESTONES, Milestone, registering
from touchline.catalog.payload import fetch, inspect, payload_of, source_of, verify
from touchline.catalog.store import (
    all_versions,
    create_version,
    ensure_model,
    is_absent,
    is_unity_catalog,
    open_client,
    settings_for,
    telling,
)
from touchline.catalog.tickets import Lease, holding
from touchline.catalog.version import (
    CODE_DIGEST_TAG,
    DIGEST_TAG,
    MADE_BY_JOB_TAG,
    MADE_BY_RUN_TAG,
    MODEL_TAG,
    RUN_TAG,
    LoggedModel,
    ModelVersion,
    tag_key,
    tag_value,
)
from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError, missing_package
from touchline.filesystem import close_to_others, make_private

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


class Catalog:
    """The registered models below one prefix. Opens MLflow at the first call, not before."""

    def __init__(self, tracking_uri: str, prefix: str, *, milestones: Mapping[str, Milestone] = MILESTONES) -> None:
        """``tracking_uri``: MLflow's; ``prefix``: catalog and schema, like ``booster_soccer.rl_models``."""
        self.settings = settings_for(tracking_uri, prefix)
        self.milestones = milestones
        self.lease = Lease()
        self.closed_tickets: dict[str, dict[int, Mapping[str, str]]] = {}

    @classmethod
    def of(cls, settings: Settings, *, milestones: Mapping[str, Milestone] = MILESTONES) -> Catalog:
        """Return the catalog of the settings' store and prefix."""
        catalog = cls(settings.tracking_uri, settings.catalog_prefix, milestones=milestones)
        catalog.settings = settings
        return catalog

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client. Raises TouchlineError when the store cannot be used."""
        return open_client(self.settings)

    def full_name(self, model: str) -> str:
        """Put the prefix before a short name; a name with dots is complete already."""
        return model if "." in model else f"{self.settings.catalog_prefix}.{model}"

    def register(
        self,
        job: str,
        mlflow_run_id: str,
        model_name: str = "model",
        digest: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> ModelVersion:
        """Make a version of the model that the run logged, and point the job's alias at it.

        ``digest`` is the payload's as the job knows it. A repeated call returns the same version. Raises
        TouchlineError when the job may not register, when the run has not logged the model, or when the model
        has no signature with inputs and outputs or another digest.
        """
        short, alias = registering(job, self.milestones)
        name = self.full_name(short)
        logged = self.logged(mlflow_run_id, model_name)
        found, code, shapes = inspect(self.client, self.settings, logged, digest)
        run = self.client.get_run(mlflow_run_id)
        described = {
            **{tag_key(key): tag_value(value) for key, value in (tags or {}).items()},
            DIGEST_TAG: found,
            CODE_DIGEST_TAG: code,
            MADE_BY_JOB_TAG: job,
            **({MADE_BY_RUN_TAG: run_id} if (run_id := run.data.tags.get(RUN_TAG)) else {}),
            MODEL_TAG: logged.model_id,
            **shapes,
        }
        with telling(self.settings, f"register {name}"):
            ensure_model(self.client, name)
        with holding(self, name) as ticket, telling(self.settings, f"register {name}"):
            known = [v for v in self.versions(name) if (v.mlflow_run_id, v.digest) == (mlflow_run_id, found)]
            version = known[0].version if known else self._create(name, logged, described)
            ticket.must_hold()
            current = self.resolve(name, alias)
            # A repeated call for an older run must not take the alias back from a newer one.
            if current is None or current.version < version:
                self.set_alias(name, alias, version)
        return self.get(name, version)

    def logged(self, mlflow_run_id: str, model_name: str = "model") -> LoggedModel:
        """Return the newest model that the run logged under this name; raises TouchlineError when there is none."""
        from mlflow.entities import LoggedModelStatus

        if not mlflow_run_id:
            raise TouchlineError(
                'MLflow does not know the run yet, so it has no model of it. Wait for run.wait_delivered("mlflow"), '
                "or send it with: touchline sync"
            )
        with telling(self.settings, f"read the models of run {mlflow_run_id}"):
            outputs = self.client.get_run(mlflow_run_id).outputs
            found = [self.client.get_logged_model(o.model_id) for o in (outputs.model_outputs if outputs else ())]
        ready = [model for model in found if (model.name, model.status) == (model_name, LoggedModelStatus.READY)]
        if not ready:
            others = ", ".join(sorted({model.name for model in found})) or "none"
            raise TouchlineError(
                f"The MLflow run {mlflow_run_id} has logged no model {model_name!r} (logged: {others}). Log it with "
                'run.log_model(...), and wait for run.wait_delivered("mlflow") before registering.'
            )
        newest = max(ready, key=lambda model: model.creation_timestamp)
        return LoggedModel(newest.model_id, newest.name, mlflow_run_id, dict(newest.tags))

    def resolve(self, model: str, alias: str) -> ModelVersion | None:
        """Return the version that the alias (in any letter case) points at, or None.

        Raises TouchlineError when spellings that differ only in case point at different versions.
        """
        name = self.full_name(model)
        aliases = self._aliases(name)
        spelled = {k: v for k, v in aliases.items() if k.casefold() == alias.casefold()}
        if not spelled:
            return None
        if len(set(spelled.values())) > 1:
            shown = ", ".join(f"@{key} is version {value}" for key, value in sorted(spelled.items()))
            raise TouchlineError(
                f"The alias {alias!r} of {name} is ambiguous: {shown}. Aliases do not differ by letter case; "
                "delete the wrong one in MLflow."
            )
        return self._get(name, next(iter(spelled.values())), aliases)

    def find(self, reference: str) -> ModelVersion:
        """Return the version that ``NAME@ALIAS`` or ``NAME/VERSION`` means; raises UsageError when there is none."""
        name, at, alias = reference.removeprefix("models:/").partition("@")
        if at and name and alias:
            found = self.resolve(name, alias)
            if found is None:
                known = ", ".join(f"@{key}" for key in sorted(self._aliases(self.full_name(name)))) or "none"
                raise UsageError(
                    f"{self.full_name(name)} has no alias {alias!r}. Its aliases: {known}. "
                    "A job that registers or promotes sets it."
                )
            return found
        name, slash, version = name.rpartition("/")
        if slash and name and version.isdecimal():
            return self.get(name, int(version))
        raise UsageError(f"{reference!r} names no version. Write NAME@ALIAS or NAME/VERSION.")

    def get(self, model: str, version: int) -> ModelVersion:
        """Return one version; raises UsageError when it does not exist."""
        name = self.full_name(model)
        return self._get(name, version, self._aliases(name))

    def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """Return all versions, oldest first; empty when the model does not exist."""
        name = self.full_name(model)
        with telling(self.settings, f"list {name}"):
            found = list(all_versions(self.client, name))
            if is_unity_catalog(self.settings):  # which tells no tags of what it has found
                found = [self.client.get_model_version(name, str(one.version)) for one in found]
            aliases = self._aliases(name) if found else {}
        return tuple(sorted((ModelVersion.read(v, aliases) for v in found), key=lambda v: v.version))

    def download(self, source: ModelVersion | LoggedModel, directory: Path) -> Path:
        """Fetch a model into ``directory`` and return where its payload lies in there.

        A directory that already holds it, intact, is used as it is. Raises TouchlineError, and leaves nothing
        behind, when the payload or the code is not what the digests say or when there is no digest.
        """
        if source.digest is None:
            raise TouchlineError(
                f"{source.uri} has no digest (tag {DIGEST_TAG}), so nobody knows whether it is intact. "
                "Register it through a job, or log it with that tag in its metadata."
            )
        if directory.exists() and any(directory.iterdir()):
            return verify(source, directory)
        make_private(directory.parent)
        partial = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
        try:
            fetch(self.client, self.settings, source, partial)
            verify(source, partial)
            close_to_others(partial)
            partial.replace(directory)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return payload_of(directory)

    def check_files(self, source: ModelVersion | LoggedModel) -> None:
        """Hold what the store has of a model against its digests; raises TouchlineError as ``download`` does."""
        with tempfile.TemporaryDirectory(prefix="touchline-") as place:
            self.download(source, Path(place) / "model")

    def load(self, source: ModelVersion | LoggedModel) -> Any:
        """Return the verified model as an MLflow pyfunc, from a copy kept in the home."""
        import mlflow

        cache = self.settings.home / "models"
        place = cache / source.uri.removeprefix("models:/")
        if ".." in place.parts:
            raise TouchlineError(f"{source.uri} is no name of a model: it leads out of {cache}. Rename the model.")
        try:
            self.download(source, place)
        except TouchlineError:
            if not place.exists():
                raise
            # The copy is ours and no longer what it was: what the store has decides.
            shutil.rmtree(place)
            self.download(source, place)
        return mlflow.pyfunc.load_model(str(place))

    def describe(self, version: ModelVersion, text: str) -> None:
        """Set the description that MLflow's pages show of a version, see ``card``."""
        with telling(self.settings, f"describe {version}"):
            self.client.update_model_version(version.name, str(version.version), description=text)

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point an alias at a version, remove its other spellings, and read it back."""
        name = self.full_name(model)
        with telling(self.settings, f"set {name}@{alias}"):
            self.client.set_registered_model_alias(name, alias, str(version))
            spelled = [other for other in self._aliases(name) if other.casefold() == alias.casefold()]
            if alias in spelled:  # Unity Catalog has made it lower case, and knows no second spelling
                for other in spelled:
                    if other != alias:
                        self.client.delete_registered_model_alias(name, other)
        found = self.resolve(name, alias)
        if found is None or found.version != version:
            shown = "nothing" if found is None else f"version {found.version}"
            raise TouchlineError(
                f"{name}@{alias} was set to version {version}, but reads back as {shown}: somebody else changed it "
                "at the same time. Evaluate again against the present one."
            )

    def _get(self, name: str, version: int, aliases: Mapping[str, int]) -> ModelVersion:
        from mlflow.exceptions import MlflowException

        with telling(self.settings, f"read {name}"):
            try:
                return ModelVersion.read(self.client.get_model_version(name, str(version)), aliases)
            except MlflowException as error:
                if not is_absent(error):
                    raise
                known = ", ".join(str(other.version) for other in self.versions(name)) or "none"
                raise UsageError(f"{name} has no version {version}. Its versions: {known}.") from error

    def _aliases(self, name: str) -> dict[str, int]:
        from mlflow.exceptions import MlflowException

        with telling(self.settings, f"read the aliases of {name}"):
            try:
                found = self.client.get_registered_model(name).aliases
            except MlflowException as error:
                if is_absent(error):
                    return {}
                raise
        return {alias: int(version) for alias, version in found.items()}

    def _create(self, name: str, logged: LoggedModel, tags: Mapping[str, str]) -> int:
        from mlflow.tracking._tracking_service.utils import _use_tracking_uri

        more = {"run_id": logged.mlflow_run_id, "tags": dict(tags), "model_id": logged.model_id}
        source = source_of(self.client, self.settings, logged)
        if not is_unity_catalog(self.settings):
            return int(create_version(self.client, name, source, None, **more).version)
        # Its client looks the logged model up in the process's global store instead of ours.
        with tempfile.TemporaryDirectory(prefix="touchline-") as files, _use_tracking_uri(self.settings.tracking_uri):
            fetch(self.client, self.settings, logged, Path(files))
            return int(create_version(self.client, name, source, Path(files), **more).version)


def load_model(reference: str, settings: Settings | None = None) -> Any:
    """Load ``NAME@ALIAS`` (or ``NAME/VERSION``) as an MLflow pyfunc, its digest verified.

    ``model.predict(observations)`` then acts. Raises UsageError when there is no such version, TouchlineError
    when its files are not those that were registered, or when MLflow is not installed.
    """
    catalog = Catalog.of(settings or Settings.load())
    try:
        return catalog.load(catalog.find(reference))
    except ModuleNotFoundError as error:
        if (told := missing_package(error)) is None:
            raise
        raise TouchlineError(told) from error
