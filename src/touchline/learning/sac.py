"""Soft actor-critic in JAX: pure functions over a frozen state, for any environment with numbers in and out.

Source: Haarnoja et al. (2018), "Soft Actor-Critic Algorithms and Applications" (arXiv 1812.05905).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from touchline.learning import normaliser as norm
from touchline.learning.networks import Actor, Critics
from touchline.learning.policy import Policy
from touchline.learning.progress import SATURATED
from touchline.learning.sac_config import SacConfig
from touchline.learning.values import Values


class Symmetry(Protocol):
    """A mirror image under which a world stays the same; hashable."""

    def observation(self, value: Any, xp: Any) -> Any:
        """Return mirrored observations, shape (..., n)."""

    def action(self, value: Any, xp: Any) -> Any:
        """Return mirrored actions, shape (..., m)."""


class Batch(NamedTuple):
    """Transitions with raw observations, over one policy step or several; arrays have a leading batch axis."""

    observation: Any
    action: Any
    reward: Any
    """Discounted sum of the rewards of the transition's policy steps."""
    next_observation: Any
    """What its last step led to."""
    discount: Any
    """What the value of that counts: 0 where the episode truly ended there; a time-out bootstraps."""
    weight: Any
    """1, or 0 for what is no transition: the step in which a vector environment restarts an episode."""


class State(NamedTuple):
    """Everything that learning changes."""

    actor: Any
    critic: Any
    target_critic: Any
    log_alpha: Any
    actor_optimiser: Any
    critic_optimiser: Any
    alpha_optimiser: Any
    normaliser: norm.Normaliser
    updates: Any
    """Updates of the critics so far."""
    actor_metrics: dict[str, Any]
    """Of the last update of the actor."""
    key: Any


@dataclass(frozen=True)
class Sac:
    """The algorithm for given sizes; its methods are pure and jitted."""

    observation_size: int
    action_size: int
    config: SacConfig
    symmetry: Symmetry | None = None
    """Half of each batch is learnt from in its mirror image, where there is one and ``config.mirror`` says so."""

    @property
    def actor(self) -> Actor:
        """The actor's module."""
        return Actor(self.action_size, self.config.actor_hidden, self.config.initial_sigma)

    @property
    def critics(self) -> Critics:
        """The critics' module."""
        return Critics(self.config.critic_hidden, self.config.critic_atoms)

    @property
    def values(self) -> Values:
        """How the critics' outputs are read."""
        return Values(self.config.critic_atoms, self.config.value_low, self.config.value_high)

    def _optimiser(self, learning_rate: float) -> optax.GradientTransformation:
        adam = optax.adam(learning_rate)
        if self.config.maximum_gradient is None:
            return adam
        return optax.chain(optax.clip_by_global_norm(self.config.maximum_gradient), adam)

    def init(self, seed: int) -> State:
        """Return the state before learning."""
        key, actor_key, critic_key = jax.random.split(jax.random.key(seed), 3)
        observation = jnp.zeros((1, self.observation_size))
        actor = self.actor.init(actor_key, observation)
        critic = self.critics.init(critic_key, observation, jnp.zeros((1, self.action_size)))
        # Of a type of its own: a number's would change with the first update, which would be compiled again.
        log_alpha = jnp.log(jnp.asarray(self.config.initial_alpha, jnp.float32))
        return State(
            actor=actor,
            critic=critic,
            target_critic=jax.tree.map(jnp.copy, critic),
            log_alpha=log_alpha,
            actor_optimiser=self._optimiser(self.config.actor_lr).init(actor),
            critic_optimiser=self._optimiser(self.config.critic_lr).init(critic),
            alpha_optimiser=optax.adam(self.config.alpha_lr).init(log_alpha),
            normaliser=norm.init(self.observation_size),
            updates=jnp.zeros((), jnp.int32),
            actor_metrics={name: jnp.zeros(()) for name in ("actor_loss", "entropy", "action_saturation")},
            key=key,
        )

    def _act(self, actor: Any, observation: Any, noise: Any) -> tuple[Any, Any]:
        """Return actions (b, m) and their log-probabilities (b,), from standard normal noise (b, m)."""
        mean, log_std = self.actor.apply(actor, observation)
        raw = mean + jnp.exp(log_std) * noise
        gaussian = -0.5 * noise**2 - log_std - 0.5 * jnp.log(2 * jnp.pi)
        # log(1 - tanh²) in the form that does not overflow
        squash = 2.0 * (jnp.log(2.0) - raw - jax.nn.softplus(-2.0 * raw))
        return jnp.tanh(raw), (gaussian - squash).sum(axis=-1)

    @partial(jax.jit, static_argnums=0)
    def explore(self, state: State, observation: Any) -> tuple[State, Any]:
        """Take observations (b, n) into the normaliser and return sampled actions (b, m)."""
        normaliser = norm.update(state.normaliser, observation)
        key, noise_key = jax.random.split(state.key)
        noise = jax.random.normal(noise_key, (observation.shape[0], self.action_size))
        action, _ = self._act(state.actor, norm.apply(normaliser, observation), noise)
        return state._replace(normaliser=normaliser, key=key), action

    @partial(jax.jit, static_argnums=0)
    def act(self, state: State, observation: Any) -> Any:
        """Return deterministic actions (b, m) for observations (b, n)."""
        mean, _ = self.actor.apply(state.actor, norm.apply(state.normaliser, observation))
        return jnp.tanh(mean)

    @partial(jax.jit, static_argnums=0, donate_argnums=1)
    def update(self, state: State, batches: Batch) -> tuple[State, dict[str, Any]]:
        """Make one update a leading index of ``batches`` (k, b, …) and return the mean metrics."""
        key, noise_key = jax.random.split(state.key)
        # Drawn for all updates at once: on CPUs a draw costs more than its numbers.
        noise = jax.random.normal(noise_key, (*batches.reward.shape, 2, self.action_size))
        state, metrics = jax.lax.scan(self._update_once, state._replace(key=key), (batches, noise))
        return state, jax.tree.map(jnp.mean, metrics)

    def _update_once(self, state: State, given: tuple[Batch, Any]) -> tuple[State, dict[str, Any]]:
        config, (batch, noise) = self.config, given
        batch = self._mirrored(batch)
        observation = norm.apply(state.normaliser, batch.observation)
        next_observation = norm.apply(state.normaliser, batch.next_observation)
        weight = batch.weight / jnp.maximum(batch.weight.mean(), 1e-6)
        alpha = jnp.exp(state.log_alpha)

        next_action, next_log_prob = self._act(state.actor, next_observation, noise[:, 0])
        target = jax.lax.stop_gradient(
            self.values.target(
                self.critics.apply(state.target_critic, next_observation, next_action),
                batch.reward * config.reward_scale,
                batch.discount,
                -alpha * next_log_prob,
            )
        )

        def critic_loss(params: Any) -> tuple[Any, Any]:
            outputs = self.critics.apply(params, observation, batch.action)
            return (weight * self.values.loss(outputs, target)).mean(), self.values.mean(outputs).mean()

        (loss, value), gradient = jax.value_and_grad(critic_loss, has_aux=True)(state.critic)
        change, critic_optimiser = self._optimiser(config.critic_lr).update(gradient, state.critic_optimiser)
        critic = optax.apply_updates(state.critic, change)
        state = state._replace(
            critic=critic,
            target_critic=optax.incremental_update(critic, state.target_critic, config.tau),
            critic_optimiser=critic_optimiser,
            updates=state.updates + 1,
        )

        def improve(state: State) -> State:
            return self._improve_actor(state, observation, weight, noise[:, 1])

        if config.actor_every == 1:
            state = improve(state)
        else:
            is_due = (state.updates - 1) % config.actor_every == 0
            state = jax.lax.cond(is_due, improve, lambda state: state, state)
        return state, {
            **state.actor_metrics,
            "critic_loss": loss,
            "alpha": alpha,
            "log_alpha": state.log_alpha,
            "q_mean": value / config.reward_scale,
        }

    def _improve_actor(self, state: State, observation: Any, weight: Any, noise: Any) -> State:
        config, alpha = self.config, jnp.exp(state.log_alpha)

        def actor_loss(params: Any) -> tuple[Any, Any]:
            action, log_prob = self._act(params, observation, noise)
            value = self.values.mean(self.critics.apply(state.critic, observation, action)).min(axis=0)
            log_prob, saturated = weight * log_prob, jnp.abs(action) > SATURATED
            return (alpha * log_prob - weight * value).mean(), (log_prob.mean(), saturated.mean())

        (loss, (log_prob, saturation)), gradient = jax.value_and_grad(actor_loss, has_aux=True)(state.actor)
        change, actor_optimiser = self._optimiser(config.actor_lr).update(gradient, state.actor_optimiser)
        target_entropy = config.target_entropy_per_action * self.action_size
        alpha_change, alpha_optimiser = optax.adam(config.alpha_lr).update(
            -(log_prob + target_entropy), state.alpha_optimiser
        )
        return state._replace(
            actor=optax.apply_updates(state.actor, change),
            log_alpha=optax.apply_updates(state.log_alpha, alpha_change),
            actor_optimiser=actor_optimiser,
            alpha_optimiser=alpha_optimiser,
            actor_metrics={"actor_loss": loss, "entropy": -log_prob, "action_saturation": saturation},
        )

    def _mirrored(self, batch: Batch) -> Batch:
        """Return the batch with its first half in the mirror image; it was drawn at random, so any half will do."""
        symmetry = self.symmetry
        if symmetry is None or not self.config.mirror:
            return batch
        half = batch.reward.shape[0] // 2

        def half_of(function: Any, values: Any) -> Any:
            return jnp.concatenate([function(values[:half], jnp), values[half:]])

        return batch._replace(
            observation=half_of(symmetry.observation, batch.observation),
            action=half_of(symmetry.action, batch.action),
            next_observation=half_of(symmetry.observation, batch.next_observation),
        )


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
