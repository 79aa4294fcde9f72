"""The loop of SAC over a Gymnasium vector environment, as a generator: the caller logs, saves and stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import jax
import numpy as np

from touchline.errors import UsageError
from touchline.learning.devices import Devices
from touchline.learning.interaction import LARGEST_OBSERVATION, Environments, refuse_arguments, refuse_useless
from touchline.learning.memory import Memory, Transition
from touchline.learning.progress import (
    EpisodeStatistics,
    Progress,
    Section,
    from_the_start,
    refuse_non_finite,
    reward_terms,
    untimed,
)
from touchline.learning.sac import Sac, State, Symmetry
from touchline.learning.sac_config import SacConfig


class Loop(NamedTuple):
    """Everything the loop needs to go on.

    The next step gives ``learner`` and ``memory`` away to the device: read them before it, or copy them.
    """

    learner: State
    memory: Any
    """State of the replay memory."""
    key: Any
    """Draws the batches."""
    environments: Any
    """The vector environment itself; to be restored it needs ``state_dict`` and ``load_state_dict``."""
    observation: Any
    """Where the environments stand, shape (num_envs, n)."""
    ended: Any
    """Where the last step ended an episode, shape (num_envs,)."""
    episodes: EpisodeStatistics
    step: int
    updates: int


def train(
    envs: gymnasium.vector.VectorEnv[Any, Any, Any],
    config: SacConfig,
    *,
    total_steps: int,
    seed: int,
    symmetry: Symmetry | None = None,
    felt: tuple[bool, ...] | None = None,
    devices: int = 1,
    section: Section = untimed,
    restore: Callable[[Loop], Loop] = from_the_start,
) -> Iterator[Progress[State]]:
    """Train for ``total_steps`` policy transitions over all environments, yielding after every vector step.

    Where the environments are functions on the device (``MjxWorld``, or anything with its ``functions``, ``state``
    and ``info``), exploring, physics and replay are one compiled step and the updates another, which runs while the
    host counts what the first one told. Elsewhere any Gymnasium vector environment will do whose observations and
    bounded actions are one Box each; actions in [-1, 1] are stretched to its bounds, and a policy's are to be
    stretched alike.

    ``symmetry`` is the world's mirror image, if it has one. ``felt`` tells which numbers of an observation the actor
    looks at, all unless given.

    ``devices`` local devices share the environments, where these are functions on the device, the replay memory and
    each batch; 0 takes all there are. The result is that of one device apart from the order of sums.

    ``section`` times the parts of the loop.

    ``restore`` is called once, with the fresh loop after the environments were reset, and returns the loop to go on
    from; objects in it that keep their own state it loads in place. From a ``progress.loop`` saved by a training of
    the same configuration, everything yielded is bit for bit what that training would have yielded, save ``metrics``,
    which are empty until the first update. Nothing is yielded when ``total_steps`` were already made.

    Raises:
        UsageError: an argument is none that can be used, the environments' spaces do not fit, nothing restarts their
            episodes, ``horizon_seconds`` is given (see ``SacConfig.for_step``), or environments and batches cannot
            be shared by so many devices.
        FloatingPointError: a loss, a reward or an observation is not finite; the message tells where.
    """
    if config.horizon_seconds is not None:
        raise UsageError(
            f"SacConfig.horizon_seconds is {config.horizon_seconds:g}, and how long a policy step lasts only the "
            "caller knows. Give train config.for_step(seconds_of_a_policy_step)."
        )
    refuse_arguments(total_steps=total_steps, seed=seed, devices=devices)
    environments = Environments(envs)
    size = environments.observation_size
    if felt is not None and len(felt) != size:
        raise UsageError(f"felt tells of {len(felt)} numbers, and an observation has {size}. Give as many.")
    if symmetry is not None:
        _refuse_symmetry(symmetry, size, environments.action_size)
    spread = Devices.of(devices, envs.num_envs, config.batch_size)
    sac = Sac(size, environments.action_size, config, symmetry, felt)
    memory = Memory.of(config, envs.num_envs)
    observation = environments.reset(seed)
    loop = restore(
        Loop(
            learner=sac.init(seed),
            memory=memory.init(size, environments.action_size),
            key=jax.random.key(seed + 1),
            environments=envs,
            observation=observation,
            ended=np.zeros(envs.num_envs, dtype=bool),
            episodes=EpisodeStatistics(envs.num_envs, gamma=config.gamma),
            step=0,
            updates=0,
        )
    )
    loop = loop._replace(
        learner=spread.everywhere(loop.learner),
        memory=spread.rows(loop.memory),
        key=spread.everywhere(loop.key),
    )
    is_on_device = hasattr(envs, "functions")
    if is_on_device:
        envs.state, observation = spread.rows((envs.state, loop.observation))  # type: ignore[attr-defined]
        loop = loop._replace(observation=observation)
    first_update = max(config.warmup_steps, config.n_step * envs.num_envs)
    advance = (
        _on_device(sac, memory, spread, section)
        if is_on_device
        else _on_host(sac, memory, environments, spread, section)
    )
    metrics: dict[str, Any] = {}
    while loop.step < total_steps:
        step = loop.step + envs.num_envs
        learns = step >= first_update and (step // envs.num_envs) % config.update_every == 0
        # Reading the losses before this update, not after it, keeps it in flight while the caller logs.
        with section("update"):
            refuse_non_finite(metrics, loop.step)
        loop, told, latest = advance(loop, learns)
        loop.episodes.add(told.reward, told.terminated, told.truncated, told.info, told.action, told.valid)
        if latest:
            metrics = latest | ({"anchor_weight": config.anchor_at(loop.step)} if config.anchor else {})
        loop = loop._replace(step=step, updates=loop.updates + config.updates_per_step * learns)
        yield Progress(
            step=step,
            updates=loop.updates,
            buffer_size=min(step, config.replay_size),
            metrics=metrics,
            episodes=loop.episodes,
            terms=reward_terms(told.info),
            state=loop.learner,
            loop=loop,
        )
    refuse_non_finite(metrics, loop.step)


def _refuse_symmetry(symmetry: Symmetry, size: int, action_size: int) -> None:
    for what, mirrored, count in (
        ("observation", symmetry.observation, size),
        ("action", symmetry.action, action_size),
    ):
        rows = jax.ShapeDtypeStruct((2, count), np.float32)
        shape = jax.eval_shape(lambda rows, mirrored=mirrored: mirrored(rows, jax.numpy), rows).shape
        if shape != rows.shape:
            raise UsageError(
                f"symmetry.{what} makes an array of shape {shape} of one of shape {rows.shape}. "
                "Return as many numbers as were given."
            )


class Told(NamedTuple):
    """What the caller hears of one vector step; arrays on the host with num_envs rows."""

    action: Any
    reward: Any
    terminated: Any
    truncated: Any
    valid: Any
    info: dict[str, Any]


Advance = Callable[[Loop, bool], tuple[Loop, Told, dict[str, Any]]]
"""One vector step with or without updates: the loop after it, what happened, and the updates' metrics."""
Learn = Callable[[State, Any, Any, Any], tuple[State, Any, dict[str, Any]]]
"""Updates of a learner, from a memory, a key and the anchor's weight: → the learner, the key, metrics."""


def _learning(sac: Sac, memory: Memory, spread: Devices) -> Learn:
    @partial(jax.jit, donate_argnums=0)
    def learn(learner: State, stored: Any, key: Any, anchor: Any) -> tuple[State, Any, dict[str, Any]]:
        key, draw_key = jax.random.split(key)
        batches = spread.batches(memory.draw(stored, draw_key, sac.config.updates_per_step))
        learner, metrics = sac.update(learner, batches, anchor)
        # As they came, or the next call would be another program.
        learner, key = spread.everywhere((learner, key))
        return learner, key, metrics

    return learn


def _on_host(sac: Sac, memory: Memory, environments: Environments, spread: Devices, section: Section) -> Advance:
    learn = _learning(sac, memory, spread)

    @partial(jax.jit, donate_argnums=0)
    def add(stored: Any, transition: Transition) -> Any:
        return spread.rows(memory.add(stored, spread.rows(transition)))

    def advance(loop: Loop, learns: bool) -> tuple[Loop, Told, dict[str, Any]]:
        learner, action = sac.explore(loop.learner, loop.observation)
        action = np.asarray(action)
        with section("environment"):
            step = environments.step(action, loop.ended)
        with section("transfer"):
            stored = add(
                loop.memory,
                Transition(
                    loop.observation,
                    action,
                    step.reward,
                    step.final_observation,
                    step.terminated,
                    step.truncated,
                    step.valid,
                ),
            )
        key = loop.key
        metrics: dict[str, Any] = {}
        if learns:
            with section("update"):
                learner, key, metrics = learn(learner, stored, key, sac.config.anchor_at(loop.step))
        told = Told(action, step.reward, step.terminated, step.truncated, step.valid, step.info)
        after = loop._replace(learner=learner, memory=stored, key=key, observation=step.observation, ended=step.ended)
        return after, told, metrics

    return advance


def _on_device(sac: Sac, memory: Memory, spread: Devices, section: Section) -> Advance:
    learn = _learning(sac, memory, spread)

    @partial(jax.jit, static_argnums=0, donate_argnums=(2, 3))
    def interact(functions: Any, learner: State, stored: Any, state: Any, observation: Any) -> Any:
        explored, action = sac.explore(learner, observation)
        state, step = functions.step(state, action)
        stored = memory.add(
            stored,
            Transition(
                observation,
                action,
                step.reward,
                step.final_observation,
                step.terminated,
                step.truncated,
                jax.numpy.ones_like(step.reward),
            ),
        )
        usable = (jax.numpy.abs(step.final_observation) <= LARGEST_OBSERVATION).all(axis=-1)
        told = step._replace(observation=None, final_observation=None)
        changed = spread.everywhere((explored.normaliser, explored.key))
        return changed, *spread.rows((stored, state, step.observation)), action, told, usable

    def advance(loop: Loop, learns: bool) -> tuple[Loop, Told, dict[str, Any]]:
        envs, key = loop.environments, loop.key
        metrics: dict[str, Any] = {}
        with section("update"):
            changed, stored, envs.state, observation, action, step, usable = interact(
                envs.functions, loop.learner, loop.memory, envs.state, loop.observation
            )
            learner = loop.learner._replace(normaliser=changed[0], key=changed[1])
            if learns:  # a program of its own: the host goes on with what was told while it runs
                learner, key, metrics = learn(learner, stored, key, sac.config.anchor_at(loop.step))
            action, step, usable = jax.device_get((action, step, usable))
        refuse_useless(usable & np.isfinite(step.reward))
        valid = np.ones(envs.num_envs, dtype=bool)
        told = Told(action, step.reward, step.terminated, step.truncated, valid, envs.info(step))
        after = loop._replace(
            learner=learner,
            memory=stored,
            key=key,
            observation=observation,
            ended=told.terminated | told.truncated,
        )
        return after, told, metrics

    return advance
