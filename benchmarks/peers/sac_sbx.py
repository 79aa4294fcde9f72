"""SBX's SAC. Arguments: speed, widths, blocks, steps a block, environments; or learn, task, seed, transitions."""

from __future__ import annotations

import sys
import time
from typing import Any

import gym_tasks
import numpy as np
import sac_settings as common
from sbx import SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from synthetic_gym import SyntheticVectorEnv


class SyntheticVecEnv(VecEnv):
    """The synthetic environment with the interface of Stable-Baselines3."""

    def __init__(self, num_envs: int) -> None:
        self._envs = SyntheticVectorEnv(num_envs)
        self._infos: list[dict[str, Any]] = [{} for _ in range(num_envs)]
        super().__init__(num_envs, self._envs.single_observation_space, self._envs.single_action_space)

    def reset(self) -> Any:
        """Begin every episode anew."""
        return self._envs.reset(seed=0)[0]

    def step_async(self, actions: Any) -> None:
        """Keep the actions for ``step_wait``."""
        self._actions = actions

    def step_wait(self) -> Any:
        """Step every environment."""
        observation, reward, _, truncated, info = self._envs.step(self._actions)
        infos = self._infos
        if info:
            infos = [{"terminal_observation": last, "TimeLimit.truncated": True} for last in info["final_obs"]]
        return observation, reward, truncated, infos

    def close(self) -> None:
        """Nothing is held."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Nothing has an attribute but the absent renderer."""
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Nothing can be set."""

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Nothing can be called."""
        return [None] * self.num_envs

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Nothing is wrapped."""
        return [False] * self.num_envs


class EachStep(BaseCallback):
    """Tells a timer of each vector step."""

    def __init__(self, timed: common.Blocks) -> None:
        super().__init__()
        self._timed = timed

    def _on_step(self) -> bool:
        self._timed.step()
        return True


def speed(hidden: str, blocks: str, steps: str, environments: str) -> None:
    """Print the transitions a second of every block; one update for as many transitions as for the others."""
    n = int(environments)
    every = common.SPEED_ENVS // n
    timed = common.Blocks(int(blocks), int(steps) * every, n)
    model = SAC(
        "MlpPolicy",
        SyntheticVecEnv(n),
        batch_size=common.BATCH,
        buffer_size=common.SPEED_REPLAY,
        learning_starts=common.SPEED_WARM_UP,
        train_freq=every,
        gradient_steps=1,
        policy_kwargs={"net_arch": list(common.widths(hidden))},
        seed=0,
    )
    model.learn(timed.total * n, callback=EachStep(timed), log_interval=1_000_000)
    common.say({"transitions_per_second": timed.speeds})


def learn(task: str, seed: str, transitions: str) -> None:
    """Print the deterministic returns after training."""
    began = time.perf_counter()
    model = SAC(
        "MlpPolicy",
        DummyVecEnv([lambda: gym_tasks.make(task)]),
        learning_rate=common.LEARNING_RATE,
        batch_size=common.BATCH,
        buffer_size=int(transitions),
        learning_starts=common.LEARNING_WARM_UP,
        tau=common.TAU,
        gamma=common.GAMMA,
        train_freq=1,
        gradient_steps=1,
        policy_kwargs={"net_arch": list(common.HIDDEN)},
        seed=int(seed),
    )
    model.learn(int(transitions), log_interval=1_000_000)
    seconds = time.perf_counter() - began
    returns = gym_tasks.returns(
        task, lambda observation: np.asarray(model.predict(observation, deterministic=True)[0])
    )
    common.say({"returns": returns, "training_seconds": seconds, "updates": model._n_updates})


if __name__ == "__main__":
    {"speed": speed, "learn": learn}[sys.argv[1]](*sys.argv[2:])
