"""A tuning study for a page: how far it is, and Optuna's own plots of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from touchline.config import Settings

if TYPE_CHECKING:
    from touchline.tuning.progress import Progress


@dataclass(frozen=True)
class Plot:
    """One of Optuna's plots."""

    title: str
    figure: dict[str, Any]
    """Plotly's JSON: ``data`` and ``layout``."""


@dataclass(frozen=True)
class StudyFacts:
    """A study."""

    progress: Progress
    plots: tuple[Plot, ...]


def read_study(settings: Settings, name: str) -> StudyFacts | None:
    """Read the study in the home's database; None where there is no such database.

    Raises TouchlineError when the study is not there or the database cannot be read.
    """
    from touchline.tuning.plots import figures
    from touchline.tuning.progress import progress_of
    from touchline.tuning.storage import StudyStorage, default_url
    from touchline.tuning.study import TARGET, find_study

    storage = StudyStorage(default_url(settings.home))
    if not storage.exists:
        return None
    with storage.telling():
        study = find_study(storage, name)
        progress = progress_of(study, study.optuna.user_attrs.get(TARGET))
        plots = tuple(Plot(title, json.loads(figure.to_json())) for title, figure in figures(study))
    return StudyFacts(progress, plots)
