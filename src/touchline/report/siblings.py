"""Runs that differ in little but their seed, and the band that their curves make together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.report.curves import Curve, read_curves
from touchline.report.facts import Facts, read_facts
from touchline.report.subject import Recorded
from touchline.tracking.journal import FILE_NAME, JournalReader

MOST_SIBLINGS = 11
"""With the run itself a dozen: more lines cannot be told apart."""
MOST_LOOKED_AT = 200
BUCKETS = 300
"""Of each curve of a sibling."""
GRID = 200
"""Steps at which a band is reckoned."""


@dataclass(frozen=True)
class Band:
    """The mean, the lowest and the highest of several curves; arrays have shape (GRID,)."""

    steps: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    runs: int
    """How many curves."""


def siblings_of(facts: Facts, known: Iterable[Recorded], settings: Settings) -> list[Facts]:
    """The newest other runs of the home with the same job and parameters but for seeds; of its group, with any.

    ``known``: the runs of the home. Of those of the job the newest MOST_LOOKED_AT are looked at.
    """
    found: list[Facts] = []
    same_job = [run for run in known if run.job == facts.job and run.id != facts.id]
    for run in sorted(same_job, key=lambda run: run.started, reverse=True)[:MOST_LOOKED_AT]:
        if len(found) == MOST_SIBLINGS:
            break
        with contextlib.suppress(TouchlineError):
            other = read_facts(settings.run_directory(run.id))
            in_group = bool(facts.group) and other.group == facts.group
            if in_group or (facts.params and _but_seeds(facts.params) == _but_seeds(other.params)):
                found.append(other)
    return found


def curves_of(siblings: Iterable[Facts], names: Sequence[str]) -> dict[str, dict[str, Curve]]:
    """The curves of these metrics by run id, the runs without any left out."""
    found: dict[str, dict[str, Curve]] = {}
    for facts in siblings:
        with contextlib.suppress(TouchlineError), JournalReader(facts.directory / FILE_NAME) as journal:
            if curves := read_curves(journal, frozenset(names), BUCKETS):
                found[facts.id] = curves
    return found


def band(curves: Sequence[Curve]) -> Band | None:
    """The band of two or more curves over the steps that all of them have; None where there are none."""
    usable = [curve for curve in curves if np.isfinite(curve.mean).sum() > 1]
    if len(usable) < 2:
        return None
    first = max(float(curve.steps[0]) for curve in usable)
    last = min(float(curve.steps[-1]) for curve in usable)
    if not first < last:
        return None
    grid = np.linspace(first, last, GRID)
    lines = []
    for curve in usable:
        finite = np.isfinite(curve.mean)
        lines.append(np.interp(grid, curve.steps[finite], curve.mean[finite]))
    together = np.stack(lines)
    return Band(grid, together.min(axis=0), together.max(axis=0), together.mean(axis=0), len(lines))


def _but_seeds(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name.rpartition(".")[2] != "seed"}
