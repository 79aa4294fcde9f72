"""Gate 3: whether a candidate may become champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from touchline.errors import UsageError
from touchline.gates.statistics import Interval, Scores, differences, paired_bootstrap

FULL_PAIRS = 200
"""Scenarios a task from which a verdict is final: enough to see "falls 10 % vs 20 %" in 92 of 100 gates."""
MINIMUM_SURVIVAL = 100.0
MINIMUM_RETURN = -100.0
MAXIMUM_SPREAD = 2.0
NEGLIGIBLE = 1e-3
"""A difference of scores that nobody needs to be told of."""


@dataclass(frozen=True)
class Evaluation:
    """One policy's episodes; index i of a task is the same scenario for every policy."""

    name: str
    """What a reader should call it: ``version 3``, ``stand still``."""
    scores: Scores
    """Task → the competition's score of each episode, shape (n,)."""
    returns: Scores = field(default_factory=dict)
    """Task → sum of the environment's dense rewards, shape (n,)."""
    survival: Scores = field(default_factory=dict)
    """Task → physics steps (2 ms) until the episode ended, shape (n,)."""
    seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Task → the scenario of each episode."""


@dataclass(frozen=True)
class Check:
    """One named condition."""

    name: str
    passed: bool
    required: bool
    """Whether the verdict depends on it; else it is only reported."""
    value: float
    sentence: str
    """What was found, for a person."""
    interval: Interval | None = None


@dataclass(frozen=True)
class Verdict:
    """The decision and all that it rests on."""

    passed: bool
    provisional: bool
    """Too few scenarios, or scenarios without variance, for a final word."""
    reason: str
    """One or two sentences for a person."""
    checks: tuple[Check, ...]
    pairs: Mapping[str, int]
    """Scenarios a task."""
    opponent: str
    """Whom the candidate had to beat."""
    worse_than_standing: tuple[str, ...] = ()
    """Tasks on which standing still scores higher on average."""
    confidence: float = 0.95
    seed: int = 0
    """Seed of the bootstrap."""

    def check(self, name: str) -> Check:
        """Return the check of this name; raises KeyError when there is none."""
        return {check.name: check for check in self.checks}[name]


def gate3(
    candidate: Evaluation,
    champion: Evaluation | None,
    untrained: Evaluation,
    stand_still: Evaluation | None = None,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    full_pairs: int = FULL_PAIRS,
) -> Verdict:
    """Judge the candidate on the competition's score, paired scenario by scenario.

    It must beat the champion, or the untrained policy where there is no champion: the lower bound of the mean
    difference over tasks must be above 0. Mean survival and mean return must pass the specification's thresholds
    where they were recorded. Standing still is compared with but not required to be beaten. Raises UsageError
    when evaluations cannot be paired.
    """
    opponent = champion or untrained
    _same_scenarios(candidate, *(other for other in (champion, untrained, stand_still) if other is not None))
    against = differences(candidate.scores, opponent.scores)
    decisive = _better(f"better than {opponent.name}", against, opponent, confidence, seed, required=True)
    checks = [decisive]
    if champion is not None:
        paired = differences(candidate.scores, untrained.scores)
        checks.append(_better(f"better than {untrained.name}", paired, untrained, confidence, seed))
    worse: tuple[str, ...] = ()
    behind: dict[str, float] = {}
    if stand_still is not None:
        paired = differences(candidate.scores, stand_still.scores)
        checks.append(_better(f"better than {stand_still.name}", paired, stand_still, confidence, seed))
        behind = {task: -float(difference.mean()) for task, difference in paired.items()}
        worse = tuple(task for task, gap in behind.items() if gap > NEGLIGIBLE)
    checks += _of_the_specification(candidate)
    pairs = {task: difference.size for task, difference in against.items()}
    copies = decisive.interval is not None and decisive.interval.method == "point"
    provisional = copies or min(pairs.values()) < full_pairs
    passed = all(check.passed for check in checks if check.required)
    reason = _reason(passed, provisional, copies, champion is None, checks, pairs, full_pairs)
    if worse and stand_still is not None:
        gaps = ", ".join(f"{task} (by {behind[task]:.3g})" for task in worse)
        reason += f" {stand_still.name.capitalize()} scores higher on {gaps}."
    return Verdict(
        passed, provisional, reason, tuple(checks), pairs, opponent.name, worse, confidence=confidence, seed=seed
    )


def _same_scenarios(candidate: Evaluation, *others: Evaluation) -> None:
    for other in others:
        for task in sorted(set(candidate.seeds) & set(other.seeds)):
            if tuple(candidate.seeds[task]) != tuple(other.seeds[task]):
                raise UsageError(
                    f"{candidate.name} and {other.name} were evaluated on different scenarios of task {task!r}, so "
                    "their scores cannot be paired. Evaluate both with the same seeds in the same order."
                )


def _better(
    name: str,
    paired: Scores,
    opponent: Evaluation,
    confidence: float,
    seed: int,
    required: bool = False,
) -> Check:
    interval = paired_bootstrap(paired, confidence, seed)
    sentence = (
        f"its score minus that of {opponent.name} is {interval.mean:+.3f} on average over tasks, "
        f"with {confidence:.0%} confidence above {interval.low:+.3f}"
    )
    return Check(name, interval.low > 0.0, required, interval.mean, sentence, interval)


def _of_the_specification(candidate: Evaluation) -> list[Check]:
    checks = []
    if candidate.survival:
        mean = float(np.mean(_pooled(candidate.survival)))
        sentence = f"it stays up {mean:,.0f} physics steps on average; more than {MINIMUM_SURVIVAL:,.0f} are wanted"
        checks.append(Check("mean survival", mean > MINIMUM_SURVIVAL, True, mean, sentence))
    if candidate.returns:
        returns = _pooled(candidate.returns)
        mean, std = float(returns.mean()), float(returns.std())
        sentence = f"its dense return is {mean:,.1f} on average; more than {MINIMUM_RETURN:,.0f} is wanted"
        checks.append(Check("mean return", mean > MINIMUM_RETURN, True, mean, sentence))
        sentence = (
            f"its dense return spreads by {std:,.1f}, wanted below {MAXIMUM_SPREAD:.0f} × |mean| = "
            f"{MAXIMUM_SPREAD * abs(mean):,.1f}; a rule that misbehaves near a mean of 0, so it is only reported"
        )
        checks.append(Check("spread of returns", std < MAXIMUM_SPREAD * abs(mean), False, std, sentence))
    return checks


def _pooled(values: Scores) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.concatenate([np.asarray(values[task], dtype=np.float64) for task in sorted(values)])


def _reason(
    passed: bool,
    provisional: bool,
    copies: bool,
    first: bool,
    checks: list[Check],
    pairs: Mapping[str, int],
    full_pairs: int,
) -> str:
    failed = [check for check in checks if check.required and not check.passed]
    shown = checks[:1] if passed else failed
    word = "Passed" if passed else "Not passed"
    if provisional:
        word = f"Provisionally {word.lower()}"
    text = f"{word}: {'; '.join(check.sentence for check in shown)}."
    if first:
        text += " There was no champion yet, so the untrained policy was the one to beat."
    if copies and all(check.value == 0 for check in checks[:1]):
        text += " The verdict is provisional: the two score the same in every scenario."
    elif copies:
        text += " The verdict is provisional: the differences do not vary, as if one episode had been repeated."
    elif provisional:
        text += (
            f" The verdict is provisional: {min(pairs.values())} scenarios a task were played, "
            f"and a final one takes {full_pairs}."
        )
    return text
