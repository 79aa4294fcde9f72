"""How learners meet vector environments: one kind of step, whatever restarts episodes and bounds actions."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from touchline.errors import UsageError

LARGEST_OBSERVATION = 1e12
"""Squares of what is larger overflow float32 when many of them are summed."""


class VectorStep(NamedTuple):
    """What one step of every environment gave; arrays have num_envs rows."""

    observation: NDArray[np.float32]
    """Where they stand now, which is a new episode where one ended and the next has begun."""
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    final_observation: NDArray[np.float32]
    """What the actions led to."""
    valid: NDArray[np.bool_]
    """False where the step did nothing but begin an episode, which some environments take one for."""
    info: dict[str, Any]

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Where an episode ended in this step."""
        return self.terminated | self.truncated


class Environments:
    """A Gymnasium vector environment as learners see it: float32 numbers in, actions in [-1, 1] out.

    Episodes that ended may be followed by the next in the same step or in the one after it
    (``AutoresetMode.SAME_STEP``, ``NEXT_STEP``). Actions are stretched to the bounds of the action space.
    """

    def __init__(self, envs: gymnasium.vector.VectorEnv[Any, Any, Any]) -> None:
        """Raises UsageError for spaces of another kind, and where nothing restarts episodes."""
        if not hasattr(envs, "single_action_space"):
            raise UsageError(
                f"{envs} is no vector environment. Make one with gymnasium.vector.SyncVectorEnv([...], "
                "autoreset_mode=AutoresetMode.SAME_STEP), also of a single environment."
            )
        mode = envs.metadata.get("autoreset_mode")
        if mode not in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP):
            raise UsageError(
                f"Nothing restarts the episodes of these environments (autoreset_mode is {mode}). Make them with "
                "autoreset_mode=AutoresetMode.SAME_STEP."
            )
        observations, actions = envs.single_observation_space, envs.single_action_space
        for what, space, remedy in (
            ("observations", observations, "for example with gymnasium.wrappers.FlattenObservation"),
            ("actions", actions, "so that it takes numbers between bounds; choices among a few are not learnt here"),
        ):
            if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1 or not space.shape[0]:
                raise UsageError(
                    f"The {what} are {space}, and a Box of shape (n,) is needed. Wrap the environment, {remedy}."
                )
        with np.errstate(over="ignore", invalid="ignore"):
            low, high = np.asarray([actions.low, actions.high], np.float32)  # type: ignore[attr-defined]
            middle, reach = (low + high) / 2, (high - low) / 2
        if not np.isfinite([middle, reach]).all() or not (reach > 0).all():
            raise UsageError(
                f"The actions have no bounds, or none with room between them ({actions}). Wrap the environment, for "
                "example with gymnasium.wrappers.RescaleAction, or give its action space bounds."
            )
        self.envs = envs
        self.num_envs = envs.num_envs
        (self.observation_size,), (self.action_size,) = observations.shape, actions.shape  # type: ignore[misc]
        self.restarts_at_once = mode == AutoresetMode.SAME_STEP
        """Whether an episode is followed by the next in the step that ends it."""
        self._middle, self._reach = middle, reach
        self._stretched = bool((low != -1).any() or (high != 1).any())

    def reset(self, seed: int) -> NDArray[np.float32]:
        """Begin every episode; returns observations, shape (num_envs, n).

        Raises FloatingPointError for observations that no learner can use.
        """
        observation, _ = self.envs.reset(seed=seed)
        observation = np.array(observation, dtype=np.float32)
        refuse_useless(_usable(observation))
        return observation

    def step(self, action: NDArray[np.float32], ended: NDArray[np.bool_]) -> VectorStep:
        """Act in every environment, in [-1, 1], shape (num_envs, m); ``ended`` is that of the step before.

        Raises FloatingPointError for observations or rewards that no learner can use.
        """
        return self.begin(action, ended)()

    def begin(self, action: NDArray[np.float32], ended: NDArray[np.bool_]) -> Callable[[], VectorStep]:
        """Begin ``step``, and return what waits for its answer.

        Environments in other processes (``step_async`` and ``step_wait``) step in the meantime; others have done so.
        """
        # A copy in any case: an environment may change in place what it is given, and the learner keeps the action.
        stretched = self._middle + self._reach * action if self._stretched else np.array(action)
        if not hasattr(self.envs, "step_async"):
            answer = self.envs.step(stretched)
            return lambda: self._read(answer, ended)
        self.envs.step_async(stretched)
        return lambda: self._read(self.envs.step_wait(), ended)  # type: ignore[attr-defined]

    def _read(self, answer: tuple[Any, ...], ended: NDArray[np.bool_]) -> VectorStep:
        # Copies: environments may answer in the same arrays each time (``SyncVectorEnv(copy=False)``), and learners
        # keep an observation until the next one is there.
        observation, reward = (np.array(part, dtype=np.float32) for part in answer[:2])
        terminated, truncated = (np.array(part, dtype=np.bool_) for part in answer[2:4])
        info = answer[4]
        if not self.restarts_at_once:
            refuse_useless(_usable(observation) & np.isfinite(reward))
            # What an episode's end tells stands in the step's own info here, and the next episode begins later.
            info = {**info, "final_info": info}
            return VectorStep(observation, reward, terminated, truncated, observation, ~ended, info)
        final = final_observation(observation, info, terminated | truncated)
        refuse_useless(_usable(observation) & _usable(final) & np.isfinite(reward))
        return VectorStep(observation, reward, terminated, truncated, final, np.ones_like(ended), info)


def refuse_arguments(**given: Any) -> None:
    """Raise UsageError for the arguments of a training, by name, that are no whole numbers of at least 0."""
    for name, value in given.items():
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 0:
            raise UsageError(f"{name} is {value!r}. Give a whole number of at least 0.")


def refuse_useless(usable: NDArray[np.bool_]) -> None:
    """Raise FloatingPointError when an environment's answer, one of shape (num_envs,), is of no use."""
    if not usable.all():
        raise FloatingPointError(
            f"Environment {int(np.flatnonzero(~usable)[0])} gave a reward or an observation that is not finite, or "
            f"an observation beyond {LARGEST_OBSERVATION:.0e}. Mend the environment: one such value in a replay "
            "buffer, or in the normaliser's variance, spoils the learner for good."
        )


def _usable(observation: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray((np.abs(observation) <= LARGEST_OBSERVATION).all(axis=-1))


def final_observation(following: NDArray[Any], info: dict[str, Any], ended: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the observations that the actions led to, shape (num_envs, n).

    ``following`` already begins a new episode where one ended; Gymnasium puts what came last into
    ``info["final_obs"]``, an object array that is None elsewhere.
    """
    final = np.array(following, dtype=np.float32)
    for i in np.flatnonzero(ended):
        final[i] = info["final_obs"][i]
    return final
