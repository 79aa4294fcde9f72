"""A small control problem for learners: steer a point to the origin; the optimal action is known."""

from typing import Any, NamedTuple

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


class Mirror:
    """Steering is the same to the left and to the right."""

    def observation(self, value, xp):
        return -value

    def action(self, value, xp):
        return -value


class Place(NamedTuple):
    """Where a batch of points is, on the device."""

    x: Any
    steps: Any
    key: Any


class Moved(NamedTuple):
    """What one step of the batch gives."""

    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    final_observation: Any


class DeviceSteer(gymnasium.vector.VectorEnv):
    """``Steer`` as functions on the device, in the form of ``MjxWorld``."""

    single_observation_space, single_action_space = Steer.observation_space, Steer.action_space

    def __init__(self, num_envs):
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.num_envs = num_envs
        self.functions = self

    def reset(self, *, seed=None, options=None):
        import jax

        key, drawn = jax.random.split(jax.random.key(seed))
        x = jax.random.uniform(drawn, (self.num_envs,), minval=-1.0)
        self.state = Place(x, jax.numpy.zeros(self.num_envs, "int32"), key)
        return np.asarray(x)[:, None], {}

    def step(self, place, action):
        import jax

        key, drawn = jax.random.split(place.key)
        x, steps = jax.numpy.clip(place.x + 0.5 * action[:, 0], -2, 2), place.steps + 1
        over = steps >= 10
        begun = jax.random.uniform(drawn, x.shape, minval=-1.0)
        after = Place(jax.numpy.where(over, begun, x), jax.numpy.where(over, 0, steps), key)
        return after, Moved(
            observation=after.x[:, None],
            reward=-(x**2),
            terminated=jax.numpy.zeros_like(over),
            truncated=over,
            final_observation=x[:, None],
        )

    def info(self, step):
        return {}

    def state_dict(self):
        import jax

        return {"x": self.state.x, "steps": self.state.steps, "key": jax.random.key_data(self.state.key)}

    def load_state_dict(self, state):
        import jax

        x, steps, key = (jax.numpy.asarray(state[name]) for name in ("x", "steps", "key"))
        self.state = Place(x, steps, jax.random.wrap_key_data(key))
