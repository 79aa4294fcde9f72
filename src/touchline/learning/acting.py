"""What a practitioner watches of a deterministic policy that explores: its actions, its values, how episodes end."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from touchline.errors import UsageError

SATURATED = 0.95
"""An action of this size or more is at the end of its range."""
_MEMORY = 0.99
"""Share of the running means of actions that stays at each vector step: they look 100 back."""


class _Finished(NamedTuple):
    """One episode that has ended."""

    value: float
    """What the critic made of its first transition, of the dense reward."""
    returned: float
    """The discounted sum of dense rewards that followed."""
    score_value: float
    score_returned: float
    score: float
    truncated: bool
    outcome: str


class ActingStatistics:
    """Running means of a policy's actions, and of the episodes that it finished last.

    What the critic expected at the start of an episode is compared with what came, discounted alike: a critic that
    overestimates shows here first. What a time-out cut off is missing from the dense sum.
    """

    def __init__(self, num_envs: int, action_size: int, gammas: tuple[float, float], window: int = 100) -> None:
        """``gammas`` are the discounts of the dense reward and of the score."""
        self._gammas = gammas
        self.begins = np.ones(num_envs, np.bool_)
        """Where the next transition is an episode's first."""
        self._previous = np.zeros((num_envs, action_size), np.float32)
        self._saturation = self._rate = 0.0
        self._seen = 0
        self._value = np.zeros((num_envs, 2))
        self._returned = np.zeros((num_envs, 2))
        self._weight = np.ones((num_envs, 2))
        self._finished: deque[_Finished] = deque(maxlen=window)
        self._of_episodes: dict[str, float] = {}

    def acted(self, action: NDArray[np.float32], values: NDArray[np.float32]) -> None:
        """Take deterministic actions (n, m), and the values of both rewards where an episode ``begins``, (k, 2)."""
        keep = min(_MEMORY, self._seen / (self._seen + 1))
        self._seen += 1
        self._saturation += (1 - keep) * (float((np.abs(action) >= SATURATED).mean()) - self._saturation)
        going_on = ~self.begins
        if going_on.any():
            moved = float(np.abs(action[going_on] - self._previous[going_on]).mean())
            self._rate += (1 - keep) * (moved - self._rate)
        self._previous[:] = action
        self._value[self.begins], self._returned[self.begins], self._weight[self.begins] = values, 0.0, 1.0

    def ended(
        self,
        reward: NDArray[Any],
        score: NDArray[Any],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        info: Mapping[str, Any],
    ) -> None:
        """Take what the environments answered to those actions, arrays of shape (n,)."""
        self._returned += self._weight * np.stack([reward, score], axis=-1)
        self._weight *= self._gammas
        self.begins = terminated | truncated
        outcomes = info.get("final_info", {}).get("outcome")
        for i in np.flatnonzero(self.begins):
            outcome = "" if outcomes is None else str(outcomes[i])
            (value, score_value), (returned, score_returned) = self._value[i].tolist(), self._returned[i].tolist()
            told = _Finished(
                value, returned, score_value, score_returned, float(score[i]), bool(truncated[i]), outcome
            )
            self._finished.append(told)
        if self.begins.any():
            self._of_episodes = _means(self._finished)

    def summary(self) -> dict[str, float]:
        """Return the figures by name; those of episodes are missing before one has ended.

        ``action_saturation`` is the share of actions at the end of their range, ``action_rate`` how far an action is
        from the one before it. ``start_value`` and ``realised_return`` belong together, as do ``start_score_value``
        and ``realised_score``. ``outcome/…`` are shares of episodes by what ended them.
        """
        return {"action_saturation": self._saturation, "action_rate": self._rate, **self._of_episodes}

    def state_dict(self) -> dict[str, Any]:
        """Return copies of everything."""
        return {
            "begins": self.begins.copy(),
            "previous": self._previous.copy(),
            "means": [self._saturation, self._rate, self._seen],
            "value": self._value.copy(),
            "returned": self._returned.copy(),
            "weight": self._weight.copy(),
            "finished": [list(one) for one in self._finished],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``. Raises UsageError when it is of another number of environments."""
        if len(state["begins"]) != len(self.begins):
            raise UsageError(
                f"The saved statistics are of {len(state['begins'])} environments and these are of "
                f"{len(self.begins)}. Go on with {len(state['begins'])} environments, or start over."
            )
        self.begins[:], self._previous[:] = state["begins"], state["previous"]
        self._saturation, self._rate, self._seen = state["means"]
        self._value[:], self._returned[:], self._weight[:] = state["value"], state["returned"], state["weight"]
        self._finished.clear()
        self._finished.extend(_Finished(*one) for one in state["finished"])
        self._of_episodes = _means(self._finished)


def _means(finished: Collection[_Finished]) -> dict[str, float]:
    if not finished:
        return {}
    names = (
        "start_value",
        "realised_return",
        "start_score_value",
        "realised_score",
        "episode_score",
        "time_out_share",
    )
    figures = dict(zip(names, np.mean([one[:6] for one in finished], axis=0).tolist(), strict=True))
    counts = Counter(one.outcome for one in finished if one.outcome)
    return figures | {f"outcome/{word.replace(' ', '_')}": n / len(finished) for word, n in counts.items()}
