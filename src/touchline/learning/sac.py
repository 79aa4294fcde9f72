"""Soft actor-critic in JAX: pure functions over a frozen state, for any environment with numbers in and out.

Source: Haarnoja et al. (2018), "Soft Actor-Critic Algorithms and Applications" (arXiv 1812.05905). The anchor to the
starting actor follows TD3+BC, Fujimoto and Gu (2021), arXiv 2106.06860. Critics that see more than the actor follow
Pinto et al. (2017), "Asymmetric Actor Critic for Image-Based Robot Learning" (arXiv 1710.06542).
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


class Anchor(NamedTuple):
    """An actor as it once was."""

    actor: Any
    normaliser: norm.Normaliser
    """The one it saw through: the learner's goes on changing, and the same weights would act otherwise."""


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
    anchor: Anchor | tuple[()]
    """What ``config.anchor`` pulls the actor towards; () without a pull."""
    key: Any

    def anchored(self, config: SacConfig) -> State:
        """Return the state with its actor as the anchor, if ``config`` has one."""
        if not config.anchor:
            return self
        # A copy: the update gives the state's arrays away to the device, each once.
        return self._replace(anchor=jax.tree.map(jnp.copy, Anchor(self.actor, self.normaliser)))


@dataclass(frozen=True)
class Sac:
    """The algorithm for given sizes; its methods are pure and jitted."""

    observation_size: int
    action_size: int
    config: SacConfig
    symmetry: Symmetry | None = None
    """Half of each batch is learnt from in its mirror image, where there is one and ``config.mirror`` says so."""
    felt: tuple[bool, ...] | None = None
    """Which numbers of an observation the actor looks at; all unless given. The critics look at all."""

    @property
    def actor(self) -> Actor:
        """The actor's module."""
        return Actor(self.action_size, self.config.actor_hidden, self.config.initial_sigma, self.felt)

    @property
    def critics(self) -> Critics:
        """The critics' module."""
        return Critics(self.config.critic_hidden, self.config.critic_atoms, self.config.critic_norm_weights)

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
        if self.felt is not None:
            # Nothing trains these weights, and what is made of the actor knows no mask.
            first = actor["params"]["hidden_0"]
            first["kernel"] *= jnp.asarray(self.felt, jnp.float32)[:, None]
        critic = self.critics.init(critic_key, observation, jnp.zeros((1, self.action_size)))
        # Of a type of its own: a number's would change with the first update, which would be compiled again.
        log_alpha = jnp.log(jnp.asarray(self.config.initial_alpha, jnp.float32))
        told = ["actor_loss", "entropy", "action_saturation", *(["anchor_distance"] if self.config.anchor else [])]
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
            actor_metrics={name: jnp.zeros(()) for name in told},
            anchor=(),
            key=key,
        ).anchored(self.config)

    def _act(self, actor: Any, observation: Any, noise: Any) -> tuple[Any, Any, Any]:
        """Return actions (b, m), their log-probabilities (b,) and the deterministic actions (b, m).

        ``noise`` is standard normal, shape (b, m).
        """
        mean, log_std = self.actor.apply(actor, observation)
        raw = mean + jnp.exp(log_std) * noise
        gaussian = -0.5 * noise**2 - log_std - 0.5 * jnp.log(2 * jnp.pi)
        # log(1 - tanh²) in the form that does not overflow
        squash = 2.0 * (jnp.log(2.0) - raw - jax.nn.softplus(-2.0 * raw))
        return jnp.tanh(raw), (gaussian - squash).sum(axis=-1), jnp.tanh(mean)

    def explore(self, state: State, observation: Any) -> tuple[State, Any]:
        """Take observations (b, n) into the normaliser and return sampled actions (b, m)."""
        normaliser, key, action = self._explore(state.actor, state.normaliser, state.key, observation)
        return state._replace(normaliser=normaliser, key=key), action

    # Only what it reads goes in and out: what a jitted function returns unchanged it copies.
    @partial(jax.jit, static_argnums=0)
    def _explore(self, actor: Any, normaliser: norm.Normaliser, key: Any, observation: Any) -> tuple[Any, Any, Any]:
        normaliser = norm.update(normaliser, observation)
        key, noise_key = jax.random.split(key)
        noise = jax.random.normal(noise_key, (observation.shape[0], self.action_size))
        action, _, _ = self._act(actor, norm.apply(normaliser, observation), noise)
        return normaliser, key, action

    @partial(jax.jit, static_argnums=0)
    def act(self, state: State, observation: Any) -> Any:
        """Return deterministic actions (b, m) for observations (b, n)."""
        mean, _ = self.actor.apply(state.actor, norm.apply(state.normaliser, observation))
        return jnp.tanh(mean)

    @partial(jax.jit, static_argnums=0, donate_argnums=1)
    def update(self, state: State, batches: Batch, anchor: Any = 0.0) -> tuple[State, dict[str, Any]]:
        """Make one update a leading index of ``batches`` (k, b, …) and return the mean metrics.

        ``anchor`` is the weight of the pull towards ``state.anchor``, of no effect where ``config`` has none.
        """

        def once(state: State, given: tuple[Batch, Any]) -> tuple[State, dict[str, Any]]:
            raw, noise = self._mirrored(given[0]), given[1]
            batch = self._prepared(state, raw)
            state, metrics = self._improve_critics(state, batch, noise[:, 0])

            def improve(state: State) -> State:
                return self._improve_actor(state, batch, noise[:, 1], raw.observation, anchor)

            if self.config.actor_every == 1:
                state = improve(state)
            else:
                is_due = (state.updates - 1) % self.config.actor_every == 0
                state = jax.lax.cond(is_due, improve, lambda state: state, state)
            return state, {**state.actor_metrics, **metrics, "log_alpha": state.log_alpha}

        key, noise_key = jax.random.split(state.key)
        # Drawn for all updates at once: on CPUs a draw costs more than its numbers.
        noise = jax.random.normal(noise_key, (*batches.reward.shape, 2, self.action_size))
        state, metrics = jax.lax.scan(once, state._replace(key=key), (batches, noise))
        return state, jax.tree.map(jnp.mean, metrics)

    @partial(jax.jit, static_argnums=0, donate_argnums=1)
    def update_critics(self, state: State, batches: Batch) -> State:
        """Make one update of the critics a leading index of ``batches`` (k, b, …); actor and temperature stay."""

        def once(state: State, given: tuple[Batch, Any]) -> tuple[State, dict[str, Any]]:
            return self._improve_critics(state, self._prepared(state, self._mirrored(given[0])), given[1])

        key, noise_key = jax.random.split(state.key)
        noise = jax.random.normal(noise_key, (*batches.reward.shape, self.action_size))
        state, _ = jax.lax.scan(once, state._replace(key=key), (batches, noise))
        return state

    def _prepared(self, state: State, batch: Batch) -> Batch:
        """Return the batch as the losses take it: observations normalised, weights of mean 1."""
        return batch._replace(
            observation=norm.apply(state.normaliser, batch.observation),
            next_observation=norm.apply(state.normaliser, batch.next_observation),
            weight=batch.weight / jnp.maximum(batch.weight.mean(), 1e-6),
        )

    def _improve_critics(self, state: State, batch: Batch, noise: Any) -> tuple[State, dict[str, Any]]:
        config, alpha = self.config, jnp.exp(state.log_alpha)
        next_action, next_log_prob, _ = self._act(state.actor, batch.next_observation, noise)
        target = jax.lax.stop_gradient(
            self.values.target(
                self.critics.apply(state.target_critic, batch.next_observation, next_action),
                batch.reward * config.reward_scale,
                batch.discount,
                -alpha * next_log_prob,
            )
        )

        def critic_loss(params: Any) -> tuple[Any, Any]:
            outputs = self.critics.apply(params, batch.observation, batch.action)
            loss = (batch.weight * self.values.loss(outputs, target)).mean()
            return loss, (batch.weight * self.values.mean(outputs)).mean()

        (loss, value), gradient = jax.value_and_grad(critic_loss, has_aux=True)(state.critic)
        change, critic_optimiser = self._optimiser(config.critic_lr).update(gradient, state.critic_optimiser)
        critic = optax.apply_updates(state.critic, change)
        state = state._replace(
            critic=critic,
            target_critic=optax.incremental_update(critic, state.target_critic, config.tau),
            critic_optimiser=critic_optimiser,
            updates=state.updates + 1,
        )
        return state, {"critic_loss": loss, "alpha": alpha, "q_mean": value / config.reward_scale}

    def _improve_actor(self, state: State, batch: Batch, noise: Any, raw: Any, pull: Any) -> State:
        config, alpha, anchor = self.config, jnp.exp(state.log_alpha), state.anchor
        if anchor:
            wanted = jnp.tanh(self.actor.apply(anchor.actor, norm.apply(anchor.normaliser, raw))[0])

        def actor_loss(params: Any) -> tuple[Any, dict[str, Any]]:
            action, log_prob, mean = self._act(params, batch.observation, noise)
            value = self.values.mean(self.critics.apply(state.critic, batch.observation, action)).min(axis=0)
            value, log_prob = batch.weight * value, batch.weight * log_prob
            loss = (alpha * log_prob - value).mean()
            saturated = batch.weight[:, None] * (jnp.abs(action) > SATURATED)
            told = {"entropy": -log_prob.mean(), "action_saturation": saturated.mean()}
            if anchor:
                told["anchor_distance"] = (batch.weight[:, None] * (mean - wanted) ** 2).mean()
                # Scaled by the value, so that the weight means the same at any scale of reward.
                loss += pull * jax.lax.stop_gradient(jnp.abs(value).mean()) * told["anchor_distance"]
            return loss, told

        (loss, told), gradient = jax.value_and_grad(actor_loss, has_aux=True)(state.actor)
        change, actor_optimiser = self._optimiser(config.actor_lr).update(gradient, state.actor_optimiser)
        target_entropy = config.target_entropy_per_action * self.action_size
        alpha_change, alpha_optimiser = optax.adam(config.alpha_lr).update(
            told["entropy"] - target_entropy, state.alpha_optimiser
        )
        return state._replace(
            actor=optax.apply_updates(state.actor, change),
            log_alpha=optax.apply_updates(state.log_alpha, alpha_change),
            actor_optimiser=actor_optimiser,
            alpha_optimiser=alpha_optimiser,
            actor_metrics={"actor_loss": loss, **told},
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
