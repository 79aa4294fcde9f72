"""Where jobs meet the soccer worlds: the training scene as a vector environment, films, and its evaluation."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from touchline.errors import TouchlineError, unknown
from touchline.soccer.control import Controller
from touchline.soccer.world import WorldConfig

if TYPE_CHECKING:
    from touchline.soccer.gate1 import Agreement

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


def check_observation(backend: str, controller: Controller) -> Agreement:
    """Pass gate 1 with the arrays of a backend, or raise TouchlineError with the fields that differ; 0.3 s."""
    from touchline.soccer import scene
    from touchline.soccer.gate1 import gate1
    from touchline.soccer.recording import load_recording

    arrays = importlib.import_module("jax.numpy" if backend == "mjx" else "numpy")
    found = gate1(load_recording(), scene.build_spec(controller).compile(), arrays)
    if not found.passed:
        raise TouchlineError(
            f"The training scene does not show what the official environments show: it {found.sentence}. "
            "Nothing was trained; docs/observation.md says how each field is meant."
        )
    return found


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
