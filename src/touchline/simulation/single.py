"""One episode of a world at a time: the plain Gymnasium interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray

from touchline.errors import unknown
from touchline.simulation.native import NativeWorld
from touchline.simulation.spaces import refuse_unknown
from touchline.simulation.world import World


class SingleWorld(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """One episode of ``world``, of a named task or of a random one each time.

    ``info`` holds the reward's ``terms`` by name and ``physics_steps`` of the episode and, once it has ended, its
    ``score``, the return, what each term paid to it (``score_terms``), its ``task``, its ``outcome`` in words and the
    world's ``outcomes``. Raises UsageError for an unknown task.
    """

    def __init__(self, world: World, task: str | None = None) -> None:
        if task is not None and task not in world.tasks:
            raise unknown("task", task, world.tasks)
        self._envs = NativeWorld(world, 1, threads=1)
        self.world, self.task = world, task
        self.model = world.model
        self.metadata = {"render_modes": [], "render_fps": self._envs.metadata["render_fps"]}
        self.observation_space = self._envs.single_observation_space
        self.action_space = self._envs.single_action_space
        self._steps = 0
        self._final: NDArray[np.float64] | None = None
        self._paid: dict[str, float] = {}
        self.score = 0.0
        """The return of the episode so far."""

    @property
    def visual_model(self) -> mujoco.MjModel:
        """The model with what only a camera sees; its ``qpos`` is the same."""
        return self.world.visual_model

    @property
    def qpos(self) -> NDArray[np.float64]:
        """A copy of the generalised positions, shape (nq,); after the end those in which the episode ended."""
        return np.array(self._envs.qpos[0] if self._final is None else self._final)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode; the same seed gives the same one."""
        super().reset(seed=seed)
        refuse_unknown(options or {}, ())
        tasks = None if self.task is None else [self.world.tasks.index(self.task)]
        observation, _ = self._envs.reset(seed=seed, options={"tasks": tasks})
        self._steps, self.score, self._final = 0, 0.0, None
        self._paid = dict.fromkeys(self.world.weights, 0.0)
        return observation[0], {"physics_steps": 0}

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Advance by one policy step. Raises RuntimeError after the end: call ``reset``."""
        if self._final is not None:
            raise RuntimeError("step() was called after the episode's end; call reset() first.")
        observation, reward, terminated, truncated, said = self._envs.step(np.asarray(action)[None])
        self._steps += 1
        self.score += float(reward[0])
        info: dict[str, Any] = {
            "physics_steps": self._steps * self.world.decimation,
            "terms": {name: float(term[0]) for name, term in said["terms"].items()},
        }
        if np.isfinite(list(info["terms"].values())).all():  # else physics broke, and nothing was paid
            for name, weight in self.world.weights.items():
                self._paid[name] += weight * info["terms"][name]
        if "final_obs" in said:
            observation, self._final = said["final_obs"], said["final_qpos"][0]
            told = said["final_info"]
            info["score"], info["score_terms"] = self.score, dict(self._paid)
            info["task"] = told["task"][0]
            info["outcome"] = "ended" if terminated[0] else "time is up"
            info["outcomes"] = {name: value[0].item() for name, value in told["outcomes"].items()}
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def state_dict(self) -> dict[str, Any]:
        """Return where the episode stands, and the random generators."""
        return {
            "envs": self._envs.state_dict(),
            "steps": self._steps,
            "score": self.score,
            "paid": dict(self._paid),
            "generator": self.np_random.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``, bit for bit. Raises UsageError when it is of another world."""
        self._envs.load_state_dict(state["envs"])
        self._steps, self.score, self._final = state["steps"], state["score"], None
        self._paid = dict(state["paid"])
        self.np_random.bit_generator.state = state["generator"]

    def close(self) -> None:
        """Stop the simulation's thread."""
        self._envs.close()
