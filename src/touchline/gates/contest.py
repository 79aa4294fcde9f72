"""What gate 3 is given: everybody's episodes on the same scenarios, and which attempt of the reign this is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from touchline.errors import UsageError
from touchline.gates.attempts import error_of_attempt
from touchline.gates.statistics import Scores, differences

FULL_SCENARIOS = 200
"""Scenarios a task from which a verdict is final."""
MARGIN = 0.05
"""By how much a challenger must be better on average over tasks, and may be worse on one of them."""


@dataclass(frozen=True)
class Evaluation:
    """One policy's episodes; index i of a task is the same scenario for every policy."""

    name: str
    """What a reader should call it: ``version 3``, ``stand still``."""
    scores: Scores
    """Task → the score of each episode (in soccer the competition's), shape (n,)."""
    returns: Scores = field(default_factory=dict)
    """Task → sum of the environment's dense rewards, shape (n,)."""
    survival: Scores = field(default_factory=dict)
    """Task → physics steps until the episode ended, shape (n,)."""
    falls: Mapping[str, tuple[bool, ...]] = field(default_factory=dict)
    """Task → whether the robot fell in each episode."""
    scenarios: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Task → digest of the scenario of each episode."""
    nominal: Scores = field(default_factory=dict)
    """Task → scores of the environment's own, unperturbed episodes, of which all may be the same one."""


@dataclass(frozen=True)
class Contest:
    """A candidate, whom it has to beat, and with how much error.

    Raises UsageError where scores cannot be paired, or where a scenario was played twice.
    """

    candidate: Evaluation
    baseline: Evaluation
    """The policy that does nothing: the first champion must beat it."""
    champion: Evaluation | None = None
    """Whom a challenger must beat; None when there is no champion yet."""
    others: tuple[Evaluation, ...] = ()
    """Policies that the candidate is compared with and need not beat."""
    attempt: int = 1
    """Which attempt of the reign this is, from 1."""
    margin: float = MARGIN
    full_scenarios: int = FULL_SCENARIOS

    def __post_init__(self) -> None:
        error_of_attempt(self.attempt)
        if not self.margin >= 0.0:
            raise UsageError(f"The margin is {self.margin}. Give at least 0.")
        for other in (self.baseline, *([self.champion] if self.champion else []), *self.others):
            differences(self.candidate.scores, other.scores)
            for task in sorted(self.candidate.scores):
                if tuple(self.candidate.scenarios.get(task, ())) != tuple(other.scenarios.get(task, ())):
                    raise UsageError(
                        f"{self.candidate.name} and {other.name} were evaluated on different scenarios of task "
                        f"{task!r}, so their scores cannot be paired. Evaluate both on the same ones, in one order."
                    )
        for player in self.players:
            _refuse_what_does_not_fit(player)
        for task, digests in self.candidate.scenarios.items():
            copies = len(digests) - len(set(digests))
            if copies:
                raise UsageError(
                    f"{copies} of the {len(digests)} scenarios of task {task!r} are copies of another one, and a "
                    "copy tells nothing new. Draw distinct ones."
                )

    @property
    def players(self) -> Iterator[Evaluation]:
        """Everybody, the candidate first."""
        yield self.candidate
        if self.champion is not None:
            yield self.champion
        yield self.baseline
        yield from self.others

    @property
    def opponent(self) -> Evaluation:
        """Whom the candidate has to beat."""
        return self.champion or self.baseline

    @property
    def error(self) -> float:
        """The error probability that this attempt may spend."""
        return error_of_attempt(self.attempt)

    @cached_property
    def paired(self) -> dict[str, NDArray[np.float64]]:
        """Task → score of the candidate minus the opponent's, scenario by scenario; tasks in alphabetical order."""
        return differences(self.candidate.scores, self.opponent.scores)

    @property
    def scenarios(self) -> dict[str, int]:
        """Task → how many scenarios were played."""
        return {task: difference.size for task, difference in self.paired.items()}

    @property
    def provisional(self) -> bool:
        """Whether there were too few scenarios of some task for a final word."""
        return min(self.scenarios.values()) < self.full_scenarios


def _refuse_what_does_not_fit(player: Evaluation) -> None:
    columns = {
        "returns": player.returns,
        "survival": player.survival,
        "falls": player.falls,
        "scenarios": player.scenarios,
    }
    sizes = {task: np.size(scores) for task, scores in player.scores.items()}
    for name, column in columns.items():
        found = {task: np.size(values) for task, values in column.items()}
        if found and found != sizes:
            raise UsageError(
                f"{player.name} has {name} of {found} and scores of {sizes} episodes. Give one value an episode of "
                "every task, or none at all."
            )
