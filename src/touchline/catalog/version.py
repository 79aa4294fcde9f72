"""What the catalog and the runs hold, as frozen data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DIGEST_TAG = "touchline_digest"
CODE_DIGEST_TAG = "touchline_code_digest"
MADE_BY_RUN_TAG = "touchline_run_id"
MADE_BY_JOB_TAG = "touchline_job"
RUN_TAG = "touchline.run_id"
"""Tag of an MLflow run, not of a version, as is the next."""
JOB_TAG = "touchline.job"
STEP_TAG = "touchline_step"
"""Policy transitions after which the model was taken from its training."""
MODEL_TAG = "touchline_model_id"
INPUTS_TAG = "touchline_inputs"
OUTPUTS_TAG = "touchline_outputs"
"""Shapes of what the model takes and gives, as JSON such as [-1, 89]; of models with one unnamed array each."""

LONGEST_TAG = 250
"""Characters of a version's tag value; Unity Catalog takes 255."""
_RESERVED = re.compile(r"[.,\-=/:\s]")


def tag_key(name: str) -> str:
    """The key under which a version's tag may be called ``name``: Unity Catalog refuses ``. , - = / :`` in keys."""
    return _RESERVED.sub("_", name)


def tag_value(text: str) -> str:
    """The text, shortened to what a version's tag can hold."""
    text = text.strip()
    return text if len(text) <= LONGEST_TAG else f"{text[: LONGEST_TAG - 1]}…"


@dataclass(frozen=True)
class LoggedModel:
    """A model that a run logged, registered or not."""

    model_id: str
    """MLflow's id, like ``m-3f2a…``."""
    name: str
    """Name under which the run logged it."""
    mlflow_run_id: str
    """The run that logged it."""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """URI for MLflow and for ``run.log_input``."""
        return f"models:/{self.model_id}"

    @property
    def digest(self) -> str | None:
        """sha256 of the payload as the job tagged it, or None."""
        return self.tags.get(DIGEST_TAG)


@dataclass(frozen=True)
class ModelVersion:
    """One version in the catalog, as it was when it was read."""

    name: str
    """Full name, three levels: ``booster_soccer.rl_models.mjx_sac``."""
    version: int
    mlflow_run_id: str
    """The MLflow run that made it."""
    source: str
    """URI of the logged model."""
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    created: float = 0.0
    """When it was registered, in seconds since the epoch."""

    @property
    def uri(self) -> str:
        """URI for MLflow and for ``run.log_input``."""
        return f"models:/{self.name}/{self.version}"

    @property
    def digest(self) -> str | None:
        """sha256 of the payload that was registered, or None when something else registered it."""
        return self.tags.get(DIGEST_TAG)

    @property
    def model_id(self) -> str:
        """MLflow's id of the logged model that was registered, which its SQL stores do not keep; empty if unknown."""
        return self.tags.get(MODEL_TAG, "")

    @property
    def run_id(self) -> str | None:
        """Touchline's id of the run that made it."""
        return self.tags.get(MADE_BY_RUN_TAG)

    def tag(self, name: str) -> str:
        """A tag, or nothing; Unity Catalog refuses dots in names, so that ``_`` may stand for each."""
        return self.tags.get(name, self.tags.get(name.replace(".", "_"), ""))

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"

    @classmethod
    def read(cls, entity: Any, aliases: Mapping[str, int]) -> ModelVersion:
        """Build it from MLflow's entity and the aliases of its model."""
        version = int(entity.version)
        return cls(
            name=entity.name,
            version=version,
            mlflow_run_id=entity.run_id or "",
            source=entity.source or "",
            tags=dict(entity.tags),
            aliases=tuple(sorted(alias for alias, target in aliases.items() if target == version)),
            created=entity.creation_timestamp / 1e3,
        )
