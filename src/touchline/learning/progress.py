"""What a training loop yields once a vector step, and the episode statistics behind it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from touchline.errors import UsageError

State = TypeVar("State")
Loop = TypeVar("Loop")
Section = Callable[[str], AbstractContextManager[object]]
"""Times a part of a loop by its name: ``environment``, ``transfer`` or ``update``."""


def untimed(name: str) -> AbstractContextManager[object]:
    """The section of a loop whose time nobody asks for."""
    return nullcontext()


def from_the_start(loop: Loop) -> Loop:
    """The ``restore`` of a training that begins: the fresh loop, as it was built."""
    return loop


@dataclass(frozen=True)
class Progress(Generic[State]):
    """The loop's position after one vector step."""

    step: int
    """Policy transitions over all environments since the start (``global_step``)."""
    updates: int
    """Gradient updates since the start."""
    buffer_size: int
    """Transitions in the replay buffer."""
    metrics: dict[str, Any]
    """Latest learner metrics by bare name (``critic_loss``…); may be device arrays; empty before learning."""
    episodes: EpisodeStatistics
    """Statistics of finished episodes."""
    terms: dict[str, Any]
    """Named reward terms of this step, each of shape (num_envs,), when the environment tells them."""
    state: State
    """The learner's state."""
    loop: Any = None
    """Everything the loop needs to go on after this step, a NamedTuple: what a checkpoint saves.

    It holds no copies but the loop's own memory, and the next step changes that or hands it to the device, so read
    it before asking for the next ``Progress``. None where a loop cannot be restored.
    """


class EpisodeStatistics:
    """Returns and lengths of the episodes of a vector environment, over a window of finished ones."""

    def __init__(self, num_envs: int, window: int = 100) -> None:
        self._return = np.zeros(num_envs)
        self._length = np.zeros(num_envs, dtype=np.int64)
        self._finished: deque[tuple[float, int, bool]] = deque(maxlen=window)
        self.count = 0

    def add(
        self,
        reward: NDArray[Any],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        valid: NDArray[np.bool_] | bool = True,
    ) -> None:
        """Take one vector step: arrays of shape (num_envs,); ``valid`` is False where it only began an episode."""
        self._return += np.where(valid, reward, 0.0)
        self._length += valid
        for i in np.flatnonzero(terminated | truncated):
            self._finished.append((float(self._return[i]), int(self._length[i]), bool(terminated[i])))
            self._return[i], self._length[i] = 0.0, 0
            self.count += 1

    def state_dict(self) -> dict[str, Any]:
        """Return copies of the sums of the running episodes and of the window of finished ones."""
        returns, lengths, terminated = zip(*self._finished, strict=True) if self._finished else ((), (), ())
        return {
            "return": self._return.copy(),
            "length": self._length.copy(),
            "finished": {
                "return": np.array(returns, np.float64),
                "length": np.array(lengths, np.int64),
                "terminated": np.array(terminated, np.bool_),
            },
            "count": self.count,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``. Raises UsageError when it is of another number of environments."""
        saved, mine = len(state["return"]), len(self._return)
        if saved != mine:
            raise UsageError(
                f"The saved episode statistics are of {saved} environments and these are of {mine}. "
                f"Go on with {saved} environments, or start over."
            )
        self._return[:], self._length[:] = state["return"], state["length"]
        finished = state["finished"]
        parts = (finished["return"].tolist(), finished["length"].tolist(), finished["terminated"].tolist())
        self._finished.clear()
        self._finished.extend(zip(*parts, strict=True))
        self.count = state["count"]

    def summary(self) -> dict[str, float]:
        """Return ``episode_reward``, ``episode_length`` (policy steps) and ``fall_share``; empty before one ended."""
        if not self._finished:
            return {}
        returns, lengths, falls = zip(*self._finished, strict=True)
        return {
            "episode_reward": float(np.mean(returns)),
            "episode_length": float(np.mean(lengths)),
            "fall_share": float(np.mean(falls)),
        }
