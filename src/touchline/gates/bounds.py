"""The bounds by which gate 3 decides: of a mean over tasks, at error probabilities too small for resampling."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from touchline.gates.statistics import Interval, Scores, strata, varies


def mean_bounds(differences: Scores, error: float) -> Interval:
    """Bound the mean of the tasks' means of paired differences; each bound errs with probability ``error``.

    The variance is that of a stratified mean, with Welch's and Satterthwaite's degrees of freedom. Of two bounds the
    more cautious one is taken: Student's t, which is too bold where rare and large differences all point one way, and
    Hall's transformation of it, which takes skewness out and is too bold where they happen to (Hall 1992, "On the
    removal of skewness by transformation", Journal of the Royal Statistical Society B 54). Both are formulas: they
    hold at an error of 0.0001 as they do at 0.05, and give the same everywhere.

    Without variance, or with fewer than 3 differences of a task, there is no interval: infinite bounds, method
    ``none``. Raises UsageError without a task, or for an empty one.
    """
    from scipy.special import stdtrit

    samples = strata(differences)
    tasks, pairs = len(samples), sum(sample.size for sample in samples)
    mean = float(np.mean([sample.mean() for sample in samples]))
    if min(sample.size for sample in samples) < 3 or not any(varies(sample) for sample in samples):
        return Interval(mean, -math.inf, math.inf, 1.0 - error, pairs, "none")
    parts = [float(sample.var(ddof=1)) / sample.size / tasks**2 for sample in samples]
    variance = sum(parts)
    freedom = variance**2 / sum(part**2 / (sample.size - 1) for part, sample in zip(parts, samples, strict=True))
    skewness = sum(_third_cumulant(sample) for sample in samples) / tasks**3 / variance**1.5
    quantile, deviation = float(stdtrit(freedom, 1.0 - error)), math.sqrt(variance)
    low = mean - deviation * max(quantile, _hall(quantile, skewness))
    high = mean - deviation * min(-quantile, _hall(-quantile, skewness))
    return Interval(mean, low, high, 1.0 - error, pairs, "t and Hall's, the more cautious")


def _third_cumulant(sample: NDArray[np.float64]) -> float:
    """Of the sample's mean, without bias."""
    n = sample.size
    return float(((sample - sample.mean()) ** 3).sum()) / ((n - 1) * (n - 2)) / n


def _hall(quantile: float, skewness: float) -> float:
    """Return t for which ``t + k t² / 3 + k² t³ / 27 + k / 6`` is ``quantile``, k being the mean's skewness."""
    if abs(skewness) < 1e-6:
        return quantile
    return 3.0 / skewness * (math.cbrt(1.0 + skewness * (quantile - skewness / 6.0)) - 1.0)
