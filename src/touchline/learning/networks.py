"""The networks of SAC: an actor that is a plain ReLU MLP, and an ensemble of critics with LayerNorm."""

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
    felt: Sequence[bool] | None = None
    """Which numbers of an observation it looks at; all unless given. The others' weights are never changed."""

    @nn.compact
    def __call__(self, x: Any) -> tuple[Any, Any]:
        """Return (mean, log_std)."""
        if self.felt is not None:
            x = x * jnp.asarray(self.felt, x.dtype)
        for i, width in enumerate(self.hidden):
            x = nn.relu(nn.Dense(width, name=f"hidden_{i}")(x))
        small = nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")
        mean = nn.Dense(self.action_size, kernel_init=small, name="mean")(x)
        start = nn.initializers.constant(math.log(self.initial_sigma))
        log_std = nn.Dense(self.action_size, kernel_init=small, bias_init=start, name="log_std")(x)
        return mean, jnp.clip(log_std, *LOG_STD_RANGE)


class Critic(nn.Module):
    """Observation (b, n) and action (b, m) → outputs (b, k); LayerNorm keeps off-policy values bounded.

    One output is a value; several are the logits of a distribution over values.

    Source: Ball et al. (2023), "Efficient Online Reinforcement Learning with Offline Data" (arXiv 2302.02948).
    """

    hidden: Sequence[int]
    outputs: int = 1
    norm_weights: bool = True
    """Whether the norms have weights."""

    @nn.compact
    def __call__(self, observation: Any, action: Any) -> Any:
        """Return the outputs of each pair."""
        x = jnp.concatenate([observation, action], axis=-1)
        for width in self.hidden:
            norm = nn.LayerNorm(use_scale=self.norm_weights, use_bias=self.norm_weights)
            x = nn.relu(norm(nn.Dense(width)(x)))
        return nn.Dense(self.outputs)(x)


class Critics(nn.Module):
    """An ensemble of critics with parameters of their own: → outputs (ensemble, b, k)."""

    hidden: Sequence[int]
    outputs: int = 1
    norm_weights: bool = True
    ensemble: int = 2

    @nn.compact
    def __call__(self, observation: Any, action: Any) -> Any:
        """Return the outputs of every critic."""
        # Not one batched critic: XLA runs two chains of plain products faster on CPUs.
        critics = [Critic(self.hidden, self.outputs, self.norm_weights) for _ in range(self.ensemble)]
        return jnp.stack([critic(observation, action) for critic in critics])
