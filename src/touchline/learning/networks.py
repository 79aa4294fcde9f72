"""The networks of SAC: an actor that is a plain ReLU MLP, and twin critics with LayerNorm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from touchline.learning.policy import LOG_STD_RANGE


class Actor(nn.Module):
    """Observation (b, n), normalised → mean and log standard deviation before tanh, each (b, m).

    The hidden layers and the mean map one to one onto ``DDPG_FF.actor``; the standard deviation has a head of
    its own, so that conversion copies matrices and drops nothing but that head.
    """

    action_size: int
    hidden: Sequence[int]
    initial_sigma: float

    @nn.compact
    def __call__(self, x: Any) -> tuple[Any, Any]:
        """Return (mean, log_std)."""
        for i, width in enumerate(self.hidden):
            x = nn.relu(nn.Dense(width, name=f"hidden_{i}")(x))
        small = nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")
        mean = nn.Dense(self.action_size, kernel_init=small, name="mean")(x)
        start = nn.initializers.constant(math.log(self.initial_sigma))
        log_std = nn.Dense(self.action_size, kernel_init=small, bias_init=start, name="log_std")(x)
        return mean, jnp.clip(log_std, *LOG_STD_RANGE)


class Critic(nn.Module):
    """Observation (b, n) and action (b, m) → value (b,); LayerNorm keeps off-policy values bounded.

    Source: Ball et al. (2023), "Efficient Online Reinforcement Learning with Offline Data".
    """

    hidden: Sequence[int]

    @nn.compact
    def __call__(self, observation: Any, action: Any) -> Any:
        """Return the value of each pair."""
        x = jnp.concatenate([observation, action], axis=-1)
        for width in self.hidden:
            x = nn.relu(nn.LayerNorm()(nn.Dense(width)(x)))
        return nn.Dense(1)(x)[..., 0]


class Critics(nn.Module):
    """An ensemble of critics with parameters of their own: → values (ensemble, b)."""

    hidden: Sequence[int]
    ensemble: int = 2

    @nn.compact
    def __call__(self, observation: Any, action: Any) -> Any:
        """Return the values of every critic."""
        stacked = nn.vmap(
            Critic,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=None,
            out_axes=0,
            axis_size=self.ensemble,
        )
        return stacked(self.hidden)(observation, action)
