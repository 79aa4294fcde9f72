"""A world stepped by MuJoCo in C over threads: the default on a CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import gymnasium
import mujoco
import numpy as np
from mujoco import rollout
from numpy.typing import NDArray

from touchline.errors import UsageError
from touchline.simulation.bookkeeping import Episodes, conclude, kick, merged, picked
from touchline.simulation.diagnostics import log_mujoco_warnings
from touchline.simulation.randomisation import variants
from touchline.simulation.spaces import Options, declare, refuse_misfit, refuse_unknown, task_indices
from touchline.simulation.world import Physics, Start, World

_STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS


class NativeWorld(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """A batch of episodes of a world as a Gymnasium vector environment with same-step auto-reset.

    Observations are float32 of shape (n, observation_size) and actions of shape (n, action_size) in [-1, 1], one
    policy step at a time. ``info`` holds ``terms``, the reward's named terms, each of shape (n,), and, where an
    episode ended, ``final_obs`` of shape (n, observation_size), ``final_qpos`` of shape (n, nq) and ``final_info``,
    which has the ``task`` and the world's ``outcomes``, valid in those rows, which ``_final_obs`` tells. A world's
    ``terminated`` terminates; the time limit truncates.
    """

    _rollout: rollout.Rollout | None = None

    def __init__(self, world: World, num_envs: int, *, threads: int | None = None) -> None:
        """``threads`` step physics, one for each processor that this process may use unless told otherwise."""
        log_mujoco_warnings()
        declare(self, world, num_envs)
        self.world = world
        self.model = world.model
        self._models = variants(self.model, world.randomisation)
        threads = len(os.sched_getaffinity(0)) if threads is None else threads
        if threads < 1:
            raise UsageError(f"{threads} threads cannot step physics; threads must be at least 1.")
        self._rollout = rollout.Rollout(nthread=threads)
        self._datas = [mujoco.MjData(self.model) for _ in range(threads)]
        self._step_seconds = (world.decimation - 0.5) * float(self.model.opt.timestep)
        """Less than a policy step takes by half a physics step, so that rounding does not matter."""
        size = mujoco.mj_stateSize(self.model, _STATE)
        self._state = np.zeros((num_envs, size))
        self._states = np.zeros((num_envs, world.decimation, size))
        self._sensors = np.zeros((num_envs, world.decimation, self.model.nsensordata))
        self._rng = np.random.default_rng()
        self._tasks = np.array(world.tasks, dtype=object)
        self._episodes: Episodes | None = None

    @property
    def qpos(self) -> NDArray[np.float64]:
        """Positions of every episode, shape (n, nq), for rendering."""
        return self._state[:, 1 : 1 + self.model.nq].copy()

    def reset(
        self, *, seed: int | list[int] | None = None, options: Options | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin every episode anew.

        ``options["tasks"]`` may fix the tasks, names or indices of shape (n,), and ``options["start"]`` the whole
        ``Start``. Raises UsageError for what does not fit.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        options = options or {}
        refuse_unknown(options, ("tasks", "start"))
        tasks = options.get("tasks")
        chosen = None if tasks is None else task_indices(self.world, tasks, self.num_envs)
        return self._begin(np.arange(self.num_envs), chosen, options.get("start")), {}

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Advance every episode by one policy step; those that end begin anew.

        Raises UsageError for actions of another shape or that are not finite.
        """
        if self._episodes is None:
            raise RuntimeError("step() was called before reset(); call reset(seed=...) first.")
        refuse_misfit(actions, (self.num_envs, self.world.action_size))
        actions = np.clip(np.asarray(actions, dtype=np.float64), -1.0, 1.0)
        self._push()
        due = self._state[:, 0] + self._step_seconds
        physics = self._advance(self.world.control(actions, np))
        ended = self.world.terminated(physics, np).any(axis=1)
        last = Physics(*(part[:, -1] for part in physics))
        # MuJoCo takes an unstable scene back to where its model begins, at time 0, and goes on from there.
        after = conclude(self.world, last, self._episodes, actions, ended, np, broken=last.time < due)
        self._episodes = after.episodes
        observation = self._noisy(after.observation)
        info: dict[str, Any] = {"terms": after.terms}
        over = after.terminated | after.truncated
        if over.any():
            info["final_obs"] = observation.copy()
            info["final_qpos"] = self.qpos
            came_to = self.world.outcomes(last, after.episodes.own, np)
            # Copies: an outcome may be what the world remembers, which the next episode overwrites.
            outcomes = {name: np.array(value) for name, value in came_to.items()}
            info["final_info"] = {"task": self._tasks[after.episodes.task], "outcomes": outcomes}
            info["_final_obs"] = info["_final_qpos"] = info["_final_info"] = over
            observation[over] = self._begin(np.flatnonzero(over), None, None)
        return observation, after.reward, after.terminated, after.truncated, info

    def state_dict(self) -> dict[str, Any]:
        """Return copies of where every episode stands, and the random generator.

        The physics state is all that a policy step starts from: every rollout starts its solver cold.
        """
        return {
            "physics": self._state.copy(),
            "episodes": None if self._episodes is None else self._episodes.to_dict(np.array),
            "generator": self._rng.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``, bit for bit.

        Raises UsageError when it is of another backend, or of another number of episodes or of another robot.
        """
        if "physics" not in state:
            raise UsageError("This is no saved state of NativeWorld. Go on with the backend that saved it.")
        if state["physics"].shape != self._state.shape:
            raise UsageError(
                f"The saved state is of {_told(state['physics'])}, and this one of {_told(self._state)}. "
                "Go on with the configuration it was saved with, or start over."
            )
        self._state[:] = state["physics"]
        saved = state["episodes"]
        self._episodes = saved and self._drawn(self.num_envs)[1].like(saved, np.array)
        self._rng = np.random.default_rng()
        self._rng.bit_generator.state = state["generator"]

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the threads; Gymnasium calls it for what was never built too."""
        if self._rollout is not None:
            self._rollout.close()

    def _advance(self, control: NDArray[np.float64]) -> Physics:
        """Hold ``control`` for one policy step; returns every physics step of it, leading axes (n, decimation)."""
        assert self._episodes is not None
        assert self._rollout is not None
        steps, nq, nv = self.world.decimation, self.model.nq, self.model.nv
        many = len(self._models) > 1
        self._rollout.rollout(
            [self._models[i] for i in self._episodes.variant] if many else self.model,
            self._datas,
            initial_state=self._state,
            control=np.repeat(control[:, None], steps, axis=1),
            state=self._states,
            sensordata=self._sensors,
        )
        np.copyto(self._state, self._states[:, -1])
        states = self._states
        return Physics(states[..., 1 : 1 + nq], states[..., 1 + nq : 1 + nq + nv], self._sensors, states[..., 0])

    def _push(self) -> None:
        if self.world.randomisation.push_speed > 0:
            columns = [1 + self.model.nq + i for i in self.world.pushed]
            self._state[:, columns] += kick(self.world, self._rng.random((self.num_envs, 3)), np)

    def _noisy(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        size = self.world.randomisation.noise
        if size == 0:
            return observation
        noise = self._rng.standard_normal(observation.shape, dtype=np.float32)
        return observation + noise * np.asarray(size * self.world.noise, dtype=np.float32)

    def _drawn(self, n: int, tasks: NDArray[np.int64] | None = None) -> tuple[Start, Episodes]:
        world, rng = self.world, self._rng
        if tasks is None:
            tasks = rng.integers(0, len(world.tasks), size=n)
        start = world.start(rng.random((n, world.uniforms)), tasks, np)
        many = len(self._models) > 1
        variant = rng.integers(0, len(self._models), size=n) if many else np.zeros(n, dtype=np.int64)
        fresh = Episodes(tasks, np.zeros(n, dtype=np.int32), np.zeros((n, world.action_size)), variant, start.episode)
        return start, fresh

    def _begin(
        self, which: NDArray[np.int64], tasks: NDArray[np.int64] | None, given: Start | None
    ) -> NDArray[np.float32]:
        """Begin the episodes ``which`` and return their first observations."""
        model = self.model
        start, fresh = self._drawn(len(which), tasks)
        if given is not None:
            start, fresh = given, fresh._replace(own=given.episode)
        self._state[which] = 0.0
        self._state[which, 1 : 1 + model.nq] = start.qpos
        self._state[which, 1 + model.nq : 1 + model.nq + model.nv] = start.qvel
        self._episodes = fresh if self._episodes is None else merged(self._episodes, which, fresh)
        sensors = np.stack(
            [
                self._sense(self._models[variant], qpos, qvel)
                for variant, qpos, qvel in zip(fresh.variant, start.qpos, start.qvel, strict=True)
            ]
        )
        physics = Physics(start.qpos, start.qvel, sensors, np.zeros(len(which)))
        return self._noisy(self.world.observe(physics, picked(self._episodes.own, which), np))

    def _sense(
        self, model: mujoco.MjModel, qpos: NDArray[np.float64], qvel: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        data = self._datas[0]
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:] = qpos, qvel
        mujoco.mj_forward(model, data)
        return data.sensordata.copy()


def _told(physics: NDArray[np.float64]) -> str:
    scenes, numbers = physics.shape
    return f"{scenes} scenes of {numbers} numbers"
