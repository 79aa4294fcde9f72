"""A world stepped by MJX: for accelerators; the same scene, observation and reward as ``native``.

On a CPU it is several times slower than ``native`` and, unless ``touchline.jax_guard.guard_jax`` ran before jax was
imported, can deadlock.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from mujoco import mjx
from numpy.typing import NDArray

from touchline.errors import UsageError
from touchline.simulation.bookkeeping import Episodes, conclude, kick
from touchline.simulation.randomisation import variants
from touchline.simulation.spaces import Options, declare, refuse_misfit, refuse_unknown, task_indices
from touchline.simulation.world import Physics, Start, World


class State(NamedTuple):
    """A batch of episodes on the device."""

    qpos: Any
    """Shape (n, nq)."""
    qvel: Any
    """Shape (n, nv)."""
    warmstart: Any
    """Accelerations that the constraint solver starts from, shape (n, nv)."""
    episodes: Episodes
    key: Any


class Step(NamedTuple):
    """What one policy step gives, a batch."""

    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    final_observation: Any
    terms: dict[str, Any]
    task: Any
    """Index of the task of the episode that the step belongs to."""
    outcomes: dict[str, Any]


class MjxFunctions:
    """Pure jitted functions ``reset(key, n)`` and ``step(state, action)`` over ``State``: for loops on the device."""

    def __init__(self, world: World, *, iterations: int = 4, ls_iterations: int = 8) -> None:
        """``iterations`` and ``ls_iterations`` bound the constraint solver: more is nearer to ``native``, slower."""
        self.world = world
        limited = copy.copy(world.model)
        limited.opt.iterations, limited.opt.ls_iterations = iterations, ls_iterations
        models = [mjx.put_model(model) for model in variants(limited, world.randomisation)]
        self.model = models[0]
        self._variants = len(models)
        self._varied = _varied(models)

    @partial(jax.jit, static_argnums=(0, 2))
    def reset(self, key: Any, n: int, task: Any = None) -> tuple[State, Any]:
        """Begin n episodes, of random tasks or of the indices ``task``; returns the state and the observations."""
        key, fresh_key = jax.random.split(key)
        state = self._fresh(fresh_key, n, task)._replace(key=key)
        return self._seen(state)

    @partial(jax.jit, static_argnums=0)
    def begin(self, key: Any, start: Start, task: Any) -> tuple[State, Any]:
        """Begin the given episodes; returns the state and the observations."""
        key, fresh_key = jax.random.split(key)
        drawn = self._fresh(fresh_key, start.qpos.shape[0], task)
        episodes = drawn.episodes._replace(own=jax.tree.map(jnp.asarray, start.episode))
        state = drawn._replace(qpos=jnp.asarray(start.qpos), qvel=jnp.asarray(start.qvel), episodes=episodes, key=key)
        return self._seen(state)

    @partial(jax.jit, static_argnums=0)
    def step(self, state: State, action: Any) -> tuple[State, Step]:
        """Advance every episode by one policy step; those that end begin anew in the same step."""
        world = self.world
        key, push_key, noise_key, fresh_key = jax.random.split(state.key, 4)
        action = jnp.clip(action, -1.0, 1.0)
        qvel = state.qvel
        if world.randomisation.push_speed > 0:
            pushes = kick(world, jax.random.uniform(push_key, (qvel.shape[0], 3)), jnp)
            qvel = qvel.at[:, jnp.asarray(world.pushed)].add(pushes)
        variant = state.episodes.variant
        data, ended = jax.vmap(self._advance)(state.qpos, qvel, state.warmstart, world.control(action, jnp), variant)
        physics = Physics(data.qpos, data.qvel, data.sensordata, self._time(state.episodes.step + 1))
        after = conclude(world, physics, state.episodes, action, ended, jnp)
        following = State(data.qpos, data.qvel, data.qacc_warmstart, after.episodes, key)
        fresh = self._fresh(fresh_key, data.qpos.shape[0])
        over = after.terminated | after.truncated

        def pick(new: Any, old: Any) -> Any:
            return jnp.where(over.reshape((-1,) + (1,) * (old.ndim - 1)), new, old)

        chosen = jax.tree.map(pick, fresh._replace(key=None), following._replace(key=None))._replace(key=key)
        final = self._noisy(noise_key, after.observation)
        chosen, begun = self._seen(chosen)
        observation = jnp.where(over[:, None], begun, final)
        return chosen, Step(
            observation,
            after.reward,
            after.terminated,
            after.truncated,
            final,
            after.terms,
            after.episodes.task,
            world.outcomes(physics, after.episodes.own, jnp),
        )

    def _advance(self, qpos: Any, qvel: Any, warmstart: Any, control: Any, variant: Any) -> tuple[Any, Any]:
        model = self._variant(variant)
        data = mjx.make_data(self.model).replace(qpos=qpos, qvel=qvel, qacc_warmstart=warmstart, ctrl=control)

        def physics(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
            data, ended = carry
            data = mjx.step(model, data)
            now = Physics(data.qpos, data.qvel, data.sensordata, data.time)
            return (data, ended | self.world.terminated(now, jnp)), None

        (data, ended), _ = jax.lax.scan(physics, (data, jnp.asarray(False)), None, length=self.world.decimation)
        return data, ended

    def _variant(self, index: Any) -> Any:
        if self._variants == 1:
            return self.model
        return self.model.tree_replace({name: values[index] for name, values in self._varied.items()})

    def _time(self, step: Any) -> Any:
        return step * self.world.step_seconds

    def _seen(self, state: State) -> tuple[State, Any]:
        """Return the state with another key, and the observation of it as it stands, without a step."""

        def sense(qpos: Any, qvel: Any, variant: Any) -> Any:
            data = mjx.make_data(self.model).replace(qpos=qpos, qvel=qvel)
            return mjx.forward(self._variant(variant), data).sensordata

        sensors = jax.vmap(sense)(state.qpos, state.qvel, state.episodes.variant)
        physics = Physics(state.qpos, state.qvel, sensors, self._time(state.episodes.step))
        key, noise_key = jax.random.split(state.key)
        observation = self.world.observe(physics, state.episodes.own, jnp)
        return state._replace(key=key), self._noisy(noise_key, observation)

    def _noisy(self, key: Any, observation: Any) -> Any:
        size = self.world.randomisation.noise
        if size == 0:
            return observation
        return observation + jax.random.normal(key, observation.shape) * jnp.asarray(size * self.world.noise)

    def _fresh(self, key: Any, n: int, task: Any = None) -> State:
        world = self.world
        task_key, uniform_key, variant_key = jax.random.split(key, 3)
        if task is None:
            task = jax.random.randint(task_key, (n,), 0, len(world.tasks))
        start = world.start(jax.random.uniform(uniform_key, (n, world.uniforms)), task, jnp)
        variant = jax.random.randint(variant_key, (n,), 0, self._variants)
        zeros = jnp.zeros((n, world.action_size))
        episodes = Episodes(task, jnp.zeros((n,), dtype=jnp.int32), zeros, variant, start.episode)
        return State(start.qpos, start.qvel, jnp.zeros((n, world.model.nv)), episodes, key)


def _varied(models: list[Any]) -> dict[str, Any]:
    """Return the arrays in which the models differ, by name and stacked: shape (models, ...)."""
    stacked = {}
    for name, first in vars(models[0]).items():
        if isinstance(first, jax.Array):
            values = [np.asarray(getattr(model, name)) for model in models]
            if any(not np.array_equal(values[0], value) for value in values[1:]):
                stacked[name] = jnp.asarray(np.stack(values))
    return stacked


class MjxWorld(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """``MjxFunctions`` as a Gymnasium vector environment with the interface of ``NativeWorld``."""

    def __init__(self, world: World, num_envs: int, *, iterations: int = 4, ls_iterations: int = 8) -> None:
        declare(self, world, num_envs)
        self.world = world
        self.functions = MjxFunctions(world, iterations=iterations, ls_iterations=ls_iterations)
        self.state: State | None = None
        """Where the batch stands; a loop on the device steps ``functions`` itself and puts the state back here."""
        self._key = jax.random.key(0)

    @property
    def qpos(self) -> NDArray[np.float64]:
        """Positions of every episode, shape (n, nq), for rendering."""
        if self.state is None:
            raise RuntimeError("qpos was read before reset(); call reset(seed=...) first.")
        return np.asarray(self.state.qpos, dtype=np.float64)

    def reset(
        self, *, seed: int | list[int] | None = None, options: Options | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin every episode anew; ``options`` are those of ``NativeWorld.reset``."""
        if seed is not None:
            # NumPy takes seeds of any length.
            self._key = jax.random.key(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        self._key, key = jax.random.split(self._key)
        options = options or {}
        refuse_unknown(options, ("tasks", "start"))
        given = options.get("tasks")
        task = None if given is None else jnp.asarray(task_indices(self.world, given, self.num_envs))
        if (start := options.get("start")) is not None:
            tasks = jnp.zeros(self.num_envs, dtype=jnp.int32) if task is None else task
            self.state, observation = self.functions.begin(key, start, tasks)
        else:
            self.state, observation = self.functions.reset(key, self.num_envs, task)
        return np.array(observation), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Advance every episode by one policy step; those that end begin anew."""
        if self.state is None:
            raise RuntimeError("step() was called before reset(); call reset(seed=...) first.")
        refuse_misfit(actions, (self.num_envs, self.world.action_size))
        self.state, step = self.functions.step(self.state, jnp.asarray(actions))
        host = jax.tree.map(np.array, step)
        return host.observation, host.reward, host.terminated, host.truncated, self.info(host)

    def info(self, step: Step) -> dict[str, Any]:
        """Return the ``info`` of a step that is on the host; without ``final_obs`` where it has been left out."""
        info: dict[str, Any] = {"terms": step.terms}
        over = step.terminated | step.truncated
        if over.any():
            tasks = np.array(self.world.tasks, dtype=object)[step.task]
            info["final_info"], info["_final_info"] = {"task": tasks, "outcomes": step.outcomes}, over
            if step.final_observation is not None:
                info["final_obs"], info["_final_obs"] = step.final_observation, over
        return info

    def state_dict(self) -> dict[str, Any]:
        """Return copies on the host of where every episode stands, and of the keys as their raw data."""
        key, state = np.array(jax.random.key_data(self._key)), self.state
        if state is None:
            return {"key": key, "batch": None}
        return {
            "key": key,
            "batch": {
                **{name: np.array(getattr(state, name)) for name in ("qpos", "qvel", "warmstart")},
                "episodes": state.episodes.to_dict(np.array),
                "key": np.array(jax.random.key_data(state.key)),
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``, bit for bit. Raises UsageError when it is of another number of episodes."""
        if "batch" not in state:
            raise UsageError("This is no saved state of MjxWorld. Go on with the backend that saved it.")
        batch = state["batch"]
        if batch is not None and len(batch["qpos"]) != self.num_envs:
            raise UsageError(
                f"The saved state is of {len(batch['qpos'])} scenes and this is of {self.num_envs}. "
                f"Go on with {len(batch['qpos'])} environments, or start over."
            )
        self._key = jax.random.wrap_key_data(jnp.array(state["key"]))
        if batch is None:
            self.state = None
            return
        world = self.world
        like = world.start(np.zeros((self.num_envs, world.uniforms)), np.zeros(self.num_envs, dtype=np.int64), np)
        episodes = Episodes(None, None, None, None, like.episode).like(batch["episodes"], jnp.array)
        self.state = State(
            **{name: jnp.array(batch[name]) for name in ("qpos", "qvel", "warmstart")},
            episodes=episodes,
            key=jax.random.wrap_key_data(jnp.array(batch["key"])),
        )
