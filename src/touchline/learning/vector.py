"""Vector environments that can be saved in the middle of their episodes, in this process or over several."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from touchline.errors import TouchlineError, UsageError
from touchline.learning.workers import Worker, packed

MakeEnv = Callable[[], gymnasium.Env[Any, Any]]


class ResumableVectorEnv(SyncVectorEnv):
    """Gymnasium's serial vector environment with same-step auto-reset, ``state_dict`` and ``load_state_dict``.

    In that mode it keeps nothing of its own between two steps (Gymnasium 1.x, ``SyncVectorEnv.step``), random
    generators included, so its state is that of its environments. Each of them must have both methods itself.
    """

    def __init__(self, env_fns: Sequence[MakeEnv]) -> None:
        """Raises UsageError when an environment cannot be saved, such as a wrapper that forgets its own state."""
        super().__init__(env_fns, autoreset_mode=AutoresetMode.SAME_STEP)
        for env in self.envs:
            for method in ("state_dict", "load_state_dict"):
                if not hasattr(type(env), method):
                    raise UsageError(
                        f"{type(env).__qualname__} has no {method}(), so it cannot be saved in the middle of an "
                        "episode. Give it state_dict() and load_state_dict(), or use Gymnasium's SyncVectorEnv "
                        "for a training that is never resumed."
                    )

    def step(self, actions: Any) -> Any:
        """Step every environment, actions of shape (num_envs, …); UsageError for another shape."""
        _refuse_misfit(actions, self.action_space)
        return super().step(actions)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of every environment, in their order."""
        return {"environments": [env.state_dict() for env in self.envs]}  # type: ignore[attr-defined]

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``. Raises UsageError when it is of another number of environments."""
        for env, one in zip(self.envs, _states(state, self.num_envs), strict=True):
            env.load_state_dict(one)  # type: ignore[attr-defined]


class ParallelVectorEnv(VectorEnv[NDArray[Any], NDArray[Any], NDArray[Any]]):
    """A ``ResumableVectorEnv`` spread over processes that step at the same time; the same to the last bit.

    Gymnasium's ``AsyncVectorEnv`` has one process an environment; here each of the few processes steps many, dealt
    like cards, so that what one costs more than another is spread. Environments never see each other, so neither
    the number of processes nor which one steps them changes a bit, and a saved state fits any number of them. What
    passes between the processes a step is a few kilobytes, far below what shared memory would save.

    A process that dies, or an environment that fails, raises TouchlineError; processes end with their parent.
    """

    def __init__(self, env_fns: Sequence[MakeEnv], processes: int = 2) -> None:
        """``env_fns`` must be picklable: classes or ``functools.partial`` of them.

        Raises UsageError as ``ResumableVectorEnv`` does, TouchlineError when something cannot be pickled.
        """
        self._workers: list[Worker] = []
        if not env_fns or processes < 1:
            raise UsageError(
                f"{len(env_fns)} environments cannot be stepped by {processes} processes; use at least 1 of each."
            )
        self.num_envs = len(env_fns)
        processes = min(processes, self.num_envs)
        self._slots = [list(range(first, self.num_envs, processes)) for first in range(processes)]
        self._failed = False
        makes = [
            packed(functools.partial(ResumableVectorEnv, env_fns[first::processes])) for first in range(processes)
        ]
        self._workers = [Worker(make) for make in makes]
        try:
            self.metadata = self._all("metadata")[0]
            self.single_observation_space = self._all("single_observation_space")[0]
            self.single_action_space = self._all("single_action_space")[0]
        except BaseException:
            self.close()
            raise
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Reset every environment; an integer seed gives the environments ``seed``, ``seed + 1``, …"""
        given = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed or [None] * self.num_envs
        seeds = [[given[i] for i in slots] for slots in self._slots]
        parts = self._each("reset", [{"seed": one, "options": options} for one in seeds])
        observations, infos = zip(*parts, strict=True)
        return self._gathered(observations), self._merged(infos)

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step every environment, actions of shape (num_envs, …)."""
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Begin a step; ``step_wait`` must take its answer before anything else is asked."""
        actions = np.asarray(actions)
        _refuse_misfit(actions, self.action_space)
        self._ask("step", [{"actions": actions[slots]} for slots in self._slots])

    def step_wait(
        self,
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Wait for the step that was begun, and return what ``step`` returns."""
        parts = self._answers()
        observations, rewards, terminated, truncated, infos = zip(*parts, strict=True)
        gathered = [self._gathered(part) for part in (observations, rewards, terminated, truncated)]
        return gathered[0], gathered[1], gathered[2], gathered[3], self._merged(infos)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of every environment, in their order: the form of ``ResumableVectorEnv``."""
        states: list[Any] = [None] * self.num_envs
        for slots, part in zip(self._slots, self._all("state_dict"), strict=True):
            for slot, state in zip(slots, part["environments"], strict=True):
                states[slot] = state
        return {"environments": states}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``. Raises UsageError when it is of another number of environments."""
        saved = _states(state, self.num_envs)
        self._each("load_state_dict", [{"state": {"environments": [saved[i] for i in s]}} for s in self._slots])

    def close_extras(self, **kwargs: Any) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.close()

    def _all(self, method: str) -> list[Any]:
        return self._each(method, [{}] * len(self._workers))

    def _each(self, method: str, arguments: Iterable[Mapping[str, Any]]) -> list[Any]:
        """Call a method in every process at the same time, each with its own arguments."""
        self._ask(method, arguments)
        return self._answers()

    def _ask(self, method: str, arguments: Iterable[Mapping[str, Any]]) -> None:
        if self._failed:
            raise TouchlineError("These environments failed or were interrupted in a step before; make new ones.")
        self._failed = True  # until all have answered: an answer left lying would be taken for the next one
        for worker, named in zip(self._workers, arguments, strict=True):
            worker.ask(method, **named)

    def _answers(self) -> list[Any]:
        answers = [worker.answer() for worker in self._workers]
        self._failed = False
        return answers

    def _gathered(self, parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        whole = np.empty((self.num_envs, *parts[0].shape[1:]), parts[0].dtype)
        for slots, part in zip(self._slots, parts, strict=True):
            whole[slots] = part
        return whole

    def _merged(self, infos: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return _merge(list(zip(self._slots, infos, strict=True)), self.num_envs)


def _merge(parts: list[tuple[list[int], dict[str, Any]]], size: int) -> dict[str, Any]:
    """Put the processes' vector infos together, as ``VectorEnv._add_info`` would have: zeros where one has no key."""
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(key for _, info in parts for key in info):
        having = [(slots, info[key]) for slots, info in parts if key in info]
        first = having[0][1]
        if isinstance(first, dict):
            merged[key] = _merge(having, size)
            continue
        whole = np.full((size, *first.shape[1:]), None if first.dtype == object else 0, dtype=first.dtype)
        for slots, part in having:
            whole[slots] = part
        merged[key] = whole
    return merged


def _refuse_misfit(actions: Any, space: gymnasium.Space[Any]) -> None:
    # Gymnasium's own loop would leave out the environments that have no action.
    if np.shape(actions) != space.shape:
        raise UsageError(f"The actions have shape {np.shape(actions)}, and shape {space.shape} is needed.")


def _states(state: Mapping[str, Any], expected: int) -> Sequence[Any]:
    saved: Sequence[Any] = state["environments"]
    if len(saved) != expected:
        raise UsageError(
            f"The saved state is of {len(saved)} environments and these are {expected}. "
            f"Go on with {len(saved)} environments, or start over."
        )
    return saved
