"""A scenario: everything about an official episode that is not the policy, as data that replays it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from touchline.errors import UsageError
from touchline.simulation import scenario as simulation
from touchline.soccer.perturbation import NONE, Perturbation
from touchline.soccer.tasks import TASKS, task_named


@dataclass(frozen=True)
class Scenario(simulation.Scenario):
    """One official episode: ``env.reset(options={"scenario": scenario})`` starts it, for any policy alike.

    Start, pushes and observation noise are drawn from the seed, by physics step and by observation, so they are
    the same bit for bit whatever the policy does. Raises UsageError for an unknown task.
    """

    perturbation: Perturbation = NONE
    """What is added to the official episode."""

    def __post_init__(self) -> None:
        task_named(self.task)
        if not isinstance(self.seed, int) or self.seed < 0:
            raise UsageError(f"Scenario.seed is {self.seed!r}. Give a whole number of at least 0.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        perturbation = {name: type(getattr(NONE, name))(value) for name, value in asdict(self.perturbation).items()}
        return {"task": self.task, "seed": self.seed, "perturbation": perturbation}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scenario:
        """Inverse of ``to_dict``, also after a round trip through JSON; a ``digest`` beside it does not matter."""
        return cls(data["task"], data["seed"], Perturbation(**data["perturbation"]))


def scenarios(seeds: Iterable[int], perturbation: Perturbation = NONE) -> tuple[Scenario, ...]:
    """Return the scenarios of every task with every seed, task by task."""
    seeds = tuple(seeds)
    return tuple(Scenario(task, seed, perturbation) for task in TASKS for seed in seeds)
