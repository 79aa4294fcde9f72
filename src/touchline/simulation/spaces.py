"""The Gymnasium side of every backend: spaces, metadata, and a world's functions tried once before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from touchline.errors import UsageError, at_least, unknown
from touchline.simulation.randomisation import Randomisation
from touchline.simulation.world import Moves, Physics, Start, World

Options = dict[str, Any]
"""What ``reset`` takes: ``tasks``, names or indices of shape (n,), and ``start``, a ``Start`` of n episodes."""


def declare(envs: gymnasium.vector.VectorEnv[Any, Any, Any], world: World, num_envs: int) -> None:
    """Give ``envs`` the spaces and the metadata of a batch of ``world``, after ``check``.

    Raises UsageError also for less than one environment.
    """
    if num_envs < 1:
        raise UsageError(f"{num_envs} environments cannot be stepped; num_envs must be at least 1.")
    check(world)
    seconds = world.step_seconds
    envs.num_envs = num_envs
    envs.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_fps": round(1 / seconds)}
    envs.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (world.observation_size,), np.float32)
    envs.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (world.action_size,), np.float32)
    envs.observation_space = gymnasium.vector.utils.batch_space(envs.single_observation_space, num_envs)
    envs.action_space = gymnasium.vector.utils.batch_space(envs.single_action_space, num_envs)


def refuse_unknown(options: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise UsageError, with the nearest name, when an option of ``reset`` is not one of ``known``."""
    for name in options:
        if name not in known:
            raise unknown("option of reset", name, known)


def refuse_misfit(actions: Any, shape: tuple[int, ...]) -> None:
    """Raise UsageError when actions have another shape than ``shape``, or hold what is not finite."""
    if np.shape(actions) != shape:
        raise UsageError(f"The actions have shape {np.shape(actions)}, and shape {shape} is needed.")
    if not np.isfinite(actions).all():
        where = f"of environment {np.argwhere(~np.isfinite(actions))[0][0]} " if len(shape) > 1 else ""
        raise UsageError(f"The action {where}is not finite, so its policy has diverged; nothing was stepped.")


def task_indices(world: World, tasks: Any, num_envs: int) -> NDArray[np.int64]:
    """Return the tasks given to ``reset``, names or indices, as indices of shape (num_envs,).

    Raises UsageError for another number of them or an unknown one.
    """
    found = np.array([_task_index(world, task) for task in np.asarray(tasks).reshape(-1).tolist()], dtype=np.int64)
    if found.shape != (num_envs,):
        raise UsageError(f"{len(found)} tasks were given for {num_envs} environments. Give each one.")
    return found


def _task_index(world: World, task: str | int) -> int:
    if task in world.tasks:
        return world.tasks.index(task)
    if isinstance(task, int) and 0 <= task < len(world.tasks):
        return task
    raise unknown("task", str(task), world.tasks)


def check(world: World) -> None:
    """Call every function of ``world`` once, on two episodes; raises UsageError that names what does not fit."""
    _check_constants(world)
    model, n = world.model, 2
    uniform = np.random.default_rng(0).random((n, world.uniforms))
    start = world.start(uniform, np.arange(n) % len(world.tasks), np)
    if not isinstance(start, Start):
        raise UsageError(f"{_named(world)}.start() returns a {type(start).__name__}. Return a Start.")
    _demand(world, "start(...).qpos", start.qpos, (n, model.nq))
    _demand(world, "start(...).qvel", start.qvel, (n, model.nv))
    if start.episode and not hasattr(start.episode, "_fields"):
        raise UsageError(f"{_named(world)}: the episode of start(...) must be a NamedTuple of arrays, or ().")
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
    remembered = world.remember(physics, start.episode, np)
    for name, part, kept in zip(getattr(start.episode, "_fields", ()), start.episode, remembered, strict=True):
        _demand(world, f"remember(...).{name}", kept, np.shape(part))
    for name, value in world.outcomes(physics, remembered, np).items():
        _demand(world, f"outcomes(...)[{name!r}]", value, (n,))
    for what, value in (("observe(...)", observation), *((f"terms(...)[{name!r}]", terms[name]) for name in terms)):
        if not np.isfinite(value).all():
            raise UsageError(f"{_named(world)}: {what} is not finite at the start of an episode.")
    _demand(world, "noise", world.noise, (world.observation_size,))
    if world.randomisation.push_speed > 0 and len(world.pushed) != 2:
        raise UsageError(
            f"{_named(world)} cannot be pushed: it names {len(world.pushed)} velocities for it. Name the two "
            "horizontal ones in its property `pushed`, or set randomisation.push_speed to 0."
        )


def _check_constants(world: World) -> None:
    at_least(1, world, "decimation", "episode_steps", "uniforms", "observation_size", "action_size")
    if not world.name or not isinstance(world.tasks, tuple) or not world.tasks:
        raise UsageError(
            f"{_named(world)} has the name {world.name!r} and the tasks {world.tasks!r}. Give it a name and a tuple "
            "of at least one task."
        )
    if not isinstance(world.randomisation, Randomisation):
        raise UsageError(
            f"{_named(world)}.randomisation is {world.randomisation!r}. Give a Randomisation, such as "
            "touchline.simulation.LEVELS['medium']."
        )
    low, high = world.model.actuator_ctrlrange.T
    if type(world).control is World.control and not (low < high).all():
        loose = ", ".join(world.model.actuator(int(i)).name or f"number {i}" for i in np.flatnonzero(low >= high))
        raise UsageError(
            f"{_named(world)}: the actuator {loose} has no ctrlrange, so actions in [-1, 1] would move nothing. "
            "Give it one, or say in control() what an action does."
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
