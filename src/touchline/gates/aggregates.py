"""Figures that a mean does not show: interquartile mean and probability of improvement.

Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS, section 4.3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from touchline.errors import UsageError
from touchline.gates.statistics import Interval, Scores, strata

RESAMPLES = 2_000
"""Enough for two digits of a 95 % interval; nothing is decided by it."""


def interquartile_mean(scores: Scores, confidence: float = 0.975, seed: int = 0) -> Interval:
    """Return the mean of the middle half of all scores, tasks pooled, with stratified percentile bootstrap bounds.

    Each bound is one-sided at ``confidence``. Raises UsageError without scores.
    """
    tasks = strata(scores)
    random = np.random.default_rng(seed)
    drawn = np.concatenate([one[random.integers(0, one.size, (RESAMPLES, one.size))] for one in tasks], axis=1)
    value = float(_middle_half(np.concatenate(tasks)[np.newaxis])[0])
    return _percentiles(value, _middle_half(drawn), confidence, sum(one.size for one in tasks))


def probability_of_improvement(ours: Scores, theirs: Scores, confidence: float = 0.975, seed: int = 0) -> Interval:
    """Return how likely an episode of ours scores above one of theirs, a tie counting half; mean over tasks.

    Of one task it is the Mann-Whitney statistic over the number of pairs. The bounds, each one-sided at
    ``confidence``, are of the percentile bootstrap over scenarios, in which both keep their episodes of a scenario.
    Raises UsageError when tasks or numbers of scenarios differ.
    """
    if sorted(ours) != sorted(theirs):
        raise UsageError(
            f"Policies can only be compared on the same tasks, not on {sorted(ours)} and {sorted(theirs)}."
        )
    random = np.random.default_rng(seed)
    values, drawn, pairs = [], [], 0
    for a, b in zip(strata(ours), strata(theirs), strict=True):
        if a.shape != b.shape:
            raise UsageError(f"{a.size} and {b.size} scores are of different scenarios. Evaluate both on the same.")
        wins = (np.sign(a[:, np.newaxis] - b) + 1.0) / 2.0
        counts = random.multinomial(a.size, np.full(a.size, 1.0 / a.size), RESAMPLES).astype(np.float64)
        values.append(float(wins.mean()))
        drawn.append(((counts @ wins) * counts).sum(axis=1) / a.size**2)
        pairs += a.size
    return _percentiles(float(np.mean(values)), np.mean(drawn, axis=0), confidence, pairs)


def _middle_half(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.stats import trim_mean

    return np.asarray(trim_mean(rows, 0.25, axis=1))


def _percentiles(value: float, drawn: NDArray[np.float64], confidence: float, pairs: int) -> Interval:
    low, high = np.quantile(drawn, (1.0 - confidence, confidence))
    return Interval(value, float(low), float(high), confidence, pairs, "percentile")
