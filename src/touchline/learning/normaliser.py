"""Running mean and variance of observations, with a floor that keeps constant features harmless."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

MINIMUM_STD = 0.1
"""A feature that never moves would otherwise be divided by almost nothing when it first does."""
CLIP = 5.0


class Normaliser(NamedTuple):
    """Sufficient statistics over ``count`` observations; arrays of shape (n,)."""

    count: Any
    mean: Any
    squares: Any
    """Sum of squared deviations from the mean."""


def init(size: int) -> Normaliser:
    """Return the statistics of no observation."""
    return Normaliser(jnp.zeros(()), jnp.zeros((size,)), jnp.zeros((size,)))


def update(state: Normaliser, batch: Any) -> Normaliser:
    """Merge a batch of observations, shape (b, n), by Chan et al. (1979), "Updating formulae"."""
    size = batch.shape[0]
    mean = batch.mean(axis=0)
    delta = mean - state.mean
    count = state.count + size
    return Normaliser(
        count,
        state.mean + delta * size / count,
        state.squares + ((batch - mean) ** 2).sum(axis=0) + delta**2 * state.count * size / count,
    )


def std(state: Normaliser) -> Any:
    """Return the standard deviation with its floor, shape (n,)."""
    variance = state.squares / jnp.maximum(state.count, 1.0)
    return jnp.where(state.count > 0, jnp.maximum(jnp.sqrt(variance), MINIMUM_STD), 1.0)


def apply(state: Normaliser, observation: Any) -> Any:
    """Return normalised observations, clipped to ± CLIP, same shape."""
    return jnp.clip((observation - state.mean) / std(state), -CLIP, CLIP)
