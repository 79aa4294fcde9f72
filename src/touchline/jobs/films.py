"""Episodes to be filmed: played in target environments or in the training world, and kept as trajectories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchline.learning.policy import Policy
from touchline.simulation.world import World
from touchline.soccer.perturbation import Perturbation
from touchline.soccer.trajectory import FPS, Trajectory
from touchline.soccer.world import SoccerWorld

Act = Callable[[NDArray[np.float32]], NDArray[np.float32]]

WHOLE_EPISODE_SECONDS = 10.0
"""The official time limit, 5,000 physics steps of 2 ms."""


class Stage:
    """One target environment in which episodes are played to be filmed; a context manager.

    It is made once: that takes up to a second.
    """

    def __init__(self, task: str, world: World | None = None) -> None:
        """``world`` is soccer unless another is given."""
        self.task, self._world = task, world or SoccerWorld()
        self._env: Any = self._world.target_environment(task)

    def play(
        self,
        policy: Policy,
        seed: int,
        *,
        perturbation: Perturbation | None = None,
        seconds: float = WHOLE_EPISODE_SECONDS,
        fps: float = FPS,
        title: str = "",
    ) -> Trajectory:
        """Play the scenario ``seed``, ``seconds`` at most; the policy acts through its deployed file."""
        from touchline.jobs.deployment import deployed

        policy = deployed(policy)
        env, scenarios = self._env, self._world.scenarios([seed], perturbation)
        (scenario,) = (one for one in scenarios if one.task == self.task)
        observation, _ = env.reset(seed=seed, options=self._world.reset_options(policy.metadata, scenario))
        transition_seconds = 1 / env.metadata["render_fps"]
        rows, scores, outcome = [env.qpos], [0.0], ""
        for _ in range(_transitions(seconds, transition_seconds)):
            observation, _, terminated, truncated, info = env.step(policy(observation))
            rows.append(env.qpos)
            scores.append(env.score)
            if terminated or truncated:
                outcome = info["outcome"]
                break
        scores[0] = scores[min(1, len(scores) - 1)]  # a reset is not judged
        shown = _sampled(len(rows), fps, transition_seconds)
        qpos, judged = np.stack(rows)[shown], np.array(scores)[shown]
        return Trajectory(env.visual_model, qpos, title or spoken(self.task), judged, outcome)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self._env.close()


def _transitions(seconds: float, transition_seconds: float) -> int:
    return max(1, round(seconds / transition_seconds))


def _sampled(count: int, fps: float, transition_seconds: float) -> NDArray[np.int64]:
    """Which of ``count`` states, one a policy transition, are shown at ``fps``; the last one always is."""
    shown = np.rint(np.arange(0, count - 1, 1 / (fps * transition_seconds))).astype(np.int64)
    return np.unique(np.append(shown[shown < count], count - 1))


def spoken(task: str) -> str:
    """The name of a task as people say it."""
    return task.replace("_", " ")


def play_targets(policy: Policy, world: World, *, seconds: float) -> list[Trajectory]:
    """Return one unperturbed episode of each task in its target environment, ``seconds`` at most."""
    trajectories = []
    for task in world.tasks:
        with Stage(task, world) as stage:
            trajectories.append(stage.play(policy, seed=0, seconds=seconds))
    return trajectories


def play_scene(
    policy: Act,
    world: World,
    *,
    seconds: float,
    seed: int,
    episodes: int = 1,
    tasks: Sequence[str] = (),
    fps: float = FPS,
) -> list[Trajectory]:
    """Return deterministic episodes of a training world, with what only a camera sees; the tasks take turns.

    An episode ends when the world terminates it, at its time limit, or after ``seconds``. Nothing is scored: a
    training world pays a dense reward. Without ``tasks`` all those of the world are played.
    """
    from touchline.simulation.native import NativeWorld

    tasks = tasks or world.tasks
    played = [tasks[episode % len(tasks)] for episode in range(episodes)]
    env = NativeWorld(world.varied(episode_steps=world.episode_steps + 1), episodes, threads=1)
    transition_seconds = 1 / env.metadata["render_fps"]
    observation, _ = env.reset(seed=seed, options={"tasks": np.array([world.tasks.index(task) for task in played])})
    rows: list[list[NDArray[Any]]] = [[row] for row in env.qpos]
    fallen = np.zeros(episodes, np.bool_)
    for _ in range(min(_transitions(seconds, transition_seconds), world.episode_steps)):
        observation, _, terminated, _, _ = env.step(policy(observation))
        fallen |= terminated
        # Whoever has fallen lies in the next episode already.
        for episode, row in enumerate(env.qpos):
            if not fallen[episode]:
                rows[episode].append(row)
        if fallen.all():
            break
    env.close()
    model = world.visual_model
    return [
        Trajectory(
            model,
            np.stack(rows[episode])[_sampled(len(rows[episode]), fps, transition_seconds)],
            f"{spoken(task)} (training scene)",
            outcome="fallen" if fallen[episode] else "",
        )
        for episode, task in enumerate(played)
    ]


def worst_of(trajectories: Sequence[Trajectory]) -> int:
    """Index of the episode with the lowest score, of equals the one that ended first."""
    return min(range(len(trajectories)), key=lambda i: (trajectories[i].score or 0.0, len(trajectories[i]), i))


def beginning_of(trajectory: Trajectory, frames: int) -> Trajectory:
    """The first ``frames`` of an episode, which then has not ended."""
    if len(trajectory) <= frames:
        return trajectory
    scores = None if trajectory.scores is None else trajectory.scores[:frames]
    return replace(trajectory, qpos=trajectory.qpos[:frames], scores=scores, outcome="")
