"""What critics learn: plain values, or distributions over a fixed grid of values.

Source of the distributions: Bellemare et al. (2017), "A Distributional Perspective on Reinforcement Learning"
(arXiv 1707.06887): the target is projected onto the grid, and the loss is the cross-entropy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Values(NamedTuple):
    """How outputs of critics, shape (..., k), are read."""

    atoms: int
    """Values of the grid; 1: the output is the value itself."""
    low: float
    """Lowest value of the grid, in scaled rewards."""
    high: float
    """Highest value of the grid."""

    @property
    def grid(self) -> Any:
        """The grid, shape (atoms,)."""
        return jnp.linspace(self.low, self.high, self.atoms)

    def mean(self, outputs: Any) -> Any:
        """Return expected values, shape (...)."""
        if self.atoms == 1:
            return outputs[..., 0]
        return jax.nn.softmax(outputs) @ self.grid

    def target(self, outputs: Any, reward: Any, discount: Any, bonus: Any) -> Any:
        """Return what the critics should learn, from the target critics' outputs of shape (ensemble, b, k).

        The critic with the lowest mean is believed. ``reward``, ``discount`` and ``bonus`` have shape (b,); the
        target is ``reward + discount * (value + bonus)``. Returns values (b,), or probabilities (b, atoms).
        """
        means = self.mean(outputs)
        if self.atoms == 1:
            return reward + discount * (means.min(axis=0) + bonus)
        lowest = means.argmin(axis=0)
        chosen = jnp.take_along_axis(outputs, lowest[None, :, None], axis=0)[0]
        probability = jax.nn.softmax(chosen)
        moved = reward[:, None] + discount[:, None] * (self.grid + bonus[:, None])
        return project(moved, probability, self)

    def loss(self, outputs: Any, target: Any) -> Any:
        """Return the loss of each critic and pair, shape (ensemble, b): squared error or cross-entropy."""
        if self.atoms == 1:
            return (outputs[..., 0] - target) ** 2
        return -(target * jax.nn.log_softmax(outputs)).sum(axis=-1)


def project(values: Any, probability: Any, onto: Values) -> Any:
    """Share out ``probability`` of ``values``, both (b, k), to the two nearest of the grid: → (b, atoms).

    Values outside the grid count as its ends. Means inside the grid are kept.
    """
    spacing = (onto.high - onto.low) / (onto.atoms - 1)
    position = (jnp.clip(values, onto.low, onto.high) - onto.low) / spacing
    near = jnp.clip(1.0 - jnp.abs(position[..., None] - jnp.arange(onto.atoms)), 0.0, 1.0)
    return (probability[..., None] * near).sum(axis=1)
