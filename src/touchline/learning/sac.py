"""Soft actor-critic in JAX: pure functions over a frozen state, for any Gymnasium vector environment.

Source: Haarnoja et al. (2018), "Soft Actor-Critic Algorithms and Applications" (arXiv 1812.05905).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from touchline.learning import normaliser as norm
from touchline.learning.networks import Actor, Critics
from touchline.learning.policy import Policy
from touchline.learning.sac_config import SacConfig


class Batch(NamedTuple):
    """Transitions with raw observations; arrays have a leading batch axis."""

    observation: Any
    action: Any
    reward: Any
    next_observation: Any
    terminated: Any
    """1.0 where the episode truly ended; a time-out is 0.0 and bootstraps."""


class State(NamedTuple):
    """Everything SAC learns, and the key it draws from."""

    actor: Any
    critic: Any
    target_critic: Any
    log_alpha: Any
    actor_optimiser: Any
    critic_optimiser: Any
    alpha_optimiser: Any
    normaliser: norm.Normaliser
    key: Any


@dataclass(frozen=True)
class Sac:
    """The algorithm for one pair of sizes: modules and optimisers, no state."""

    observation_size: int
    action_size: int
    config: SacConfig

    @property
    def actor(self) -> Actor:
        """The actor's module."""
        return Actor(self.action_size, self.config.actor_hidden, self.config.initial_sigma)

    @property
    def critics(self) -> Critics:
        """The critics' module."""
        return Critics(self.config.critic_hidden)

    def _optimiser(self, learning_rate: float) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(learning_rate))

    def init(self, seed: int) -> State:
        """Return the state before learning."""
        key, actor_key, critic_key = jax.random.split(jax.random.key(seed), 3)
        observation = jnp.zeros((1, self.observation_size))
        actor = self.actor.init(actor_key, observation)
        critic = self.critics.init(critic_key, observation, jnp.zeros((1, self.action_size)))
        log_alpha = jnp.log(jnp.asarray(self.config.initial_alpha))
        return State(
            actor=actor,
            critic=critic,
            target_critic=jax.tree.map(jnp.copy, critic),
            log_alpha=log_alpha,
            actor_optimiser=self._optimiser(self.config.actor_lr).init(actor),
            critic_optimiser=self._optimiser(self.config.critic_lr).init(critic),
            alpha_optimiser=optax.adam(self.config.alpha_lr).init(log_alpha),
            normaliser=norm.init(self.observation_size),
            key=key,
        )

    def _sample(self, actor: Any, observation: Any, key: Any) -> tuple[Any, Any]:
        mean, log_std = self.actor.apply(actor, observation)
        noise = jax.random.normal(key, mean.shape)
        raw = mean + jnp.exp(log_std) * noise
        gaussian = -0.5 * noise**2 - log_std - 0.5 * jnp.log(2 * jnp.pi)
        # log(1 - tanh²) in the form that does not overflow
        squash = 2.0 * (jnp.log(2.0) - raw - jax.nn.softplus(-2.0 * raw))
        return jnp.tanh(raw), (gaussian - squash).sum(axis=-1)

    @partial(jax.jit, static_argnums=0)
    def explore(self, state: State, observation: Any) -> tuple[State, Any]:
        """Take observations (b, n) into the normaliser and return sampled actions (b, m)."""
        normaliser = norm.update(state.normaliser, observation)
        key, sample_key = jax.random.split(state.key)
        action, _ = self._sample(state.actor, norm.apply(normaliser, observation), sample_key)
        return state._replace(normaliser=normaliser, key=key), action

    @partial(jax.jit, static_argnums=0)
    def act(self, state: State, observation: Any) -> Any:
        """Return deterministic actions (b, m) for observations (b, n)."""
        mean, _ = self.actor.apply(state.actor, norm.apply(state.normaliser, observation))
        return jnp.tanh(mean)

    @partial(jax.jit, static_argnums=0, donate_argnums=1)
    def update(self, state: State, batches: Batch) -> tuple[State, dict[str, Any]]:
        """Make one update a leading index of ``batches`` (k, b, …) and return the mean metrics."""
        state, metrics = jax.lax.scan(self._update_once, state, batches)
        return state, jax.tree.map(jnp.mean, metrics)

    def _update_once(self, state: State, batch: Batch) -> tuple[State, dict[str, Any]]:
        config = self.config
        key, next_key, actor_key = jax.random.split(state.key, 3)
        observation = norm.apply(state.normaliser, batch.observation)
        next_observation = norm.apply(state.normaliser, batch.next_observation)
        alpha = jnp.exp(state.log_alpha)

        next_action, next_log_prob = self._sample(state.actor, next_observation, next_key)
        next_value = self.critics.apply(state.target_critic, next_observation, next_action).min(axis=0)
        target = batch.reward * config.reward_scale + config.gamma * (1 - batch.terminated) * (
            next_value - alpha * next_log_prob
        )

        def critic_loss(params: Any) -> tuple[Any, Any]:
            values = self.critics.apply(params, observation, batch.action)
            return ((values - jax.lax.stop_gradient(target)) ** 2).mean(), values.mean()

        def actor_loss(params: Any) -> tuple[Any, Any]:
            action, log_prob = self._sample(params, observation, actor_key)
            value = self.critics.apply(critic, observation, action).min(axis=0)
            return (alpha * log_prob - value).mean(), (log_prob.mean(), (jnp.abs(action) > 0.95).mean())

        (c_loss, q_mean), gradient = jax.value_and_grad(critic_loss, has_aux=True)(state.critic)
        change, critic_optimiser = self._optimiser(config.critic_lr).update(gradient, state.critic_optimiser)
        critic = optax.apply_updates(state.critic, change)

        (a_loss, (log_prob, saturation)), gradient = jax.value_and_grad(actor_loss, has_aux=True)(state.actor)
        change, actor_optimiser = self._optimiser(config.actor_lr).update(gradient, state.actor_optimiser)
        actor = optax.apply_updates(state.actor, change)

        target_entropy = config.target_entropy_per_action * self.action_size
        gradient = -(log_prob + target_entropy)
        change, alpha_optimiser = optax.adam(config.alpha_lr).update(gradient, state.alpha_optimiser)
        new = State(
            actor=actor,
            critic=critic,
            target_critic=optax.incremental_update(critic, state.target_critic, config.tau),
            log_alpha=optax.apply_updates(state.log_alpha, change),
            actor_optimiser=actor_optimiser,
            critic_optimiser=critic_optimiser,
            alpha_optimiser=alpha_optimiser,
            normaliser=state.normaliser,
            key=key,
        )
        return new, {
            "critic_loss": c_loss,
            "actor_loss": a_loss,
            "entropy": -log_prob,
            "alpha": alpha,
            "q_mean": q_mean,
            "action_saturation": saturation,
        }


def to_policy(state: State, metadata: dict[str, Any] | None = None) -> Policy:
    """Return the policy of a state in its canonical form, with the head that it explores by."""
    params = state.actor["params"]
    head = params["log_std"]
    names = [*sorted((n for n in params if n.startswith("hidden_")), key=lambda n: int(n[7:])), "mean"]
    return Policy(
        weights=tuple(np.asarray(params[n]["kernel"], np.float32).T for n in names),
        biases=tuple(np.asarray(params[n]["bias"], np.float32) for n in names),
        mean=np.asarray(state.normaliser.mean, np.float32),
        std=np.asarray(norm.std(state.normaliser), np.float32),
        clip=norm.CLIP,
        metadata=metadata or {},
        exploration=(np.asarray(head["kernel"], np.float32).T, np.asarray(head["bias"], np.float32)),
    )
