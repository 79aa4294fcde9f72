"""Where jobs meet the soccer worlds: the training scene as a vector environment, films, and its evaluation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from touchline.errors import unknown
from touchline.soccer.control import Controller
from touchline.soccer.perturbation import NONE, Perturbation
from touchline.soccer.world import WorldConfig

if TYPE_CHECKING:
    from touchline.learning.vector import ParallelVectorEnv, ResumableVectorEnv

Backend = Literal["native", "mjx"]
Act = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def make_world(backend: str, num_envs: int, config: WorldConfig) -> Any:
    """Return the training scene on a backend; raises UsageError when there is no such backend."""
    if backend == "native":
        from touchline.soccer.native import NativeSoccer

        return NativeSoccer(num_envs, config)
    if backend == "mjx":
        from touchline.soccer.mjx import MjxSoccer

        return MjxSoccer(num_envs, config)
    raise unknown("backend", backend, ("native", "mjx"))


def official_soccer(
    tasks: Sequence[str], controller: Controller, *, perturbation: Perturbation = NONE, processes: int = 2
) -> ParallelVectorEnv | ResumableVectorEnv:
    """Return one official environment a task given, as many as ``tasks`` names, stepped together.

    Each is an ``OfficialEnv``, so bit-equal to repeated ``env.step``; an episode that ends is followed by the next in
    the same step. With one process they are stepped in this one. Raises UsageError for an unknown task.
    """
    from touchline.learning.vector import ParallelVectorEnv, ResumableVectorEnv
    from touchline.soccer.official import OfficialEnv

    makes = [functools.partial(OfficialEnv, task, controller, perturbation=perturbation) for task in tasks]
    return ResumableVectorEnv(makes) if processes == 1 else ParallelVectorEnv(makes, processes)


def film(policy: Act, config: WorldConfig, *, seconds: float, seed: int) -> tuple[Any, NDArray[np.float64]]:
    """Return a model with the robot's meshes and positions (T, nq) at 25 Hz of one deterministic episode.

    The film ends when the episode does.
    """
    from touchline.soccer import scene
    from touchline.soccer.native import NativeSoccer

    env = NativeSoccer(1, replace(config, episode_steps=10**9), threads=1)
    observation, _ = env.reset(seed=seed, options={"tasks": [0]})
    frames = [env.qpos[0]]
    for _ in range(int(seconds * 50)):
        observation, _, terminated, _, _ = env.step(policy(observation))
        if terminated[0]:
            break
        frames.append(env.qpos[0])
    env.close()
    return scene.build_spec(config.controller, visual=True).compile(), np.stack(frames[::2])
