"""Begin SAC from a teacher: its actions in the actor, its transitions in the replay buffer, its value in the critics.

What a teacher did may stay in the replay buffer of an off-policy learner (Ball et al. 2023, "Efficient Online
Reinforcement Learning with Offline Data", arXiv 2302.02948). The actor clones what the teacher would do while
something disturbed is done, so that it sees how the teacher recovers (Laskey et al. 2017, "DART", arXiv 1703.09327).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from touchline.learning import normaliser as norm
from touchline.learning.demonstration_config import DemonstrationConfig
from touchline.learning.interaction import Environments
from touchline.learning.memory import Memory, Transition
from touchline.learning.sac import Sac, State
from touchline.learning.sac_train import Loop

Teacher = Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[Any]]
"""Observations (n, o) and policy steps since each episode began (n,) → actions (n, m) in [-1, 1]."""
_CHUNK = 8


class Demonstrations(NamedTuple):
    """What a teacher did and would have done; arrays have leading axes (steps, environments)."""

    transitions: Transition
    """What was done, disturbed."""
    taught: NDArray[np.float32]
    """What the teacher would have done, shape (steps, environments, m)."""


def collect(
    envs: gymnasium.vector.VectorEnv[Any, Any, Any], teacher: Teacher, config: DemonstrationConfig, seed: int
) -> Demonstrations:
    """Reset ``envs`` and let ``teacher`` act in them, disturbed by noise."""
    environments, generator, n = Environments(envs), np.random.default_rng(seed), envs.num_envs
    level = np.resize(config.noise, n)[:, None]
    observation, ended = environments.reset(seed), np.zeros(n, dtype=bool)
    age = np.zeros(n, dtype=np.int64)
    transitions, taught = [], []
    for _ in range(-(-config.transitions // n)):
        wanted = np.asarray(teacher(observation, age), dtype=np.float32)
        action = np.clip(wanted + level * generator.standard_normal(wanted.shape), -1.0, 1.0).astype(np.float32)
        step = environments.step(action, ended)
        transitions.append(
            Transition(
                observation, action, step.reward, step.final_observation, step.terminated, step.truncated, step.valid
            )
        )
        taught.append(wanted)
        observation, ended = step.observation, step.ended
        age = np.where(ended | ~step.valid, 0, age + 1)
    return Demonstrations(Transition(*map(np.stack, zip(*transitions, strict=True))), np.stack(taught))


def begin(loop: Loop, sac: Sac, config: DemonstrationConfig, teacher: Teacher, seed: int) -> Loop:
    """Return a fresh loop of ``sac_train.train`` that has learned from ``teacher``; its environments begin anew."""
    shown = collect(loop.environments, teacher, config, seed)
    seen = jnp.asarray(shown.transitions.observation.reshape(-1, sac.observation_size))
    state = loop.learner._replace(normaliser=norm.update(loop.learner.normaliser, seen))
    state = clone(state, sac, shown, config, np.random.default_rng(seed)).anchored(sac.config)
    memory = Memory.of(sac.config, loop.environments.num_envs)
    stored, add = loop.memory, jax.jit(memory.add, donate_argnums=0)
    for i in range(len(shown.taught)):
        stored = add(stored, Transition(*(part[i] for part in shown.transitions)))
    state = value(state, sac, memory, stored, config, jax.random.key(seed))
    return loop._replace(learner=state, memory=stored, observation=Environments(loop.environments).reset(seed))


def clone(
    state: State, sac: Sac, shown: Demonstrations, config: DemonstrationConfig, generator: np.random.Generator
) -> State:
    """Return ``state`` with an actor whose deterministic action is nearest to the teacher's by mean square."""
    optimiser = optax.adam(optax.cosine_decay_schedule(config.clone_lr, max(1, config.clone_updates)))
    observations = shown.transitions.observation.reshape(-1, sac.observation_size)
    taught = shown.taught.reshape(-1, sac.action_size)

    @jax.jit
    def update(actor: Any, moments: Any, observation: Any, wanted: Any) -> tuple[Any, Any]:
        def loss(params: Any) -> Any:
            mean, _ = sac.actor.apply(params, norm.apply(state.normaliser, observation))
            return ((jnp.tanh(mean) - wanted) ** 2).mean()

        change, moments = optimiser.update(jax.grad(loss)(actor), moments)
        return optax.apply_updates(actor, change), moments

    actor, moments = state.actor, optimiser.init(state.actor)
    for _ in range(config.clone_updates):
        rows = generator.integers(0, len(taught), config.clone_batch)
        actor, moments = update(actor, moments, observations[rows], taught[rows])
    return state._replace(actor=actor)


def value(state: State, sac: Sac, memory: Memory, stored: Any, config: DemonstrationConfig, key: Any) -> State:
    """Return ``state`` with critics that know the actor's value where the demonstrations in ``stored`` went."""
    draw = jax.jit(memory.draw, static_argnums=2)
    for _ in range(config.critic_updates // _CHUNK):
        key, draw_key = jax.random.split(key)
        state = sac.update_critics(state, draw(stored, draw_key, _CHUNK))
    return state
