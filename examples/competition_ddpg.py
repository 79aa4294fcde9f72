"""The competition's own training script, tracked: one import line sends it through Touchline.

    python examples/competition_ddpg.py --timesteps 2000 --task goalie_penalty_kick

Model, preprocessor, action function and loop are called as in its ``training_scripts/main.py``. Each step is one of
the official environment: 2 ms of torque, not 20 ms of a policy as in *finetune*, which learns far more of as many.
"""

from __future__ import annotations

import argparse

import gymnasium
import numpy as np
import torch
import torch.nn.functional as F

from touchline.compat.competition import DDPG_FF, training_loop  # the lines that change
from touchline.soccer.preprocessor import Preprocessor as OfficialPreprocessor
from touchline.soccer.tasks import TASKS, task_named


class TaskIndex(gymnasium.Wrapper):
    """Tells the task in ``info``, as the competition's runner does."""

    def __init__(self, env: gymnasium.Env, task: str) -> None:
        super().__init__(env)
        self.one_hot = np.eye(len(TASKS))[TASKS.index(task)]

    def reset(self, **options):
        observation, info = self.env.reset(**options)
        return observation, {**info, "task_index": self.one_hot}

    def step(self, action):
        *answer, info = self.env.step(action)
        return *answer, {**info, "task_index": self.one_hot}


def make_env(task: str) -> gymnasium.Env:
    """The official environment with its own time limit."""
    import sai_mujoco  # noqa: F401 (registers the environments)

    env = gymnasium.make(task_named(task).official_id, disable_env_checker=True)
    return TaskIndex(env, task)


def main(arguments: argparse.Namespace) -> None:
    """Train."""
    np.random.seed(arguments.seed)
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)  # networks of this size lose time on more
    env = make_env(arguments.task)
    low, high = env.action_space.low, env.action_space.high

    def action_function(policy):
        return low + (high - low) * np.clip((policy + 1) / 2, 0, 1)

    model = DDPG_FF(
        n_features=89,
        action_space=env.action_space,
        neurons=[24, 12, 6],
        activation_function=F.relu,
        learning_rate=0.0001,
    )
    training_loop(env, model, action_function, OfficialPreprocessor, arguments.timesteps)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="goalie_penalty_kick", choices=TASKS, help="which of the three tasks")
    parser.add_argument("--timesteps", type=int, default=1_000, help="steps of the official environment")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers")
    main(parser.parse_args())
