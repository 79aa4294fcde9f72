"""Episodes to be filmed: played in the official environments or in the training scene, and kept as trajectories."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from touchline.learning.policy import Policy
from touchline.soccer.control import Controller, stand_still
from touchline.soccer.perturbation import NONE, Perturbation
from touchline.soccer.tasks import TASKS
from touchline.soccer.trajectory import Trajectory
from touchline.soccer.world import WorldConfig

if TYPE_CHECKING:
    from touchline.soccer.official import OfficialEnv

Act = Callable[[NDArray[np.float32]], NDArray[np.float32]]

WHOLE_EPISODE_SECONDS = 10.0
"""The official time limit, 5,000 physics steps of 2 ms."""
_OUTCOMES = {
    "goal_scored": "goal",
    "success": "on target",
    "ball_blocked": "blocked",
    "offside": "out of the field",
    "robot_fallen": "fallen",
}
"""What ended an official episode, by the reward term that tells."""


class Stage:
    """One official environment in which episodes are played to be filmed; a context manager.

    It is made once: that takes up to a second.
    """

    def __init__(self, task: str) -> None:
        from touchline.soccer.official import OfficialEnv

        self.task = task
        self._env: OfficialEnv = OfficialEnv(task, stand_still())

    def play(
        self,
        policy: Policy,
        seed: int,
        *,
        perturbation: Perturbation = NONE,
        seconds: float = WHOLE_EPISODE_SECONDS,
        title: str = "",
    ) -> Trajectory:
        """Play the scenario ``seed`` under the controller that travels with the policy, ``seconds`` at most."""
        from touchline.soccer.score import official_score

        env = self._env
        controller = Controller.from_dict(policy.metadata["controller"])
        observation, _ = env.reset(seed=seed, options={"controller": controller, "perturbation": perturbation})
        rows, scores, outcome = [env.qpos], [0.0], ""
        for step in range(round(seconds * env.metadata["render_fps"])):
            observation, _, terminated, truncated, info = env.step(policy(observation))
            has_ended = terminated or truncated
            if step % 2 or has_ended:
                rows.append(env.qpos)
                scores.append(official_score(self.task, info["reward_terms"]))
            if has_ended:
                outcome = _outcome(info["reward_terms"], truncated=truncated)
                break
        scores[0] = scores[min(1, len(scores) - 1)]  # a reset is not judged
        return Trajectory(env.model, np.stack(rows), title or spoken(self.task), np.array(scores), outcome)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self._env.close()


def _outcome(terms: Mapping[str, float], *, truncated: bool) -> str:
    told = next((words for name, words in _OUTCOMES.items() if terms.get(name)), "")
    return told or ("time is up" if truncated else "fallen")


def spoken(task: str) -> str:
    """The name of a task as people say it."""
    return task.replace("_", " ")


def play_official(policy: Policy, *, seconds: float, tasks: Iterable[str] = TASKS) -> list[Trajectory]:
    """Return one unperturbed episode of each task, ``seconds`` at most."""
    trajectories = []
    for task in tasks:
        with Stage(task) as stage:
            trajectories.append(stage.play(policy, seed=0, seconds=seconds))
    return trajectories


def play_scene(
    policy: Act,
    config: WorldConfig,
    *,
    seconds: float,
    seed: int,
    episodes: int = 1,
    tasks: Sequence[int] = (0, 1, 2),
) -> list[Trajectory]:
    """Return deterministic episodes of the training scene, with the robot's meshes; the tasks take turns.

    An episode ends when the robot has fallen, or after ``seconds``. Nothing is scored: the training scene pays a
    dense reward.
    """
    from touchline.soccer import scene
    from touchline.soccer.native import NativeSoccer

    indices = [tasks[episode % len(tasks)] for episode in range(episodes)]
    env = NativeSoccer(episodes, replace(config, episode_steps=10**9), threads=1)
    observation, _ = env.reset(seed=seed, options={"tasks": indices})
    rows: list[list[NDArray[Any]]] = [[row] for row in env.qpos]
    lasts: list[bool] = [False] * episodes
    for step in range(round(seconds * env.metadata["render_fps"])):
        observation, _, terminated, _, _ = env.step(policy(observation))
        qpos = env.qpos
        for episode in range(episodes):
            # Where it has fallen it lies in its next episode already.
            lasts[episode] = lasts[episode] or bool(terminated[episode])
            if not lasts[episode] and step % 2:
                rows[episode].append(qpos[episode])
        if all(lasts):
            break
    env.close()
    model = scene.build_spec(config.controller, visual=True).compile()
    return [
        Trajectory(
            model,
            np.stack(rows[episode]),
            f"{spoken(TASKS[task])} (training scene)",
            outcome="fallen" if lasts[episode] else "",
        )
        for episode, task in enumerate(indices)
    ]
