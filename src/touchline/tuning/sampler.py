"""Suggestions that were never evaluated before, from Optuna's samplers with a seed that no two openings share."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from touchline.errors import TouchlineError, unknown
from touchline.tuning.space import Space, distributions

NAMES = ("tpe", "random")
DRAWS = 200
"""Attempts at a new point before those that are left are counted; half of them are the sampler's own."""

Point = tuple[tuple[str, Any], ...]


class SpaceExhausted(TouchlineError):
    """Every point of the space has a trial."""


def seed_of(study: str, opening: int) -> int:
    """Seed of the sampler of a study's ``opening``-th process, from 1: 32 bits of a sha256."""
    digest = hashlib.sha256(f"{study}\0{opening}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def named(name: str, seed: int) -> BaseSampler:
    """The sampler called ``name``; raises UsageError with the nearest name."""
    if name == "tpe":
        # Those that run count as bad where they are, so that workers do not crowd at one point.
        return TPESampler(multivariate=True, constant_liar=True, seed=seed)
    if name == "random":
        return RandomSampler(seed=seed)
    raise unknown("sampler", name, NAMES)


def point_of(trial: FrozenTrial) -> Point:
    """The values of a trial as something to compare; also of one that is queued with fixed values."""
    return _point({**trial.system_attrs.get("fixed_params", {}), **trial.params})


def points_left(space: Space, trials: Iterable[FrozenTrial]) -> int | None:
    """How many points of the space have no trial; None where real numbers make them countless."""
    every = {name: range_.every for name, range_ in space.items()}
    if any(values is None for values in every.values()):
        return None
    known = {point_of(trial) for trial in trials}
    inside = [point for point in known if len(point) == len(every) and all(v in (every[n] or ()) for n, v in point)]
    return math.prod(len(values or ()) for values in every.values()) - len(inside)


def _point(values: Mapping[str, Any]) -> Point:
    return tuple(sorted(values.items()))


class NewPoints(BaseSampler):
    """Draws from another sampler until the point is none that the study has, whatever became of that one.

    The space does not change with the trial, so that all its values are drawn together, also at the beginning.
    """

    def __init__(self, inner: BaseSampler, space: Space, seed: int) -> None:
        self._inner, self._space = inner, distributions(space)
        self._every = {name: range_.every for name, range_ in space.items()}
        self._generator = np.random.default_rng([seed, 2])
        self._uniform = RandomSampler(seed=np.random.SeedSequence([seed, 1]).generate_state(1)[0])

    def reseed_rng(self) -> None:
        """Another seed for a thread that shares this sampler."""
        self._inner.reseed_rng()
        self._uniform.reseed_rng()

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole space."""
        return dict(self._space)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """All values of one new point. Raises SpaceExhausted when there is none left."""
        fixed = trial.system_attrs.get("fixed_params", {})
        known = {point_of(other) for other in study.get_trials(deepcopy=False) if other.number != trial.number}
        for draw in range(DRAWS):
            values = self._draw(study, trial, self._inner if draw < DRAWS // 2 else self._uniform)
            if _point({**values, **fixed}) not in known:
                return values
        left = [values for values in self._all() if _point({**values, **fixed}) not in known]
        if not left:
            raise SpaceExhausted(f"{DRAWS} draws for the study {study.study_name} gave no point that is new.")
        return left[int(self._generator.integers(len(left)))]

    def _all(self) -> Iterator[dict[str, Any]]:
        """Every point, where they can be counted: they are few where so many draws are in vain."""
        if all(values is not None for values in self._every.values()):
            for values in itertools.product(*(values or () for values in self._every.values())):
                yield dict(zip(self._every, values, strict=True))

    def _draw(self, study: optuna.Study, trial: FrozenTrial, sampler: BaseSampler) -> dict[str, Any]:
        together = sampler.infer_relative_search_space(study, trial)
        space = {name: known for name, known in self._space.items() if together.get(name) == known}
        values = dict(sampler.sample_relative(study, trial, space)) if space else {}
        for name, distribution in self._space.items():
            if name not in values:
                values[name] = sampler.sample_independent(study, trial, name, distribution)
        return values

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A value of what is no part of the space."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Tell the other sampler."""
        self._inner.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Tell the other sampler."""
        self._inner.after_trial(study, trial, state, values)
