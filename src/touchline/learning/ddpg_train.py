"""The loop of DDPG over a Gymnasium vector environment, as a generator: the caller logs, evaluates and stops."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from touchline.errors import UsageError
from touchline.learning.convert import mlp_of
from touchline.learning.ddpg import DDPG_FF
from touchline.learning.ddpg_config import DdpgConfig
from touchline.learning.interaction import Environments, refuse_arguments
from touchline.learning.policy import Policy
from touchline.learning.progress import (
    EpisodeStatistics,
    Progress,
    Section,
    from_the_start,
    refuse_non_finite,
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
    length: NDArray[np.int64]
    """Transitions that the running episodes have made, shape (num_envs,)."""
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

    Actions in [-1, 1] are stretched to the bounds of the environment's, as SAC does.

    The start policy's normaliser stays frozen: the converted weights were learnt with it.

    Where the environments step in other processes (``step_async`` and ``step_wait``, as Gymnasium's
    ``AsyncVectorEnv`` and ``ParallelVectorEnv`` have them), the learner updates while they do. The order is the same
    without: the updates of a vector step know the transitions before it.

    ``section`` times the parts of the loop.

    ``restore`` is called once, with the fresh loop after the environments were reset, and returns the loop to go on
    from; it loads the objects in it in place. From a ``progress.loop`` saved by a training of the same start and
    configuration, everything yielded is bit for bit what that training would have yielded, save ``metrics``, which
    hold no loss until the first update. Nothing is yielded when ``total_steps`` were already made.

    Raises:
        UsageError: an argument is none that can be used, or the environment does not restart ended episodes in the
            same step, does not fit the policy, or tells no score where the configuration wants one.
        FloatingPointError: a loss, an observation or a reward is not finite.
    """
    refuse_arguments(total_steps=total_steps, seed=seed)
    environments = Environments(envs)
    if not environments.restarts_at_once:
        raise UsageError(
            f"DDPG needs an environment with same-step auto-reset, this one has "
            f"{envs.metadata.get('autoreset_mode')}. Make it with autoreset_mode=AutoresetMode.SAME_STEP."
        )
    size, actions = environments.observation_size, environments.action_size
    if (found := (start.mean.shape[0], start.biases[-1].shape[0])) != (size, actions):
        raise UsageError(
            f"The policy takes {found[0]} numbers and gives {found[1]}, and the environment has observations of "
            f"{size} and actions of {actions}. Fine-tune in the environment that the policy was made for."
        )
    torch.manual_seed(seed)
    learner = DDPG_FF(mlp_of(start), config)
    observation = environments.reset(seed)
    loop = restore(
        Loop(
            learner=learner,
            actor_optimiser=learner.actor_optimiser,
            critic_optimiser=learner.critic_optimiser,
            memory=ReplayBuffer(config.replay_size, size, actions),
            generator=np.random.default_rng(seed),
            environments=envs,
            observation=start.normalise(observation),
            length=np.zeros(envs.num_envs, np.int64),
            episodes=EpisodeStatistics(envs.num_envs, gamma=config.gamma),
            step=0,
            updates=0,
        )
    )
    learner, memory, rng, episodes = loop.learner, loop.memory, loop.generator, loop.episodes
    seen, length, step, updates = loop.observation, loop.length, loop.step, loop.updates
    entropy = exploration_entropy(config.noise, actions)
    none_ended = np.zeros(envs.num_envs, dtype=np.bool_)
    losses: dict[str, float] = {}
    while step < total_steps:
        with torch.inference_mode():
            wanted = learner(torch.from_numpy(seen)).numpy()
        noise = rng.normal(0.0, config.noise, wanted.shape)
        action = np.clip(wanted + noise, -1.0, 1.0).astype(np.float32)
        with section("environment"):
            answer = environments.begin(action, none_ended)
        share, anchor = config.score_share_at(step), config.anchor_at(step)
        with section("update"):
            while updates < config.updates_until(step):
                batch = memory.split(torch.from_numpy(memory.sample(rng, config.batch_size)))
                train_actor = updates >= config.critic_warmup_updates
                told = learner.update(batch, train_actor=train_actor, score_share=share, anchor=anchor)
                losses |= {name: float(value) for name, value in told.items()}
                updates += 1
        refuse_non_finite(losses, step)
        with section("environment"):
            came = answer()
        reward, info, ended = came.reward, came.info, came.ended
        score = _scores(info, ended, is_needed=config.score_share > 0.0)
        if not np.isfinite(score).all():
            raise FloatingPointError(
                f"score became {score.sum()} at policy transition {step}. An environment answered so; mend it."
            )
        final = start.normalise(came.final_observation)
        parts = (seen, action, final, reward, score, came.terminated, ended)
        memory.add(Transitions(*(np.asarray(part, np.float32) for part in parts)))
        length += 1
        for i in np.flatnonzero(ended).tolist():
            memory.settle(i, envs.num_envs, int(length[i]), float(score[i]), config.score_gamma)
        length[ended] = 0
        seen = start.normalise(came.observation)
        step += envs.num_envs
        episodes.add(reward, came.terminated, came.truncated, info, action)
        metrics = {"entropy": entropy, "score_share": share, "dense_share": 1.0 - share, "anchor_weight": anchor}
        yield Progress(
            step=step,
            updates=updates,
            buffer_size=len(memory),
            metrics=metrics | losses,
            episodes=episodes,
            terms=reward_terms(info),
            state=learner,
            loop=loop._replace(observation=seen, step=step, updates=updates),
        )


def _scores(info: Mapping[str, Any], ended: NDArray[np.bool_], *, is_needed: bool) -> NDArray[np.float32]:
    """Return the scores of the episodes that ended in this step, 0 elsewhere, shape (n,)."""
    final = info.get("final_info", {})
    if "score" in final:
        return np.where(ended, final["score"], 0.0).astype(np.float32)
    if is_needed and ended.any():
        raise UsageError(
            'An episode ended and its last info has no "score", which the training anneals to. Tell one in '
            "info, or set score_share to 0: the dense reward teaches alone then."
        )
    return np.zeros(len(ended), np.float32)


def exploration_entropy(noise: float, action_size: int) -> float:
    """Return the differential entropy in nats of the exploration noise: a Gaussian's, before clipping to [-1, 1].

    A deterministic policy has none of its own; this is what explores, and it is comparable with SAC's.
    """
    return action_size * 0.5 * math.log(2 * math.pi * math.e * noise**2) if noise > 0 else -math.inf
