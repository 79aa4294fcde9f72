"""Bootstrap bounds of a mean paired difference over tasks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from touchline.errors import UsageError

Scores = Mapping[str, ArrayLike]
"""Task → one number a scenario, shape (n,); the same index is the same scenario for every policy."""

RESAMPLES = 9_999


@dataclass(frozen=True)
class Interval:
    """A mean with its bounds, each one-sided at ``confidence``: together they hold 1 − 2·(1 − confidence)."""

    mean: float
    low: float
    """Lower bound; -inf when there are too few pairs to tell."""
    high: float
    """Upper bound; inf when there are too few pairs to tell."""
    confidence: float
    pairs: int
    """Scenarios, all tasks together."""
    method: str
    """How the bounds were found, as ``BCa``, ``percentile`` or ``exact``; ``point``: there is no variance;
    ``none``: there is no interval."""


def differences(ours: Scores, theirs: Scores) -> dict[str, NDArray[np.float64]]:
    """Return ours − theirs, scenario by scenario, tasks in alphabetical order.

    Raises UsageError when tasks or numbers of scenarios differ, when there are none, or for a non-finite score.
    """
    if sorted(ours) != sorted(theirs) or not ours:
        raise UsageError(
            f"Policies can only be paired on the same tasks, and these have {sorted(ours)} and {sorted(theirs)}. "
            "Evaluate both on the same scenarios."
        )
    paired = {}
    for task in sorted(ours):
        a, b = np.asarray(ours[task], dtype=np.float64), np.asarray(theirs[task], dtype=np.float64)
        if a.shape != b.shape or a.ndim != 1 or a.size == 0:
            raise UsageError(
                f"The scores of task {task!r} have shapes {a.shape} and {b.shape}; pairs need one equal length of at "
                "least 1. Evaluate both policies on the same scenarios."
            )
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise UsageError(
                f"The scores of task {task!r} hold values that are not finite. Find out why, then repeat."
            )
        paired[task] = a - b
    return paired


def paired_bootstrap(differences: Scores | ArrayLike, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Bound the mean of paired differences; of several tasks, the mean of the tasks' means, all weighing the same.

    Scenarios are drawn anew within each task (a stratified bootstrap). Bias-corrected and accelerated bounds
    (Efron 1987, doi:10.1080/01621459.1987.10478410); the same input and ``seed`` give the same bounds anywhere.
    """
    if not 0.5 < confidence < 1.0:
        raise UsageError(f"A confidence lies between 0.5 and 1, and this is {confidence}. 0.95 is usual.")
    samples = strata(differences if isinstance(differences, Mapping) else {"": differences})
    mean = float(np.mean([sample.mean() for sample in samples]))
    pairs = sum(sample.size for sample in samples)
    if any(sample.size < 2 for sample in samples):
        return Interval(mean, -math.inf, math.inf, confidence, pairs, "none")
    if not any(varies(sample) for sample in samples):
        return Interval(mean, mean, mean, confidence, pairs, "point")
    for method in ("BCa", "percentile"):
        low, high = _bounds(samples, confidence, seed, method)
        if math.isfinite(low) and math.isfinite(high):
            break
    return Interval(mean, low, high, confidence, pairs, method)


def strata(tasks: Scores) -> list[NDArray[np.float64]]:
    """Return the values of each task, tasks in alphabetical order; UsageError where there are none."""
    samples = [np.asarray(tasks[task], dtype=np.float64) for task in sorted(tasks)]
    if not samples or any(sample.ndim != 1 or sample.size == 0 for sample in samples):
        raise UsageError("A bound needs at least one value of each task, in arrays of one dimension.")
    return samples


def varies(sample: NDArray[np.float64]) -> bool:
    """Whether there is more in a sample's spread than rounding: a mean of equal numbers rounds."""
    return bool(np.ptp(sample) > 1e-12 * max(1.0, float(np.abs(sample).max())))


def exact_share(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Bound a probability of which ``successes`` in ``trials`` were seen: exact binomial bounds.

    Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404; each bound is one-sided at ``confidence``.
    """
    from scipy.stats import binomtest

    if trials < 1 or not 0 <= successes <= trials:
        raise UsageError(f"{successes} of {trials} is no share. Give 0 to {trials} of at least 1.")
    bounds = binomtest(successes, trials).proportion_ci(2 * confidence - 1, method="exact")
    return Interval(successes / trials, float(bounds.low), float(bounds.high), confidence, trials, "exact")


def _bounds(samples: list[NDArray[np.float64]], confidence: float, seed: int, method: str) -> tuple[float, float]:
    from scipy.stats import bootstrap

    def mean_of_means(*resampled: NDArray[np.float64], axis: int = -1) -> Any:
        return sum(sample.mean(axis=axis) for sample in resampled) / len(resampled)

    with warnings.catch_warnings():
        # Where BCa is undefined scipy warns and returns NaN, and the caller falls back.
        warnings.simplefilter("ignore")
        found = bootstrap(
            samples,
            mean_of_means,
            n_resamples=RESAMPLES,
            confidence_level=2 * confidence - 1,
            method=method,
            vectorized=True,
            axis=-1,
            batch=1_000,
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return float(found.low), float(found.high)
