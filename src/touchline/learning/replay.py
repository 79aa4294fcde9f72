"""A ring buffer of transitions in NumPy, for learners that sample on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from touchline.errors import UsageError

Array = NDArray[np.float32]


class Transitions(NamedTuple):
    """A batch of transitions, float32."""

    observation: Array
    """Shape (b, n)."""
    action: Array
    """Shape (b, m)."""
    reward: Array
    """Shape (b,)."""
    next_observation: Array
    """Shape (b, n); the final observation where an episode ended."""
    terminated: Array
    """Shape (b,); 1.0 for a true end, 0.0 for a time-out."""


class ReplayBuffer:
    """Keeps the newest ``capacity`` transitions."""

    def __init__(self, capacity: int, observation_size: int, action_size: int) -> None:
        self.capacity = capacity
        self._store = Transitions(
            np.zeros((capacity, observation_size), np.float32),
            np.zeros((capacity, action_size), np.float32),
            np.zeros(capacity, np.float32),
            np.zeros((capacity, observation_size), np.float32),
            np.zeros(capacity, np.float32),
        )
        self._next = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, batch: Transitions) -> None:
        """Append a batch, overwriting the oldest transitions when full."""
        count = len(batch.reward)
        where = (self._next + np.arange(count)) % self.capacity
        for part, new in zip(self._store, batch, strict=True):
            part[where] = new
        self._next = int((self._next + count) % self.capacity)
        self._size = min(self._size + count, self.capacity)

    def sample(self, rng: np.random.Generator, size: int) -> Transitions:
        """Return ``size`` transitions drawn uniformly with replacement."""
        where: NDArray[Any] = rng.integers(0, self._size, size)
        return Transitions(*(part[where] for part in self._store))

    def state_dict(self) -> dict[str, Any]:
        """Return the filled rows as views, which the next ``add`` changes, and the row that it writes first."""
        filled = {name: part[: self._size] for name, part in self._store._asdict().items()}
        return {"capacity": self.capacity, "next": self._next, "transitions": filled}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict()`` returned, into the arrays that are there.

        Raises UsageError when it is of another capacity or of other sizes.
        """
        saved = _told(state["capacity"], state["transitions"])
        mine = _told(self.capacity, self._store._asdict())
        if saved != mine:
            raise UsageError(
                f"The saved replay buffer holds {saved}, and this one {mine}. Go on with the configuration it was "
                "saved with, or start over."
            )
        self._next, self._size = state["next"], len(state["transitions"]["reward"])
        for name, part in self._store._asdict().items():
            part[: self._size] = state["transitions"][name]


def _told(capacity: int, transitions: Mapping[str, Array]) -> str:
    observations, actions = transitions["observation"].shape[1], transitions["action"].shape[1]
    return f"{capacity:,} transitions of {observations} observations and {actions} actions"
