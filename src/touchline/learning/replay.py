"""A ring buffer of transitions in NumPy, for learners that sample on the host.

The dense reward comes with each transition; the score of an episode is credited to all of them when it ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from touchline.errors import UsageError

Array = TypeVar("Array")
Rows = NDArray[np.float32]


class Transitions(NamedTuple, Generic[Array]):
    """Transitions, float32: arrays of NumPy or tensors, of any leading shape."""

    observation: Array
    """Shape (..., n)."""
    action: Array
    """Shape (..., m)."""
    next_observation: Array
    """Shape (..., n); the final observation where an episode ended."""
    reward: Array
    """Shape (...); the dense reward."""
    score: Array
    """Shape (...); what of the score is still to come, discounted: known once the episode has ended, 0 before."""
    terminated: Array
    """Shape (...); 1.0 for a true end, 0.0 for a time-out: the dense reward would have gone on."""
    ended: Array
    """Shape (...); 1.0 where ``score`` is known, in every transition of an episode that has ended in any way."""


class ReplayBuffer:
    """Keeps the newest ``capacity`` transitions, each in one row, so that a batch is gathered in one go."""

    def __init__(self, capacity: int, observation_size: int, action_size: int) -> None:
        self.capacity = capacity
        self._sizes = (observation_size, action_size)
        self._rows: Rows = np.zeros((capacity, 2 * observation_size + action_size + 4), np.float32)
        self._next = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, batch: Transitions[Rows]) -> None:
        """Append a batch, arrays of shape (b, ...), overwriting the oldest transitions when full."""
        count = len(batch.reward)
        where = (self._next + np.arange(count)) % self.capacity
        self._rows[where] = np.column_stack(batch)
        self._next = int((self._next + count) % self.capacity)
        self._size = min(self._size + count, self.capacity)

    def settle(self, environment: int, num_envs: int, length: int, score: float, discount: float) -> None:
        """Credit the newest ``length`` transitions of an environment with the score that their episode came to.

        Every batch since has had one transition of each of ``num_envs`` environments, in their order. The score
        counts ``discount`` times less with each step away from the end; all of these transitions count as ``ended``.
        """
        kept = min(length, (self._size + environment) // num_envs)
        back = np.arange(kept)
        rows = self._rows[:, -4:]
        where = (self._next + environment - (back + 1) * num_envs) % self.capacity
        rows[where, 1] = score * discount**back
        rows[where, 3] = 1.0

    def sample(self, rng: np.random.Generator, *shape: int) -> Rows:
        """Return transitions drawn uniformly with replacement, a row each, shape (*shape, k); see ``split``."""
        where: NDArray[Any] = rng.integers(0, self._size, shape)
        return self._rows.take(where, axis=0)

    def split(self, rows: Any) -> Transitions[Any]:
        """Return the parts of rows, shape (..., k), as views; ``rows`` may be an array or a tensor."""
        n, m = self._sizes
        tail = 2 * n + m
        return Transitions(
            rows[..., :n],
            rows[..., n : n + m],
            rows[..., n + m : tail],
            *(rows[..., tail + i] for i in range(4)),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the filled rows as a view, which the next ``add`` changes, and the row that it writes first."""
        return {"capacity": self.capacity, "sizes": self._sizes, "next": self._next, "rows": self._rows[: self._size]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict()`` returned, into the array that is there.

        Raises UsageError when it is of another capacity or of other sizes.
        """
        saved, mine = _told(state["capacity"], *state["sizes"]), _told(self.capacity, *self._sizes)
        if saved != mine:
            raise UsageError(
                f"The saved replay buffer holds {saved}, and this one {mine}. Go on with the configuration it was "
                "saved with, or start over."
            )
        self._next, self._size = state["next"], len(state["rows"])
        self._rows[: self._size] = state["rows"]


def _told(capacity: int, observations: int, actions: int) -> str:
    return f"{capacity:,} transitions of {observations} observations and {actions} actions"
