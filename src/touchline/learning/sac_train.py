"""The loop of SAC over a Gymnasium vector environment, as a generator: the caller logs, saves and stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flashbax
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode

from touchline.errors import UsageError
from touchline.learning.progress import (
    EpisodeStatistics,
    Progress,
    Section,
    final_observation,
    from_the_start,
    reward_terms,
    untimed,
)
from touchline.learning.sac import Batch, Sac, State
from touchline.learning.sac_config import SacConfig


class Loop(NamedTuple):
    """Everything the loop needs to go on.

    The next step gives ``learner`` and ``memory`` away to the device: read them before it, or copy them.
    """

    learner: State
    memory: Any
    """State of the flashbax buffer."""
    key: Any
    """Draws the batches."""
    environments: Any
    """The vector environment itself; to be restored it needs ``state_dict`` and ``load_state_dict``."""
    observation: Any
    """Where the environments stand, shape (num_envs, n)."""
    episodes: EpisodeStatistics
    step: int
    updates: int


def train(
    envs: gymnasium.vector.VectorEnv[Any, Any, Any],
    config: SacConfig,
    *,
    total_steps: int,
    seed: int,
    section: Section = untimed,
    restore: Callable[[Loop], Loop] = from_the_start,
) -> Iterator[Progress[State]]:
    """Train for ``total_steps`` policy transitions over all environments, yielding after every vector step.

    The environment must restart ended episodes in the same step and hand over ``info["final_obs"]``, shape
    (num_envs, n), so that time-outs can bootstrap.

    ``section`` times the parts of the loop.

    ``restore`` is called once, with the fresh loop after the environments were reset, and returns the loop to go on
    from; objects in it that keep their own state it loads in place. From a ``progress.loop`` saved by a training of
    the same configuration, everything yielded is bit for bit what that training would have yielded, save ``metrics``,
    which are empty until the first update. Nothing is yielded when ``total_steps`` were already made.

    Raises:
        UsageError: the environment restarts episodes in another way.
        FloatingPointError: a loss is not finite; the message tells the step.
    """
    if envs.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
        raise UsageError(
            f"SAC needs an environment with same-step auto-reset, this one has "
            f"{envs.metadata.get('autoreset_mode')}. Make it with autoreset_mode=AutoresetMode.SAME_STEP."
        )
    (size,), (actions,) = envs.single_observation_space.shape, envs.single_action_space.shape  # type: ignore[misc]
    sac = Sac(size, actions, config)
    state = sac.init(seed)
    replay = flashbax.make_item_buffer(
        max_length=config.replay_size,
        min_length=config.batch_size,
        sample_batch_size=config.batch_size * config.updates_per_step,
        add_batches=True,
    )
    example = Batch(jnp.zeros(size), jnp.zeros(actions), jnp.zeros(()), jnp.zeros(size), jnp.zeros(()))
    memory = replay.init(example)
    add = jax.jit(replay.add, donate_argnums=0)

    @jax.jit
    def draw(memory: Any, key: Any) -> Batch:
        items = replay.sample(memory, key).experience
        shape = (config.updates_per_step, config.batch_size)
        return Batch(*(part.reshape(shape + part.shape[1:]) for part in items))

    key = jax.random.key(seed + 1)
    observation, _ = envs.reset(seed=seed)
    episodes = EpisodeStatistics(envs.num_envs, gamma=config.gamma, reward_scale=config.reward_scale)
    fresh = Loop(state, memory, key, envs, observation, episodes, step=0, updates=0)
    state, memory, key, envs, observation, episodes, step, updates = restore(fresh)
    del fresh
    metrics: dict[str, Any] = {}
    while step < total_steps:
        state, action = sac.explore(state, observation)
        action = np.asarray(action)
        with section("environment"):
            following, reward, terminated, truncated, info = envs.step(action)
        final = final_observation(following, info, terminated | truncated)
        with section("transfer"):
            memory = add(
                memory,
                Batch(observation, action, reward.astype(np.float32), final, terminated.astype(np.float32)),
            )
        observation = following
        step += envs.num_envs
        episodes.add(reward, terminated, truncated, info, action)
        if step >= config.warmup_steps:
            with section("update"):
                key, draw_key = jax.random.split(key)
                # reading the previous losses first keeps one update in flight while the environments step
                _refuse_non_finite(metrics, step)
                state, metrics = sac.update(state, draw(memory, draw_key))
            updates += config.updates_per_step
        yield Progress(
            step=step,
            updates=updates,
            buffer_size=min(step, config.replay_size),
            metrics=metrics,
            episodes=episodes,
            terms=reward_terms(info),
            state=state,
            loop=Loop(state, memory, key, envs, observation, episodes, step, updates),
        )


def _refuse_non_finite(metrics: dict[str, Any], step: int) -> None:
    for name in ("critic_loss", "actor_loss"):
        if name in metrics and not np.isfinite(float(metrics[name])):
            raise FloatingPointError(
                f"{name} became {float(metrics[name])} at policy transition {step}. "
                "Lower the learning rates or check the rewards."
            )
