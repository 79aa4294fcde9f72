"""The Gymnasium side of every backend: spaces, metadata, and a world's functions tried once before they are used."""

from __future__ import annotations

from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.vector import AutoresetMode

from touchline.errors import UsageError
from touchline.simulation.world import Moves, Physics, World

Options = dict[str, Any]
"""What ``reset`` takes: ``tasks``, indices of shape (n,), and ``start``, a ``Start`` of n episodes."""


def declare(envs: gymnasium.vector.VectorEnv[Any, Any, Any], world: World, num_envs: int) -> None:
    """Give ``envs`` the spaces and the metadata of a batch of ``world``, after ``check``."""
    check(world)
    seconds = world.decimation * float(world.model.opt.timestep)
    envs.num_envs = num_envs
    envs.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_fps": round(1 / seconds)}
    envs.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (world.observation_size,), np.float32)
    envs.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (world.action_size,), np.float32)
    envs.observation_space = gymnasium.vector.utils.batch_space(envs.single_observation_space, num_envs)
    envs.action_space = gymnasium.vector.utils.batch_space(envs.single_action_space, num_envs)


def check(world: World) -> None:
    """Call every function of ``world`` once, on two episodes; raises UsageError that names what does not fit."""
    model, n = world.model, 2
    uniform = np.random.default_rng(0).random((n, world.uniforms))
    start = world.start(uniform, np.arange(n) % len(world.tasks), np)
    _demand(world, "start(...).qpos", start.qpos, (n, model.nq))
    _demand(world, "start(...).qvel", start.qvel, (n, model.nv))
    for name, part in zip(getattr(start.episode, "_fields", ()), start.episode, strict=True):
        _demand(world, f"start(...).episode.{name}", part, (n, *np.shape(part)[1:]))
    action = np.zeros((n, world.action_size))
    _demand(world, "control(...)", world.control(action, np), (n, model.nu))
    sensors = np.stack([_sense(model, start, i) for i in range(n)])
    physics = Physics(start.qpos, start.qvel, sensors, np.zeros(n))
    observation = world.observe(physics, start.episode, np)
    _demand(world, "observe(...)", observation, (n, world.observation_size))
    if observation.dtype != np.float32:
        raise UsageError(f"{_named(world)}.observe() returns {observation.dtype}. Return .astype(np.float32).")
    ended = world.terminated(physics, np)
    _demand(world, "terminated(...)", ended, (n,))
    terms = world.terms(physics, start.episode, Moves(action, action, np.zeros(n)), np)
    if set(terms) != set(world.weights):
        raise UsageError(
            f"{_named(world)} has the reward terms {', '.join(sorted(terms))} and weights for "
            f"{', '.join(sorted(world.weights))}. Give every term one weight; 0 only logs it."
        )
    for name, term in terms.items():
        _demand(world, f"terms(...)[{name!r}]", term, (n,))
    _demand(world, "noise", world.noise, (world.observation_size,))
    if world.randomisation.push_speed > 0 and len(world.pushed) != 2:
        raise UsageError(
            f"{_named(world)} cannot be pushed: it names {len(world.pushed)} velocities for it. Name the two "
            "horizontal ones in its property `pushed`, or set randomisation.push_speed to 0."
        )


def _sense(model: mujoco.MjModel, start: Any, i: int) -> Any:
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = start.qpos[i], start.qvel[i]
    mujoco.mj_forward(model, data)
    return data.sensordata


def _demand(world: World, what: str, value: Any, shape: tuple[int, ...]) -> None:
    if np.shape(value) != shape:
        raise UsageError(
            f"{_named(world)}: {what} has shape {np.shape(value)} for {shape[0]} rows where {shape} is needed."
        )


def _named(world: World) -> str:
    return type(world).__name__
