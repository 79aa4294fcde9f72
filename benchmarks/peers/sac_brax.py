"""Brax's SAC. Arguments: speed, widths, blocks, steps a block; or learn, Pendulum-v1, seed, policy transitions."""

from __future__ import annotations

import functools
import sys
import time
from typing import Any

import gym_tasks
import jax
import jax.numpy as jnp
import numpy as np
import pendulum
import sac_settings as common
import synthetic
from brax.envs.base import Env, State, Wrapper
from brax.envs.wrappers.training import EpisodeWrapper, VmapWrapper
from brax.training.agents.sac import networks, train


def _replicated(tree: Any, devices: list[Any]) -> Any:
    """What ``jax.device_put_replicated`` did; Brax 0.14.2 calls it and JAX has removed it."""
    assert len(devices) == 1
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], tree)


jax.device_put_replicated = _replicated


class Synthetic(Env):
    """The synthetic environment; Brax's wrapper ends its episodes."""

    observation_size = synthetic.OBSERVATIONS
    action_size = synthetic.ACTIONS
    backend = "none"

    def reset(self, rng: Any) -> State:
        """Begin an episode."""
        state = synthetic.reset(rng)
        return State(state, state.observation, jnp.zeros(()), jnp.zeros(()))

    def step(self, state: State, action: Any) -> State:
        """Make a step."""
        following, reward, _ = synthetic.step(state.pipeline_state, action)
        return state.replace(pipeline_state=following, obs=following.observation, reward=reward)


class Pendulum(Env):
    """Pendulum-v1; Brax's wrapper ends its episodes."""

    observation_size = 3
    action_size = 1
    backend = "none"

    def reset(self, rng: Any) -> State:
        """Begin an episode."""
        state = pendulum.reset(rng)
        return State(state, pendulum.observe(state), jnp.zeros(()), jnp.zeros(()))

    def step(self, state: State, action: Any) -> State:
        """Make a step."""
        following, reward = pendulum.step(state.pipeline_state, action)
        return state.replace(pipeline_state=following, obs=pendulum.observe(following), reward=reward)


class AnewReset(Wrapper):
    """Begins the next episode from a start of its own; Brax's own wrapper repeats the first one for ever."""

    def reset(self, rng: Any) -> State:
        """Begin every episode."""
        rng = jax.vmap(jax.random.split)(rng)
        state = self.env.reset(rng[:, 0])
        return state.replace(info={**state.info, "rng": rng[:, 1]})

    def step(self, state: State, action: Any) -> State:
        """Make a step, and begin anew where an episode ended."""
        ended_before = state.done
        state = state.replace(
            info={**state.info, "steps": jnp.where(ended_before, 0, state.info["steps"])},
            done=jnp.zeros_like(ended_before),
        )
        state = self.env.step(state, action)
        rng = jax.vmap(jax.random.split)(state.info["rng"])
        begun = self.env.reset(rng[:, 0])

        def chosen(new: Any, old: Any) -> Any:
            return jax.vmap(jnp.where)(state.done.astype(bool), new, old)

        return state.replace(
            pipeline_state=jax.tree.map(chosen, begun.pipeline_state, state.pipeline_state),
            obs=chosen(begun.obs, state.obs),
            info={**state.info, "rng": rng[:, 1]},
        )


def wrapped(env: Env, episode_length: int, action_repeat: int, randomization_fn: Any = None) -> Env:
    """Vectorise an environment, end its episodes, and begin them anew."""
    return AnewReset(EpisodeWrapper(VmapWrapper(env), episode_length, action_repeat))


def speed(hidden: str, blocks: str, steps: str) -> None:
    """Print the transitions a second of every epoch after the first; Brax leaves its evaluations out of them."""
    speeds: list[float] = []
    epochs = int(blocks) + 1
    train.train(
        environment=Synthetic(),
        num_timesteps=common.SPEED_WARM_UP + epochs * int(steps) * common.SPEED_ENVS,
        episode_length=synthetic.EPISODE_STEPS,
        num_envs=common.SPEED_ENVS,
        num_eval_envs=1,
        num_evals=epochs + 1,
        batch_size=common.BATCH,
        grad_updates_per_step=1,
        min_replay_size=common.SPEED_WARM_UP,
        max_replay_size=common.SPEED_REPLAY,
        normalize_observations=True,
        network_factory=functools.partial(networks.make_sac_networks, hidden_layer_sizes=common.widths(hidden)),
        progress_fn=lambda _, metrics: speeds.append(float(metrics.get("training/sps", 0.0))),
    )
    common.say({"transitions_per_second": speeds[2:]})


def learn(task: str, seed: str, transitions: str) -> None:
    """Print the deterministic returns after training, on Gymnasium's own pendulum."""
    assert task == "Pendulum-v1", "Brax steps its environment in JAX, and only the pendulum is there"
    began = time.perf_counter()
    make_policy, params, _ = train.train(
        environment=Pendulum(),
        num_timesteps=int(transitions),
        episode_length=pendulum.EPISODE_STEPS,
        wrap_env_fn=wrapped,
        num_envs=1,
        num_eval_envs=1,
        num_evals=1,
        learning_rate=common.LEARNING_RATE,
        discounting=common.GAMMA,
        tau=common.TAU,
        batch_size=common.BATCH,
        grad_updates_per_step=1,
        min_replay_size=common.LEARNING_WARM_UP,
        max_replay_size=int(transitions),
        normalize_observations=True,
        network_factory=functools.partial(networks.make_sac_networks, hidden_layer_sizes=common.HIDDEN),
        seed=int(seed),
    )
    seconds = time.perf_counter() - began
    policy = jax.jit(make_policy(params, deterministic=True))
    returns = gym_tasks.returns(task, lambda observation: np.asarray(policy(observation, jax.random.PRNGKey(0))[0]))
    updates = int(transitions) - common.LEARNING_WARM_UP
    common.say({"returns": returns, "training_seconds": seconds, "updates": updates})


if __name__ == "__main__":
    {"speed": speed, "learn": learn}[sys.argv[1]](*sys.argv[2:])
