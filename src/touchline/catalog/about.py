"""What MLflow knows of a version beyond the registry: its Run's figures, configuration, code, packages and films."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchline.catalog.lineage import code_of, lineage
from touchline.catalog.store import is_absent, telling
from touchline.catalog.version import STEP_TAG, ModelVersion

if TYPE_CHECKING:
    from touchline.catalog.models import Catalog

FIGURES = ("report/", "eval/")
"""Metrics that say what a model is worth, the most telling first; what lies a level deeper is of single tasks."""
PACKAGES = "source/packages.txt"
FILMS = "videos"


@dataclass(frozen=True)
class Film:
    """A film among a Run's artifacts."""

    path: str
    step: int
    """Policy transitions after which it was filmed."""
    address: str = ""
    """On MLflow's own pages, seen from another of them; empty where they have other addresses."""


@dataclass(frozen=True)
class About:
    """A version and what its Run tells of it."""

    version: ModelVersion
    step: int | None = None
    """Policy transitions after which the model was taken from its training; None where nobody said."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Figures at that step, or the last ones."""
    params: Mapping[str, str] = field(default_factory=dict)
    """Configuration of its job, flat."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Of its Run."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Installed versions by name, where the Run recorded them."""
    parents: tuple[str, ...] = ()
    """What it was made from, nearest first."""
    film: Film | None = None
    """Of the training's films the one nearest to the step."""

    @property
    def code(self) -> str:
        """Which code its Run ran; empty when nobody recorded it."""
        return code_of(self.tags)


def about(catalog: Catalog, version: ModelVersion) -> About:
    """Collect it; of a version whose Run is gone, or that has none, what the registry holds."""
    from mlflow.exceptions import MlflowException

    step = int(told) if (told := version.tag(STEP_TAG)).isdecimal() else None
    if not version.mlflow_run_id:
        return About(version, step)
    with telling(catalog.settings, f"read the Run of {version}"):
        try:
            run = catalog.client.get_run(version.mlflow_run_id)
        except MlflowException as error:
            if is_absent(error):
                return About(version, step)
            raise
        return About(
            version,
            step,
            dict(_metrics(catalog, run, step)),
            dict(run.data.params),
            dict(run.data.tags),
            _packages(catalog, run),
            tuple(node.title.partition(" @")[0] for node in lineage(catalog, version.uri).walk())[1:],
            _film(catalog, run, step),
        )


def _metrics(catalog: Catalog, run: Any, step: int | None) -> Iterator[tuple[str, float]]:
    metrics = {metric.key: metric for metric in run.data.to_proto().metrics}
    names = [name for group in FIGURES for name in sorted(metrics) if re.fullmatch(f"{group}[^/]+", name)]
    for metric in (metrics[name] for name in names):
        if step is None or metric.step == step:
            yield metric.key, metric.value
            continue
        history = catalog.client.get_metric_history(run.info.run_id, metric.key)
        yield from ((metric.key, one.value) for one in history if one.step == step)


def _packages(catalog: Catalog, run: Any) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory(prefix="touchline-") as place:
        try:
            text = Path(catalog.client.download_artifacts(run.info.run_id, PACKAGES, place)).read_text("utf-8")
        except (MlflowException, OSError):
            return {}  # nobody recorded them
    return dict(line.split("==", 1) for line in text.splitlines() if "==" in line)


def _film(catalog: Catalog, run: Any, step: int | None) -> Film | None:
    """Of the Run's films the one nearest to the step, or the last."""
    paths = [file.path for file in catalog.client.list_artifacts(run.info.run_id, FILMS) if not file.is_dir]
    steps = {path: int(found[1]) for path in paths if (found := re.search(r"-(\d+)\.(?:mp4|webm|gif)$", path))}
    if not steps:
        return None
    wanted = max(steps.values()) if step is None else step
    path = min(steps, key=lambda path: (abs(steps[path] - wanted), path))
    on_databricks = catalog.settings.tracking_uri.startswith("databricks")
    address = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts/{path}"
    return Film(path, steps[path], "" if on_databricks else address)
