"""The training scene stepped by MuJoCo in C over threads: the default backend on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.vector import AutoresetMode
from mujoco import rollout
from numpy.typing import NDArray

from touchline.errors import UsageError
from touchline.soccer import episode as episodes
from touchline.soccer import rewards, scene
from touchline.soccer import tasks as t
from touchline.soccer.diagnostics import log_mujoco_warnings
from touchline.soccer.observation import OBSERVATION_SIZE, observe
from touchline.soccer.world import WorldConfig

_STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS


class NativeSoccer(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """A batch of training scenes as a Gymnasium vector environment with same-step auto-reset.

    Observations are (n, 89) float32 and actions (n, 12) float32 in [-1, 1], one policy step (20 ms) at a time.
    ``info`` holds ``final_obs`` (n, 89), valid where an episode ended, and ``terms``, the named reward terms.
    A fall terminates; the time limit truncates.
    """

    def __init__(self, num_envs: int, config: WorldConfig | None = None, *, threads: int = 2) -> None:
        log_mujoco_warnings()
        self.config = config or WorldConfig()
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_fps": 50}
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATION_SIZE,), np.float32)
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (12,), np.float32)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)
        self.model = scene.build_spec(self.config.controller).compile()
        self.index = scene.index_of(self.model)
        self._rollout = rollout.Rollout(nthread=threads)
        self._datas = [mujoco.MjData(self.model) for _ in range(threads)]
        size, steps = mujoco.mj_stateSize(self.model, _STATE), self.config.controller.decimation
        self._state = np.zeros((num_envs, size))
        self._states = np.zeros((num_envs, steps, size))
        self._sensors = np.zeros((num_envs, steps, self.model.nsensordata))
        self._rng = np.random.default_rng()
        self._episode: episodes.Episode | None = None

    @property
    def qpos(self) -> NDArray[np.float64]:
        """Positions of every scene, shape (n, nq), for rendering."""
        return self._state[:, 1 : 1 + self.model.nq].copy()

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start every episode anew; ``options["tasks"]`` may fix the tasks' indices, shape (n,)."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        chosen = (options or {}).get("tasks")
        everyone = np.arange(self.num_envs)
        observation = self._restart(everyone, None if chosen is None else np.asarray(chosen))
        return observation, {}

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Advance every scene by one policy step."""
        if self._episode is None:
            raise RuntimeError("step() was called before reset(); call reset(seed=...) first.")
        episode, controller, index = self._episode, self.config.controller, self.index
        actions = np.clip(np.asarray(actions, dtype=np.float64), -1.0, 1.0)
        control = np.repeat(controller.target(actions)[:, None], controller.decimation, axis=1)
        self._rollout.rollout(
            self.model,
            self._datas,
            initial_state=self._state,
            control=control,
            skip_checks=False,
            state=self._states,
            sensordata=self._sensors,
        )
        np.copyto(self._state, self._states[:, -1])
        qpos, qvel, sensors = self._views(self._sensors[:, -1])
        height = self._sensors[:, :, index.sensors["position"]][..., 2].min(axis=1)
        broken = ~np.isfinite(self._state).all(axis=1)
        terminated = (height <= t.FALL_HEIGHT) | broken
        step = episode.step + 1
        truncated = (step >= self.config.episode_steps) & ~terminated
        self._episode = episode._replace(step=step, previous_action=actions)
        terms = rewards.reward_terms(
            qvel,
            sensors,
            index,
            fallen=terminated.astype(np.float64),
            action=actions,
            previous_action=episode.previous_action,
        )
        reward = np.where(broken, 0.0, rewards.total(terms, self.config.weights))
        observation = observe(qpos, qvel, sensors, self._episode, self._state[:, 0], index)
        info: dict[str, Any] = {"terms": terms}
        ended = terminated | truncated
        if ended.any():
            observation[broken] = 0.0
            info["final_obs"] = observation.copy()
            observation[ended] = self._restart(np.flatnonzero(ended), None)
        return observation, reward, terminated, truncated, info

    def state_dict(self) -> dict[str, Any]:
        """Return copies of where every scene stands, and the random generator.

        The physics state is all that a policy step starts from: every rollout starts its solver cold.
        """
        episode = None if self._episode is None else self._episode._asdict()
        return {
            "physics": self._state.copy(),
            "episode": episode and {name: np.array(part) for name, part in episode.items()},
            "generator": self._rng.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``, bit for bit. Raises UsageError when it is of other scenes."""
        if state["physics"].shape != self._state.shape:
            raise UsageError(
                f"The saved state is of {_told(state['physics'])}, and this one of {_told(self._state)}. "
                "Go on with the configuration it was saved with, or start over."
            )
        self._state[:] = state["physics"]
        episode = state["episode"]
        self._episode = episode and episodes.Episode(**{name: np.array(part) for name, part in episode.items()})
        self._rng = np.random.default_rng()
        self._rng.bit_generator.state = state["generator"]

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the threads."""
        self._rollout.close()

    def _views(self, sensors: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        nq, nv = self.model.nq, self.model.nv
        return self._state[:, 1 : 1 + nq], self._state[:, 1 + nq : 1 + nq + nv], sensors

    def _restart(self, which: NDArray[np.int64], tasks: NDArray[np.int64] | None) -> NDArray[np.float32]:
        n, model, index = len(which), self.model, self.index
        if tasks is None:
            tasks = self._rng.integers(0, len(t.TASKS), size=n)
        new, start = episodes.sample(
            self._rng.random((n, episodes.UNIFORMS)),
            tasks,
            joint_noise=self.config.joint_noise,
            velocity_noise=self.config.velocity_noise,
        )
        qpos, qvel = np.zeros((n, model.nq)), np.zeros((n, model.nv))
        qpos[:, index.root_position], qpos[:, index.ball_position] = start.root, start.ball
        qpos[:, index.joint_position] = start.joints
        qvel[:, index.root_velocity] = start.root_velocity
        self._state[which] = 0.0
        self._state[which, 1 : 1 + model.nq] = qpos
        self._state[which, 1 + model.nq : 1 + model.nq + model.nv] = qvel
        if self._episode is None:
            self._episode = new
        else:
            for old, fresh in zip(self._episode, new, strict=True):
                old[which] = fresh
        sensors = np.stack([self._sense(qpos[i], qvel[i]) for i in range(n)])
        picked = episodes.Episode(*(part[which] for part in self._episode))
        return observe(qpos, qvel, sensors, picked, np.zeros(n), index)

    def _sense(self, qpos: NDArray[np.float64], qvel: NDArray[np.float64]) -> NDArray[np.float64]:
        data = self._datas[0]
        mujoco.mj_resetData(self.model, data)
        data.qpos[:], data.qvel[:] = qpos, qvel
        mujoco.mj_forward(self.model, data)
        return data.sensordata.copy()


def _told(physics: NDArray[np.float64]) -> str:
    scenes, numbers = physics.shape
    return f"{scenes} scenes of {numbers} numbers"
