"""The loop of DDPG over a Gymnasium vector environment, as a generator: the caller logs, evaluates and stops."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from touchline.errors import UsageError
from touchline.learning.convert import mlp_of
from touchline.learning.ddpg import DDPG_FF
from touchline.learning.ddpg_config import DdpgConfig
from touchline.learning.policy import Policy
from touchline.learning.progress import EpisodeStatistics, Progress, Section, final_observation, untimed
from touchline.learning.replay import ReplayBuffer, Transitions


def train(
    envs: gymnasium.vector.VectorEnv[Any, Any, Any],
    start: Policy,
    config: DdpgConfig,
    *,
    total_steps: int,
    seed: int,
    section: Section = untimed,
) -> Iterator[Progress[DDPG_FF]]:
    """Fine-tune ``start`` for ``total_steps`` policy transitions, yielding after every vector step.

    The start policy's normaliser stays frozen: the converted weights were learnt with it.

    ``section`` times the parts of the loop.

    Raises:
        UsageError: the environment does not restart ended episodes in the same step.
    """
    if envs.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
        raise UsageError(
            f"DDPG needs an environment with same-step auto-reset, this one has "
            f"{envs.metadata.get('autoreset_mode')}. Make it with autoreset_mode=AutoresetMode.SAME_STEP."
        )
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    learner = DDPG_FF(mlp_of(start), config)
    (size,), (actions,) = envs.single_observation_space.shape, envs.single_action_space.shape  # type: ignore[misc]
    replay = ReplayBuffer(config.replay_size, size, actions)
    episodes = EpisodeStatistics(envs.num_envs)
    observation, _ = envs.reset(seed=seed)
    seen = start.normalise(observation)
    step = updates = 0
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
        replay.add(Transitions(seen, action, reward.astype(np.float32), final, terminated.astype(np.float32)))
        seen = following
        step += envs.num_envs
        episodes.add(reward, terminated, truncated)
        if step >= config.warmup_steps:
            for _ in range(config.updates_per_step):
                with section("transfer"):
                    tensors = [torch.from_numpy(part) for part in replay.sample(rng, config.batch_size)]
                with section("update"):
                    metrics = metrics | learner.update(*tensors, train_actor=updates >= config.critic_warmup_updates)
                updates += 1
        yield Progress(
            step=step,
            updates=updates,
            buffer_size=len(replay),
            metrics=metrics,
            episodes=episodes,
            terms={},
            state=learner,
        )


def exploration_entropy(noise: float, action_size: int) -> float:
    """Return the differential entropy in nats of the exploration noise: a Gaussian's, before clipping to [-1, 1].

    A deterministic policy has none of its own; this is what explores, and it is comparable with SAC's.
    """
    return action_size * 0.5 * math.log(2 * math.pi * math.e * noise**2) if noise > 0 else -math.inf
