"""A small control problem for learners: steer a point to the origin; the optimal action is known."""

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from touchline.learning.vector import ResumableVectorEnv


class Steer(gymnasium.Env):
    """Position x in [-1, 1]; x += 0.5 a; reward -x²; 10 steps, then a time-out; never terminates by itself.

    The score of an episode is -(x - 1)² at its end, so it wants x elsewhere than the reward does.
    """

    observation_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.steps = float(self.np_random.uniform(-1, 1)), 0
        return np.array([self.x], np.float32), {}

    def step(self, action):
        self.x = float(np.clip(self.x + 0.5 * float(action[0]), -2, 2))
        self.steps += 1
        is_over = self.steps >= 10
        info = {"score": -((self.x - 1) ** 2), "outcome": "time is up"} if is_over else {}
        return np.array([self.x], np.float32), -(self.x**2), False, is_over, info

    def state_dict(self):
        return {"x": self.x, "steps": self.steps, "generator": self.np_random.bit_generator.state}

    def load_state_dict(self, state):
        self.x, self.steps = state["x"], state["steps"]
        self.np_random.bit_generator.state = state["generator"]


def steer(n, mode=AutoresetMode.SAME_STEP):
    return SyncVectorEnv([Steer] * n, autoreset_mode=mode)


def resumable_steer(n):
    return ResumableVectorEnv([Steer] * n)
