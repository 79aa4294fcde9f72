"""Begin SAC from a teacher: its actions in the actor, its transitions in the replay buffer, its value in the critics.

What a teacher did may stay in the replay buffer of an off-policy learner (Ball et al. 2023, "Efficient Online
Reinforcement Learning with Offline Data", arXiv 2302.02948). The actor clones what the teacher would do while
something disturbed is done, so that it sees how the teacher recovers (Laskey et al. 2017, "DART", arXiv 1703.09327).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flashbax
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from touchline.learning import normaliser as norm
from touchline.learning.demonstration_config import DemonstrationConfig
from touchline.learning.progress import final_observation
from touchline.learning.sac import Batch, Sac, State
from touchline.learning.sac_config import SacConfig
from touchline.learning.sac_train import Loop

Teacher = Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[Any]]
"""Observations (n, o) and policy steps since each episode began (n,) → actions (n, m) in [-1, 1]."""
_CHUNK = 8


class Demonstrations(NamedTuple):
    """What a teacher did and would have done; arrays have leading axes (steps, environments)."""

    transitions: Batch
    """What was done, disturbed."""
    taught: NDArray[np.float32]
    """What the teacher would have done, shape (steps, environments, m)."""


def collect(
    envs: gymnasium.vector.VectorEnv[Any, Any, Any], teacher: Teacher, config: DemonstrationConfig, seed: int
) -> Demonstrations:
    """Reset ``envs`` and let ``teacher`` act in them, disturbed by noise."""
    generator = np.random.default_rng(seed)
    n = envs.num_envs
    level = np.resize(config.noise, n)[:, None]
    observation, _ = envs.reset(seed=seed)
    age = np.zeros(n, dtype=np.int64)
    transitions, taught = [], []
    for _ in range(-(-config.transitions // n)):
        wanted = np.asarray(teacher(observation, age), dtype=np.float32)
        action = np.clip(wanted + level * generator.standard_normal(wanted.shape), -1.0, 1.0).astype(np.float32)
        following, reward, terminated, truncated, info = envs.step(action)
        over = terminated | truncated
        final = final_observation(following, info, over)
        done = (observation, action, reward.astype(np.float32), final, terminated.astype(np.float32))
        transitions.append(Batch(*done))
        taught.append(wanted)
        observation, age = following, np.where(over, 0, age + 1)
    return Demonstrations(Batch(*map(np.stack, zip(*transitions, strict=True))), np.stack(taught))


def begin(loop: Loop, sac: Sac, config: DemonstrationConfig, teacher: Teacher, seed: int) -> Loop:
    """Return a fresh loop of ``sac_train.train`` that has learned from ``teacher``; its environments begin anew."""
    demonstrations = collect(loop.environments, teacher, config, seed)
    flat = jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:]), demonstrations)
    state: State = loop.learner._replace(
        normaliser=norm.update(loop.learner.normaliser, jnp.asarray(flat.transitions.observation))
    )
    generator = np.random.default_rng(seed)
    state = clone(state, sac, flat, config, generator)
    state = value(state, sac, flat.transitions, config, generator)
    memory = loop.memory
    add = jax.jit(_buffer(sac.config).add, donate_argnums=0)
    for i in range(len(demonstrations.taught)):
        memory = add(memory, jax.tree.map(lambda part, i=i: part[i], demonstrations.transitions))
    observation, _ = loop.environments.reset(seed=seed)
    return loop._replace(learner=state, memory=memory, observation=observation)


def clone(
    state: State, sac: Sac, flat: Demonstrations, config: DemonstrationConfig, generator: np.random.Generator
) -> State:
    """Return ``state`` with an actor whose deterministic action is nearest to the teacher's by mean square."""
    optimiser = optax.adam(optax.cosine_decay_schedule(config.clone_lr, max(1, config.clone_updates)))

    @jax.jit
    def update(actor: Any, moments: Any, observation: Any, wanted: Any) -> tuple[Any, Any]:
        def loss(params: Any) -> Any:
            mean, _ = sac.actor.apply(params, norm.apply(state.normaliser, observation))
            return ((jnp.tanh(mean) - wanted) ** 2).mean()

        change, moments = optimiser.update(jax.grad(loss)(actor), moments)
        return optax.apply_updates(actor, change), moments

    actor, moments = state.actor, optimiser.init(state.actor)
    for _ in range(config.clone_updates):
        rows = generator.integers(0, len(flat.taught), config.clone_batch)
        actor, moments = update(actor, moments, flat.transitions.observation[rows], flat.taught[rows])
    return state._replace(actor=actor)


def value(
    state: State, sac: Sac, transitions: Batch, config: DemonstrationConfig, generator: np.random.Generator
) -> State:
    """Return ``state`` with critics that know the actor's value where the demonstrations went."""
    kept = jax.tree.map(np.asarray, {name: getattr(state, name) for name in _UNTOUCHED})
    for _ in range(config.critic_updates // _CHUNK):
        rows = generator.integers(0, len(transitions.reward), (_CHUNK, sac.config.batch_size))
        state, _ = sac.update(state, jax.tree.map(lambda part, rows=rows: jnp.asarray(part[rows]), transitions))
        state = state._replace(**jax.tree.map(jnp.array, kept))
    return state


_UNTOUCHED = ("actor", "actor_optimiser", "log_alpha", "alpha_optimiser")


def _buffer(config: SacConfig) -> Any:
    return flashbax.make_item_buffer(
        max_length=config.replay_size,
        min_length=config.batch_size,
        sample_batch_size=config.batch_size * config.updates_per_step,
        add_batches=True,
    )
