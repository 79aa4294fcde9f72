"""How the jobs run on Databricks: machines, retries, secrets, storage, and who is told."""

from __future__ import annotations

import re
from dataclasses import dataclass

from touchline.deploy.clouds import CLOUDS, Cloud, CloudName
from touchline.deploy.values import (
    must_be_email,
    must_be_image,
    must_be_plain,
    must_be_project,
    must_be_runtime,
    must_be_scope,
    must_be_timezone,
)
from touchline.errors import UsageError, at_least, unknown

NAME = "touchline"
"""Key of the bundle, of its job and of its pool."""
RUNTIME = "17.3.x-gpu-ml-scala2.13"
"""Databricks Runtime 17.3 LTS for machine learning: Python 3.12, supported until October 2028."""
CONTAINER_RUNTIME = "17.3.x-scala2.13"
"""The same without machine learning, for that variant takes no container."""
POOL_MINUTES = 15
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_LEVEL = re.compile(r"[a-z0-9_]+")


@dataclass(frozen=True)
class DatabricksConfig:
    """Configuration of a bundle; what it means in Databricks' own words is in ``deploy/databricks.py``."""

    cloud: CloudName = "gcp"
    """Where the workspace is."""
    recipe: str = "l4"
    """Where the configuration of the jobs comes from: touchline recipes."""
    config: str = ""
    """TOML file laid over the recipe; it is copied into the bundle. Empty: none."""
    seed: int = 0
    """Added to the seed of every job."""
    node_type: str = ""
    """Machine with a GPU on which each task runs alone; empty: one with a GPU of 22 to 24 GB."""
    on_demand: bool = False
    """Take machines that the cloud never takes back, at their full price."""
    pool_minutes: int | None = None
    """Minutes that a machine waits in a pool for the next task; 0: no pool. None: 15 on GCP, and no pool on AWS and
    Azure, where a pool of spot machines does not fall back to others."""
    runtime: str = ""
    """Databricks Runtime; empty: 17.3 LTS, for machine learning unless there is an image."""
    image: str = ""
    """Container image that has Touchline in it; empty: the lock is installed on the runtime."""
    retries: int = 5
    """Further attempts of a task that failed or lost its machine."""
    retry_seconds: int = 120
    """Shortest time from the start of an attempt to that of the next: the pause after one that fails at once."""
    timeout_hours: float = 0.0
    """Longest duration of one attempt of a task; 0: none."""
    secret_scope: str = "touchline"
    """Scope of the secrets; a secret's key is the name of its variable."""
    secrets: tuple[str, ...] = ("DATABRICKS_TOKEN", "WANDB_API_KEY")
    """Variables that are filled from the scope."""
    project: str = "booster-soccer"
    """Name of the W&B project, and of the MLflow experiment in /Shared."""
    catalog: str = "booster_soccer"
    """Catalog of Unity Catalog for models and checkpoints; it must be there."""
    schema: str = "rl_models"
    """Schema in it; it must be there."""
    volume: str = "checkpoints"
    """Volume in it for checkpoints; the bundle makes it, and never removes it."""
    schedule: str = ""
    """Quartz expression, such as "0 0 2 * * ?" for every night at 2; empty: runs are started by people."""
    timezone: str = "UTC"
    """Time zone of the schedule."""
    failure_emails: tuple[str, ...] = ()
    """Addresses that are told of a failed run."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "config":  # a path here, of which the bundle has a copy
                for one in value if isinstance(value, tuple) else (value,):
                    must_be_plain(name, str(one))
        if self.cloud not in CLOUDS:
            raise unknown("cloud", self.cloud, CLOUDS)
        at_least(1, self, "retries", "retry_seconds")
        at_least(0, self, "timeout_hours")
        if self.pool_minutes is not None:
            at_least(0, self, "pool_minutes")
        if self.node_type:
            self.words.must_have_gpu(self.node_type)
        if self.runtime:
            must_be_runtime(self.runtime)
        if self.image:
            must_be_image(self.image)
        must_be_project(self.project)
        must_be_timezone(self.timezone)
        for address in self.failure_emails:
            must_be_email(address)
        must_be_scope(self.secret_scope)
        for name in self.secrets:
            if not _VARIABLE.fullmatch(name):
                raise UsageError(
                    f"{name!r} is no name of a variable. Give names only, such as WANDB_API_KEY; the values belong "
                    f"into the scope: databricks secrets put-secret {self.secret_scope} WANDB_API_KEY"
                )
        for name in ("catalog", "schema", "volume"):
            if not _LEVEL.fullmatch(value := getattr(self, name)):
                raise UsageError(f"{name} is {value!r}. Give lower-case letters, digits and _, which need no quotes.")
        if self.schedule and len(self.schedule.split()) not in (6, 7):
            raise UsageError(
                f"The schedule {self.schedule!r} is no Quartz expression, which begins with seconds and has 6 or 7 "
                'parts, such as "0 0 2 * * ?" for every night at 2.'
            )
        if self.image and "-ml-" in self.runtime:
            raise UsageError(
                f"The runtime {self.runtime} takes no container. Leave it out for {CONTAINER_RUNTIME}, or leave out "
                "the image."
            )

    @property
    def words(self) -> Cloud:
        """The cloud's words."""
        return CLOUDS[self.cloud]

    @property
    def machine(self) -> str:
        """The node type, named or not."""
        return self.node_type or self.words.node_type

    @property
    def spark_version(self) -> str:
        """The runtime, named or not."""
        return self.runtime or (CONTAINER_RUNTIME if self.image else RUNTIME)

    @property
    def pooled_minutes(self) -> int:
        """Minutes that a machine waits in the pool; 0: there is none."""
        if self.pool_minutes is not None:
            return self.pool_minutes
        return POOL_MINUTES if self.words.pool_falls_back or self.on_demand else 0

    @property
    def checkpoints(self) -> str:
        """Path of the volume on a machine of Databricks."""
        return f"/Volumes/{self.catalog}/{self.schema}/{self.volume}"
