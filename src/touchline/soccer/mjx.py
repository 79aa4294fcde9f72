"""The training scene stepped by MJX: for accelerators; the same scene, observation and reward as ``native``.

On a CPU it is several times slower than ``native`` and, unless ``touchline.config.guard_jax`` ran before jax was
imported, can deadlock.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode
from mujoco import mjx
from numpy.typing import NDArray

from touchline.errors import UsageError
from touchline.soccer import episode as episodes
from touchline.soccer import rewards, scene
from touchline.soccer import tasks as t
from touchline.soccer.observation import OBSERVATION_SIZE, observe
from touchline.soccer.world import WorldConfig


class MjxState(NamedTuple):
    """A batch of scenes on the device."""

    qpos: Any
    """Shape (n, nq)."""
    qvel: Any
    """Shape (n, nv)."""
    warmstart: Any
    """Accelerations that the constraint solver starts from, shape (n, nv)."""
    episode: episodes.Episode
    key: Any


class Step(NamedTuple):
    """What one policy step gives, a batch."""

    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    final_observation: Any
    terms: dict[str, Any]


class MjxWorld:
    """Pure functions ``reset(key, n)`` and ``step(state, action)``, jitted, over ``MjxState``."""

    def __init__(self, config: WorldConfig | None = None, *, iterations: int = 1, ls_iterations: int = 5) -> None:
        self.config = config or WorldConfig()
        self.host_model = scene.build_spec(self.config.controller).compile()
        self.host_model.opt.iterations = iterations
        self.host_model.opt.ls_iterations = ls_iterations
        self.index = scene.index_of(self.host_model)
        self.model = mjx.put_model(self.host_model)

    @partial(jax.jit, static_argnums=(0, 2))
    def reset(self, key: Any, n: int) -> tuple[MjxState, Any]:
        """Start n episodes; returns the state and observations (n, 89)."""
        key, fresh_key = jax.random.split(key)
        state = self._fresh(fresh_key, n)._replace(key=key)
        return state, self._look(state)

    @partial(jax.jit, static_argnums=0)
    def step(self, state: MjxState, action: Any) -> tuple[MjxState, Step]:
        """Advance every scene by one policy step; ended episodes restart in the same step."""
        controller, index = self.config.controller, self.index
        action = jnp.clip(action, -1.0, 1.0)
        goal = jnp.asarray(controller.pose) + jnp.asarray(controller.action_scale) * action
        goal = jnp.clip(goal, jnp.asarray(controller.joint_lower), jnp.asarray(controller.joint_upper))
        data, height = jax.vmap(self._advance)(state.qpos, state.qvel, state.warmstart, goal)
        qpos, qvel, sensors = data.qpos, data.qvel, data.sensordata
        broken = ~(jnp.isfinite(qpos).all(-1) & jnp.isfinite(qvel).all(-1))
        terminated = (height <= t.FALL_HEIGHT) | broken
        previous = state.episode.previous_action
        episode = state.episode._replace(step=state.episode.step + 1, previous_action=action)
        truncated = (episode.step >= self.config.episode_steps) & ~terminated
        terms = rewards.reward_terms(
            qvel,
            sensors,
            index,
            fallen=terminated.astype(jnp.float32),
            action=action,
            previous_action=previous,
            xp=jnp,
        )
        reward = jnp.where(broken, 0.0, rewards.total(terms, self.config.weights))
        final = observe(qpos, qvel, sensors, episode, self._time(episode), index, jnp)
        final = jnp.where(broken[:, None], 0.0, final)

        key, fresh_key = jax.random.split(state.key)
        after = MjxState(qpos, qvel, data.qacc_warmstart, episode, key)
        fresh = self._fresh(fresh_key, qpos.shape[0])
        ended = terminated | truncated

        def pick(new: Any, old: Any) -> Any:
            return jnp.where(ended.reshape((-1,) + (1,) * (old.ndim - 1)), new, old)

        chosen = jax.tree.map(pick, fresh._replace(key=None), after._replace(key=None))._replace(key=key)
        observation = jnp.where(ended[:, None], self._look(chosen), final)
        return chosen, Step(observation, reward, terminated, truncated, final, terms)

    def _advance(self, qpos: Any, qvel: Any, warmstart: Any, goal: Any) -> tuple[Any, Any]:
        data = mjx.make_data(self.model).replace(qpos=qpos, qvel=qvel, qacc_warmstart=warmstart, ctrl=goal)

        def physics(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
            data, lowest = carry
            data = mjx.step(self.model, data)
            height = data.sensordata[self.index.sensors["position"]][2]
            return (data, jnp.minimum(lowest, height)), None

        start = (data, jnp.asarray(jnp.inf))
        (data, lowest), _ = jax.lax.scan(physics, start, None, length=self.config.controller.decimation)
        return data, lowest

    def _time(self, episode: episodes.Episode) -> Any:
        return episode.step * self.config.controller.decimation * t.PHYSICS_TIMESTEP

    def _look(self, state: MjxState) -> Any:
        def sense(qpos: Any, qvel: Any) -> Any:
            data = mjx.make_data(self.model).replace(qpos=qpos, qvel=qvel)
            return mjx.forward(self.model, data).sensordata

        sensors = jax.vmap(sense)(state.qpos, state.qvel)
        time = self._time(state.episode)
        return observe(state.qpos, state.qvel, sensors, state.episode, time, self.index, jnp)

    def _fresh(self, key: Any, n: int) -> MjxState:
        task_key, uniform_key = jax.random.split(key)
        episode, start = episodes.sample(
            jax.random.uniform(uniform_key, (n, episodes.UNIFORMS)),
            jax.random.randint(task_key, (n,), 0, len(t.TASKS)),
            joint_noise=self.config.joint_noise,
            velocity_noise=self.config.velocity_noise,
            xp=jnp,
        )
        index = self.index
        qpos = jnp.zeros((n, self.host_model.nq))
        qpos = qpos.at[:, index.root_position].set(start.root).at[:, index.ball_position].set(start.ball)
        qpos = qpos.at[:, index.joint_position].set(start.joints)
        qvel = jnp.zeros((n, self.host_model.nv)).at[:, index.root_velocity].set(start.root_velocity)
        return MjxState(qpos, qvel, jnp.zeros((n, self.host_model.nv)), episode, key)


class MjxSoccer(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """``MjxWorld`` as a Gymnasium vector environment with the interface of ``NativeSoccer``."""

    def __init__(self, num_envs: int, config: WorldConfig | None = None) -> None:
        self.world = MjxWorld(config)
        self.config = self.world.config
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_fps": 50}
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATION_SIZE,), np.float32)
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (12,), np.float32)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)
        self._state: MjxState | None = None
        self._key = jax.random.key(0)

    @property
    def qpos(self) -> NDArray[np.float64]:
        """Positions of every scene, shape (n, nq), for rendering."""
        if self._state is None:
            raise RuntimeError("qpos was read before reset(); call reset(seed=...) first.")
        return np.asarray(self._state.qpos, dtype=np.float64)

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start every episode anew."""
        if seed is not None:
            self._key = jax.random.key(seed if isinstance(seed, int) else seed[0])
        self._key, key = jax.random.split(self._key)
        self._state, observation = self.world.reset(key, self.num_envs)
        return np.array(observation), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Advance every scene by one policy step."""
        if self._state is None:
            raise RuntimeError("step() was called before reset(); call reset(seed=...) first.")
        self._state, step = self.world.step(self._state, jnp.asarray(actions))
        host = jax.tree.map(np.array, step)
        info = {"terms": host.terms}
        if (host.terminated | host.truncated).any():
            info["final_obs"] = host.final_observation
        return host.observation, host.reward, host.terminated, host.truncated, info

    def state_dict(self) -> dict[str, Any]:
        """Return copies on the host of where every scene stands, and of the keys as their raw data."""
        return {
            "key": np.array(jax.random.key_data(self._key)),
            "scenes": None if self._state is None else _to_host(self._state),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``, bit for bit. Raises UsageError when it is of another number of scenes."""
        scenes = state["scenes"]
        if scenes is not None and len(scenes["qpos"]) != self.num_envs:
            raise UsageError(
                f"The saved state is of {len(scenes['qpos'])} scenes and this is of {self.num_envs}. "
                f"Go on with {len(scenes['qpos'])} environments, or start over."
            )
        self._key = jax.random.wrap_key_data(jnp.array(state["key"]))
        self._state = None if scenes is None else _to_device(scenes)


def _to_host(state: MjxState) -> dict[str, Any]:
    plain = state._asdict() | {"episode": state.episode._asdict(), "key": jax.random.key_data(state.key)}
    host: dict[str, Any] = jax.tree.map(np.array, plain)
    return host


def _to_device(scenes: Mapping[str, Any]) -> MjxState:
    parts = jax.tree.map(jnp.array, dict(scenes))
    parts["episode"] = episodes.Episode(**parts["episode"])
    parts["key"] = jax.random.wrap_key_data(parts["key"])
    return MjxState(**parts)
