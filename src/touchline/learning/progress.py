"""What a training loop yields once a vector step, and the episode statistics behind it."""

from __future__ import annotations

import math
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
    """Named reward terms of this step, when the environments tell them: one number for each that has the term."""
    state: State
    """The learner's state."""
    loop: Any = None
    """Everything the loop needs to go on after this step, a NamedTuple: what a checkpoint saves.

    It holds no copies but the loop's own memory, and the next step changes that or hands it to the device, so read
    it before asking for the next ``Progress``. The updates that it holds may still be under way, their losses unread:
    ``refuse_non_finite`` waits for them, the training itself refuses them one step later. None where a loop cannot be
    restored.
    """


def refuse_non_finite(metrics: Mapping[str, Any], step: int) -> None:
    """Raise FloatingPointError where a loss of a ``Progress`` is not finite: saving its learner is no use.

    ``metrics`` and ``step`` are the ``Progress``'s. Waits for updates that are still under way.
    """
    for name, value in metrics.items():
        if name.endswith("_loss") and not math.isfinite(value):
            raise FloatingPointError(
                f"{name} became {float(value)} at policy transition {step}. "
                "Lower the learning rates or check the rewards."
            )


class EpisodeStatistics:
    """What the episodes of a vector environment came to, over a window of finished ones."""

    def __init__(self, num_envs: int, window: int | None = None, *, gamma: float | None = None) -> None:
        """``window`` episodes count, those that ended last; by default 100, or as many as there are environments.

        ``gamma`` is that of a learner whose critic ``realised_return`` is to be held against.
        """
        self._window = window or max(100, num_envs)
        self._gamma = gamma
        self._sums = {name: np.zeros(num_envs) for name in _SUMMED}
        self._discount = np.ones(num_envs)
        self._before: NDArray[Any] | None = None
        self._begins = np.ones(num_envs, dtype=np.bool_)
        self._finished: dict[str, NDArray[np.float64]] = {}
        self._shares = {"fall", "time_out"}
        self._tasks: list[str] = []
        self.count = 0

    def add(
        self,
        reward: NDArray[Any],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        info: Mapping[str, Any] | None = None,
        action: NDArray[Any] | None = None,
        valid: NDArray[np.bool_] | None = None,
    ) -> None:
        """Take one vector step: arrays of shape (num_envs,), actions of shape (num_envs, m).

        Where an episode ended, ``info["final_info"]`` may tell its ``task`` and its ``outcomes``. ``valid`` is False
        where the step did nothing but begin an episode, which then is no step of it.
        """
        sums = self._sums
        counted = np.ones(len(reward), dtype=np.bool_) if valid is None else valid
        sums["return"] += reward * counted
        sums["length"] += counted
        if self._gamma is not None:
            # Summed over the episode, what every transition's return-to-go has of this reward.
            self._discount[counted] *= self._gamma
            sums["realised"] += reward * counted * (1.0 - self._discount)
        if action is not None:
            if self._before is None:
                self._before = np.array(action)
            if (begins := self._begins & counted).any():
                self._before[begins] = action[begins]
                self._begins &= ~begins
            # A product with a vector is many times as fast as NumPy's mean over short rows.
            mean = np.full(action.shape[1], 1 / action.shape[1], dtype=np.float32)
            sums["saturation"] += counted * ((np.abs(action) > SATURATED) @ mean)
            sums["rate"] += counted * (np.abs(action - self._before) @ mean)
            np.copyto(self._before, action)
        if (ended := terminated | truncated).any():
            self._finish(np.flatnonzero(ended)[-self._window :], terminated, info or {}, acted=action is not None)
            for each in sums.values():
                each[ended] = 0.0
            self._discount[ended], self._begins[ended] = 1.0, True

    def _finish(
        self, which: NDArray[np.int64], terminated: NDArray[np.bool_], info: Mapping[str, Any], *, acted: bool
    ) -> None:
        """Take the episodes ``which`` into the window."""
        sums = {name: each[which] for name, each in self._sums.items()}
        length, final = sums["length"], info.get("final_info")
        if not isinstance(final, Mapping):
            final = {}
        row: dict[str, NDArray[Any]] = {"return": sums["return"], "length": length, "fall": terminated[which]}
        row["time_out"] = ~terminated[which]
        if self._gamma is not None:
            row["realised"] = sums["realised"] / (length * (1.0 - self._gamma))
        if acted:
            row["saturation"], row["rate"] = sums["saturation"] / length, sums["rate"] / np.maximum(length - 1, 1)
        score: Any = final.get("score")
        task = final.get("task")
        for name, (values, having) in _told_of_each(final.get("outcomes"), len(terminated)).items():
            if name in (*_SUMMED, "score", "task"):  # summed here, or told beside the outcomes
                continue
            if values.dtype == np.bool_:
                self._shares.add(name)
            row[name] = np.where(having, values, np.nan)[which]
        if _is_of_each(score, len(terminated)):
            row["score"] = score[which]
        if task is not None and np.shape(task) == np.shape(terminated):
            names = [str(name) for name in np.asarray(task)[which]]
            self._tasks += sorted(set(names) - set(self._tasks))
            row["task"] = np.array([self._tasks.index(name) for name in names])
        places = (self.count + np.arange(len(which))) % self._window
        for name in row:
            if name not in self._finished:
                self._finished[name] = np.full(self._window, np.nan)
        for name, column in self._finished.items():
            column[places] = row.get(name, np.nan)
        self.count += len(which)

    def summary(self) -> dict[str, float]:
        """Return the means over the window; empty before an episode ended.

        ``episode_reward``, ``episode_length`` (policy steps), ``fall_share``, ``time_out_share``, ``episode_score``
        where the environments tell one, and the world's outcomes, truths as ``touch_share``, numbers as ``distance``.
        Where actions were given, ``episode_saturation`` (share of their numbers beyond ± 0.95) and
        ``episode_action_rate`` (mean absolute change in a policy step).
        With a ``gamma``, ``realised_return``: the discounted reward that followed a transition, mean over
        the transitions of an episode; what lies behind its end counts nothing, so time-outs make it smaller than the
        critic's.
        """
        return self._means(slice(min(self.count, self._window)), own=True)

    def by_task(self) -> dict[str, dict[str, float]]:
        """Return the summary of each task's episodes in the window, without what is about actions and the critic."""
        tasks = self._finished.get("task", np.empty(0))
        found = {name: np.flatnonzero(tasks == i) for i, name in enumerate(self._tasks)}
        return {name: self._means(which, own=False) for name, which in found.items() if len(which)}

    def _means(self, which: Any, *, own: bool) -> dict[str, float]:
        if not self.count:
            return {}
        found = {}
        for name, column in self._finished.items():
            values = column[which]
            values = values[~np.isnan(values)]
            if name != "task" and len(values) and (own or name not in _OF_THE_LEARNER):
                found[_NAMES.get(name, f"{name}_share" if name in self._shares else name)] = float(values.mean())
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return copies of the sums of the running episodes and of the window of finished ones."""
        return {
            "sums": {name: each.copy() for name, each in self._sums.items()},
            "discount": self._discount.copy(),
            "before": None if self._before is None else self._before.copy(),
            "begins": self._begins.copy(),
            "finished": {name: column.copy() for name, column in self._finished.items()},
            "shares": sorted(self._shares),
            "tasks": list(self._tasks),
            "count": self.count,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``. Raises UsageError when it is of another number of environments."""
        saved, mine = len(state["discount"]), len(self._discount)
        if saved != mine:
            raise UsageError(
                f"The saved episode statistics are of {saved} environments and these are of {mine}. "
                f"Go on with {saved} environments, or start over."
            )
        self._sums = {name: np.array(each) for name, each in state["sums"].items()}
        self._discount, self._begins = np.array(state["discount"]), np.array(state["begins"])
        self._before = None if state["before"] is None else np.array(state["before"])
        self._finished = {name: np.array(column) for name, column in state["finished"].items()}
        self._shares, self._tasks, self.count = set(state["shares"]), list(state["tasks"]), state["count"]


_SUMMED = ("return", "length", "realised", "saturation", "rate")
_NAMES = {
    "return": "episode_reward",
    "score": "episode_score",
    "length": "episode_length",
    "realised": "realised_return",
    "saturation": "episode_saturation",
    "rate": "episode_action_rate",
}
_OF_THE_LEARNER = ("realised", "saturation", "rate")
SATURATED = 0.95
"""An action in [-1, 1] beyond ± this is saturated."""


def against_stochastic(deterministic: float, episodes: EpisodeStatistics) -> dict[str, float]:
    """Return how a deterministic policy's return compares with that of the training episodes, which explore.

    ``deterministic_minus_stochastic``, and ``deterministic_over_stochastic`` where both are positive; empty before an
    episode ended.
    """
    stochastic = episodes.summary().get("episode_reward")
    if stochastic is None:
        return {}
    found = {"deterministic_minus_stochastic": deterministic - stochastic}
    if deterministic > 0 and stochastic > 0:
        found["deterministic_over_stochastic"] = deterministic / stochastic
    return found


def reward_terms(info: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the named reward terms in a vector step's ``info``, of those environments that have them.

    They are a world's ``terms`` or the official ``reward_terms``; Gymnasium says who has one in a mask ``_NAME``.
    What anyone else's environment keeps under these names and is no number of each is left out.
    """
    for given in ("terms", "reward_terms"):
        if found := _told_of_each(info.get(given)):
            return {name: values[having] for name, (values, having) in found.items()}
    return {}


def _told_of_each(told: Any, num_envs: int | None = None) -> dict[str, tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Return name → numbers of each environment, shape (num_envs,), and which of them have one."""
    if not isinstance(told, Mapping):
        return {}
    named = {n: v for n, v in told.items() if not str(n).startswith("_") and _is_of_each(v, num_envs)}
    return {name: (v, told.get(f"_{name}", np.ones(len(v), np.bool_))) for name, v in named.items()}


def _is_of_each(values: Any, num_envs: int | None) -> bool:
    """Whether these are numbers or truths, one of each environment, as many as there are where that is known."""
    is_row = isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "biuf"
    return is_row and num_envs in (None, len(values))
