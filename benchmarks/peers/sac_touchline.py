"""Touchline's SAC. Arguments: speed, widths, blocks, steps a block, host or device; or learn, task, seed, steps."""

from __future__ import annotations

import sys
import time

import gym_tasks
import gymnasium
import jax
import sac_settings as common
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from synthetic_device import SyntheticDeviceEnv
from synthetic_gym import SyntheticVectorEnv

from touchline.learning.sac import Sac
from touchline.learning.sac_config import SacConfig
from touchline.learning.sac_train import train


def speed(hidden: str, blocks: str, steps: str, where: str) -> None:
    """Print the transitions a second of every block."""
    config = SacConfig(
        actor_hidden=common.widths(hidden),
        critic_hidden=common.widths(hidden),
        critic_norm_weights=False,  # as the walking recipes have it
        batch_size=common.BATCH,
        updates_per_step=1,
        replay_size=common.SPEED_REPLAY,
        warmup_steps=common.SPEED_WARM_UP,
    )
    timed = common.Blocks(int(blocks), int(steps), common.SPEED_ENVS)
    envs = {"host": SyntheticVectorEnv, "device": SyntheticDeviceEnv}[where](common.SPEED_ENVS)
    for _ in train(envs, config, total_steps=timed.total * common.SPEED_ENVS, seed=0):
        timed.step()
    common.say({"transitions_per_second": timed.speeds})


def learn(task: str, seed: str, transitions: str) -> None:
    """Print the deterministic returns after training."""
    config = SacConfig(
        actor_hidden=common.HIDDEN,
        critic_hidden=common.HIDDEN,
        actor_lr=common.LEARNING_RATE,
        critic_lr=common.LEARNING_RATE,
        alpha_lr=common.LEARNING_RATE,
        gamma=common.GAMMA,
        tau=common.TAU,
        batch_size=common.BATCH,
        updates_per_step=1,
        replay_size=int(transitions),
        warmup_steps=common.LEARNING_WARM_UP,
        initial_alpha=1.0,
        target_entropy_per_action=-1.0,
        reward_scale=1.0,
    )
    began = time.perf_counter()
    envs: gymnasium.vector.VectorEnv = SyncVectorEnv(
        [lambda: gym_tasks.make(task)], autoreset_mode=AutoresetMode.SAME_STEP
    )
    for progress in train(envs, config, total_steps=int(transitions), seed=int(seed)):
        state = progress.state
    seconds = time.perf_counter() - began
    (size,), (actions,) = envs.single_observation_space.shape, envs.single_action_space.shape
    sac = Sac(size, actions, config)
    returns = gym_tasks.returns(task, lambda observation: jax.device_get(sac.act(state, observation)))
    common.say({"returns": returns, "training_seconds": seconds, "updates": progress.updates})


if __name__ == "__main__":
    {"speed": speed, "learn": learn}[sys.argv[1]](*sys.argv[2:])
