"""Settings of the installation: defaults, touchline.toml, environment, arguments."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from touchline.errors import TouchlineError, at_least, unknown
from touchline.filesystem import make_private
from touchline.overlay import digest, overlay, plain, read_toml

__all__ = ["Settings", "digest", "overlay", "plain", "read_toml"]

SETTINGS_FILE = "touchline.toml"
PREFIX = "TOUCHLINE_"
STAND_IN_PREFIX = "TOUCHLINE_NVML_"
"""Variables of the stand-in for NVIDIA's driver (``touchline.testing.nvml``), which a run under test carries too."""
MINIMUM_FREE_BYTES = 200 * 1024 * 1024
WEBHOOK_URL = PREFIX + "WEBHOOK_URL"
"""Variable with the address that the sink ``webhook`` sends to; it may hold a secret, so it is no setting."""
WEBHOOK_SECRET = PREFIX + "WEBHOOK_SECRET"
"""Variable with the secret that signs what the sink sends."""
NATIVE_VARIABLES = {
    "MLFLOW_TRACKING_URI": "mlflow_tracking_uri",
    "MLFLOW_REGISTRY_URI": "mlflow_registry_uri",
    "WANDB_PROJECT": "project",
    "WANDB_ENTITY": "wandb_entity",
    "WANDB_BASE_URL": "wandb_base_url",
    "WANDB_MODE": "wandb_mode",
}


@dataclass(frozen=True)
class Settings:
    """Where Touchline keeps its state and whom it tells; secrets stay in the environment, never in here."""

    home: Path = Path(".touchline")
    """Directory of all state: the MLflow store, the runs, the caches. Absolute once loaded."""
    project: str = "booster-soccer"
    """Name of the W&B project and of the MLflow experiment."""
    catalog_prefix: str = "booster_soccer.rl_models"
    """Catalog and schema before each registered model's name, as Unity Catalog wants them."""
    mlflow_tracking_uri: str | None = None
    """MLflow's tracking URI, and the registry's; None is an SQLite file in the home."""
    mlflow_registry_uri: str | None = None
    """URI of the model registry, where it is another store than the tracking's, such as databricks-uc."""
    sinks: tuple[str, ...] = ("mlflow", "wandb", "tensorboard")
    """The far sides to which couriers deliver."""
    wandb_entity: str | None = None
    """W&B user or team; None is the key's default."""
    wandb_base_url: str | None = None
    """W&B server; None is W&B's own default."""
    wandb_mode: str | None = None
    """W&B mode: online (also None), offline (a native run for ``wandb sync``) or disabled."""
    durability: Literal["batch", "commit"] = "batch"
    """When a log call is on disk: "batch" within 50 ms, "commit" before it returns."""
    overflow: Literal["wait", "thin"] = "wait"
    """When the journal cannot keep up: "wait" briefly for room, or "thin" out the metrics at once."""
    queue_bytes: int = 64 * 1024 * 1024
    """Memory that events may take while they wait for the journal, in bytes."""
    capture: tuple[str, ...] = ("source", "packages", "console")
    """What is recorded beside the metrics: git commit and difference, installed packages, stdout and stderr."""
    console_bytes: int = 5_000_000
    """Bytes of stdout and stderr that a run records."""
    video_bytes: int = 1_000_000_000
    """Bytes of video that a run records."""
    thin_seconds: tuple[str, ...] = ()
    """Points of a metric that a sink gets at most one in so many seconds, such as ``wandb=1.0``."""
    gather_seconds: tuple[str, ...] = ()
    """A sink is told of a living run at most once in so many seconds, such as ``mlflow=10``, in larger requests."""
    checkpoints: str | None = None
    """Where checkpoints of jobs go, a path or an address such as ``gs://bucket/soccer``; None: beside their run."""
    courier_seconds: float = 3_600.0
    """A courier ends so many seconds after the last training it serves, delivered or not; then: touchline sync."""
    all_ranks: bool = False
    """True: every process of a distributed training records a run of its own, not only rank 0."""
    preemption: Literal["auto", "off", "gcp", "aws", "azure"] = "auto"
    """Cloud that is asked whether it takes the machine back; "auto" recognises the cloud's machines by firmware."""

    def __post_init__(self) -> None:
        at_least(0, self, "console_bytes", "video_bytes", "courier_seconds")
        at_least(1, self, "queue_bytes")

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Merge defaults, ``touchline.toml`` of the working directory, the environment and ``overrides``.

        ``TOUCHLINE_*`` variables win over the native ``MLFLOW_*`` and ``WANDB_*`` ones; an override of None
        counts as not given. Raises UsageError on an unknown or ill-typed key, with the nearest name.
        """
        settings = cls()
        file = Path(SETTINGS_FILE)
        if file.is_file():
            settings = overlay(settings, read_toml(file), where=str(file))
        settings = overlay(settings, _from_environment(os.environ), where="environment")
        given = {key: value for key, value in overrides.items() if value is not None}
        settings = overlay(settings, given, where="argument")
        return dataclasses.replace(settings, home=settings.home.expanduser().absolute())

    @property
    def tracking_uri(self) -> str:
        """URI of the MLflow store: the configured one, or the SQLite file in the home."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.home / 'mlflow.db'}"

    @property
    def has_store(self) -> bool:
        """False where MLflow's store would be a new file in the home, because nothing has reached it yet."""
        return self.mlflow_tracking_uri is not None or (self.home / "mlflow.db").exists()

    @property
    def artifact_root(self) -> Path:
        """Directory of MLflow's artifacts when the store is the one in the home."""
        return self.home / "mlartifacts"

    @property
    def runs(self) -> Path:
        """Directory of the runs, one sub-directory a run id."""
        return self.home / "runs"

    def run_directory(self, run_id: str) -> Path:
        """Directory of one run: its journal, media, checkpoints."""
        return self.runs / run_id

    def ensure_home(self, minimum_free_bytes: int = MINIMUM_FREE_BYTES) -> Path:
        """Create the home and prove that it can be used.

        Raises TouchlineError, with a remedy, when it cannot be created or written, when less than
        ``minimum_free_bytes`` are free on its disk, or when the MLflow store in it is not a database.
        """
        elsewhere = "choose another one with TOUCHLINE_HOME=/path/with/space or --home"
        try:
            make_private(self.home)
            with tempfile.NamedTemporaryFile(dir=self.home, prefix=".probe-") as probe:
                probe.write(b"x")
                probe.flush()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise TouchlineError(
                    f"The disk of the home {self.home} is full. Free some space, or {elsewhere}."
                ) from error
            reason = error.strerror or str(error)
            raise TouchlineError(
                f"The home {self.home} cannot be written ({reason}). Make it writable, or {elsewhere}."
            ) from error
        free = shutil.disk_usage(self.home).free
        if free < minimum_free_bytes:
            raise TouchlineError(
                f"The disk of the home {self.home} has {free / 2**20:,.0f} MiB free, and Touchline wants "
                f"{minimum_free_bytes / 2**20:,.0f} MiB. Free some space, or {elsewhere}."
            )
        self._check_store()
        return self.home

    def _check_store(self) -> None:
        store = self.home / "mlflow.db"
        if self.mlflow_tracking_uri is not None or not store.exists() or store.stat().st_size == 0:
            return
        try:
            connection = sqlite3.connect(f"file:{store}?mode=rw", uri=True, timeout=5.0)
            try:
                connection.execute("SELECT name FROM sqlite_master").fetchall()
            finally:
                connection.close()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                return
            raise TouchlineError(
                f"The MLflow store {store} is damaged ({error}). Put a backup in its place, or begin a new "
                f"one with: mv {store} {store}.damaged (the journals in {self.runs} keep what was logged)."
            ) from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    ours = {PREFIX + field.name.upper(): field.name for field in dataclasses.fields(Settings)}
    values = {key: environment[name] for name, key in NATIVE_VARIABLES.items() if environment.get(name)}
    for name, value in environment.items():
        if name in (WEBHOOK_URL, WEBHOOK_SECRET):
            continue
        if name.startswith(PREFIX) and not name.startswith(STAND_IN_PREFIX):
            if name not in ours:
                raise unknown("setting", name, ours)
            values[ours[name]] = value
    return values
