"""The loop of DDPG over a Gymnasium vector environment, as a generator: the caller logs, evaluates and stops."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from touchline.errors import UsageError
from touchline.learning.convert import mlp_of
from touchline.learning.ddpg import DDPG_FF
from touchline.learning.ddpg_config import DdpgConfig
from touchline.learning.interaction import final_observation
from touchline.learning.policy import Policy
from touchline.learning.progress import (
    EpisodeStatistics,
    Progress,
    Section,
    from_the_start,
    reward_terms,
    untimed,
)
from touchline.learning.replay import ReplayBuffer, Transitions


class Loop(NamedTuple):
    """Everything the loop needs to go on; its objects are the loop's own, which the next step changes in place.

    PyTorch's global generator is not among it: after the networks were initialised the loop draws from
    ``generator`` alone.
    """

    learner: DDPG_FF
    actor_optimiser: torch.optim.Optimizer
    """The learner's own: a module's ``state_dict`` leaves optimisers out."""
    critic_optimiser: torch.optim.Optimizer
    memory: ReplayBuffer
    generator: np.random.Generator
    """Draws the exploration and the batches."""
    environments: Any
    """The vector environment itself; to be restored it needs ``state_dict`` and ``load_state_dict``."""
    observation: NDArray[np.float32]
    """Where the environments stand, normalised, shape (num_envs, n)."""
    episodes: EpisodeStatistics
    step: int
    updates: int


def train(
    envs: gymnasium.vector.VectorEnv[Any, Any, Any],
    start: Policy,
    config: DdpgConfig,
    *,
    total_steps: int,
    seed: int,
    section: Section = untimed,
    restore: Callable[[Loop], Loop] = from_the_start,
) -> Iterator[Progress[DDPG_FF]]:
    """Fine-tune ``start`` for ``total_steps`` policy transitions, yielding after every vector step.

    The start policy's normaliser stays frozen: the converted weights were learnt with it.

    ``section`` times the parts of the loop.

    ``restore`` is called once, with the fresh loop after the environments were reset, and returns the loop to go on
    from; it loads the objects in it in place. From a ``progress.loop`` saved by a training of the same start and
    configuration, everything yielded is bit for bit what that training would have yielded, save ``metrics``, which
    hold no loss until the first update. Nothing is yielded when ``total_steps`` were already made.

    Raises:
        UsageError: the environment does not restart ended episodes in the same step.
    """
    if envs.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
        raise UsageError(
            f"DDPG needs an environment with same-step auto-reset, this one has "
            f"{envs.metadata.get('autoreset_mode')}. Make it with autoreset_mode=AutoresetMode.SAME_STEP."
        )
    torch.manual_seed(seed)
    learner = DDPG_FF(mlp_of(start), config)
    (size,), (actions,) = envs.single_observation_space.shape, envs.single_action_space.shape  # type: ignore[misc]
    observation, _ = envs.reset(seed=seed)
    loop = restore(
        Loop(
            learner=learner,
            actor_optimiser=learner.actor_optimiser,
            critic_optimiser=learner.critic_optimiser,
            memory=ReplayBuffer(config.replay_size, size, actions),
            generator=np.random.default_rng(seed),
            environments=envs,
            observation=start.normalise(observation),
            episodes=EpisodeStatistics(envs.num_envs, gamma=config.gamma),
            step=0,
            updates=0,
        )
    )
    learner, memory, rng, episodes = loop.learner, loop.memory, loop.generator, loop.episodes
    seen, step, updates = loop.observation, loop.step, loop.updates
    metrics: dict[str, Any] = {"entropy": exploration_entropy(config.noise, actions)}
    while step < total_steps:
        with torch.inference_mode():
            action = learner(torch.from_numpy(seen)).numpy()
        noise = rng.normal(0.0, config.noise, action.shape)
        action = np.clip(action + noise, -1.0, 1.0).astype(np.float32)
        with section("environment"):
            observation, reward, terminated, truncated, info = envs.step(action)
        following = start.normalise(observation)
        final = start.normalise(final_observation(observation, info, terminated | truncated))
        memory.add(Transitions(seen, action, reward.astype(np.float32), final, terminated.astype(np.float32)))
        seen = following
        step += envs.num_envs
        episodes.add(reward, terminated, truncated, info, action)
        if step >= config.warmup_steps:
            for _ in range(config.updates_per_step):
                with section("transfer"):
                    tensors = [torch.from_numpy(part) for part in memory.sample(rng, config.batch_size)]
                with section("update"):
                    metrics = metrics | learner.update(*tensors, train_actor=updates >= config.critic_warmup_updates)
                updates += 1
        yield Progress(
            step=step,
            updates=updates,
            buffer_size=len(memory),
            metrics=metrics,
            episodes=episodes,
            terms=reward_terms(info),
            state=learner,
            loop=loop._replace(observation=seen, step=step, updates=updates),
        )


def exploration_entropy(noise: float, action_size: int) -> float:
    """Return the differential entropy in nats of the exploration noise: a Gaussian's, before clipping to [-1, 1].

    A deterministic policy has none of its own; this is what explores, and it is comparable with SAC's.
    """
    return action_size * 0.5 * math.log(2 * math.pi * math.e * noise**2) if noise > 0 else -math.inf
