"""The checks of gate 3: whether a candidate may become champion."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from touchline.gates.aggregates import interquartile_mean, probability_of_improvement
from touchline.gates.bounds import mean_bounds
from touchline.gates.contest import Contest
from touchline.gates.statistics import Interval, Scores, differences, exact_share, varies
from touchline.gates.verdict import Finding

MINIMUM_SURVIVAL = 100.0
MINIMUM_RETURN = -100.0
MAXIMUM_SPREAD = 2.0
TASK_ERROR = 0.25
"""How likely a challenger passes though it is worse than the champion by just the margin on one task, an attempt."""
REPORTED = 0.975
"""Confidence of each bound of what is only reported: the two of an interval hold 95 %."""


def better_than_champion(contest: Contest) -> Finding | None:
    """A challenger's advantage, equal-task mean, is real (its lower bound is above 0) and worth it (the margin)."""
    if contest.champion is None:
        return None
    interval = mean_bounds(contest.paired, contest.error)
    name = contest.champion.name
    if interval.method == "none":
        return Finding(False, _no_interval(f"its score minus that of {name}", interval), interval.mean)
    sentence = (
        f"its score minus that of {name} is {interval.mean:+z.3f} on average over tasks (at least {contest.margin:g} "
        f"is wanted), with {_percent(interval.confidence)} confidence above {interval.low:+z.3f} (above 0 is wanted)"
    )
    found = interval.low > 0.0 and interval.mean >= contest.margin
    return Finding(found, sentence, interval.mean, {"mean of the tasks": interval})


def no_task_worse(contest: Contest) -> Finding | None:
    """On no task is a challenger likely to score less than the champion by more than the margin."""
    return None if contest.champion is None else _no_task_below(contest, TASK_ERROR)


def better_on_some_task(contest: Contest) -> Finding | None:
    """The first champion beats the baseline on at least one task; with so many tries the error is divided."""
    if contest.champion is not None:
        return None
    error = contest.error / len(contest.paired)
    intervals = {task: mean_bounds({task: those}, error) for task, those in contest.paired.items()}
    best = max(intervals, key=lambda task: (intervals[task].low, intervals[task].mean))
    name, interval = contest.baseline.name, intervals[best]
    won = [task for task, interval in intervals.items() if interval.low > 0.0]
    if interval.method == "none":
        return Finding(False, _no_interval(f"its score minus that of {name}", interval), interval.mean, intervals)
    if won:
        sentence = f"it beats {name} on {_of(intervals, won)}"
    else:
        sentence = f"it beats {name} on no task: at best by {interval.mean:+z.3f} on {best}"
    sentence += f", with {_percent(interval.confidence)} confidence above {interval.low:+z.3f}"
    return Finding(bool(won), sentence, interval.mean, intervals)


def no_task_inferior(contest: Contest) -> Finding | None:
    """On every task the first champion is shown not to be worse than the baseline by more than the margin."""
    return None if contest.champion is not None else _no_task_below(contest, contest.error)


def survival(contest: Contest) -> Finding | None:
    """The specification's first condition: more than 100 physics steps on average."""
    if not contest.candidate.survival:
        return None
    mean = float(_pooled(contest.candidate.survival).mean())
    sentence = f"it stays up {mean:,.0f} physics steps on average (the specification: more than {MINIMUM_SURVIVAL:g})"
    return Finding(mean > MINIMUM_SURVIVAL, sentence, mean)


def dense_mean(contest: Contest) -> Finding | None:
    """The specification's second condition: a dense return above -100 on average."""
    if not contest.candidate.returns:
        return None
    mean = float(_pooled(contest.candidate.returns).mean())
    sentence = f"its dense return is {mean:,.1f} on average (the specification: more than {MINIMUM_RETURN:g})"
    return Finding(mean > MINIMUM_RETURN, sentence, mean)


def dense_spread(contest: Contest) -> Finding | None:
    """The specification's third condition: a standard deviation below twice the mean's size."""
    if not contest.candidate.returns:
        return None
    returns = _pooled(contest.candidate.returns)
    std, limit = float(returns.std()), MAXIMUM_SPREAD * abs(float(returns.mean()))
    sentence = f"its dense return spreads by {std:,.1f} (the specification: less than 2 × |mean| = {limit:,.1f})"
    return Finding(std < limit, sentence, std)


def falls(contest: Contest) -> Finding | None:
    """How often everybody falls, with exact binomial bounds."""
    players = [player for player in contest.players if player.falls]
    intervals = {
        f"{player.name}, {task}": exact_share(int(np.sum(fell)), len(fell), REPORTED)
        for player in players
        for task, fell in sorted(player.falls.items())
    }
    if not intervals:
        return None
    told = [f"{one.name} {np.mean(np.concatenate(list(map(np.asarray, one.falls.values())))):.0%}" for one in players]
    return Finding(None, f"of all episodes these end in a fall: {', '.join(told)}", None, intervals)


def interquartile_means(contest: Contest) -> Finding:
    """Everybody's mean of the middle half of the scores."""
    intervals = {player.name: interquartile_mean(player.scores, REPORTED) for player in contest.players}
    told = ", ".join(f"{name} {interval.mean:.3f}" for name, interval in intervals.items())
    return Finding(None, f"the mean of the middle half of the scores: {told}", None, intervals)


def improvement(contest: Contest) -> Finding:
    """How likely one episode of the candidate scores above one of another's."""
    ours, *others = contest.players
    intervals = {one.name: probability_of_improvement(ours.scores, one.scores, REPORTED) for one in others}
    told = ", ".join(f"{name} {interval.mean:.0%}" for name, interval in intervals.items())
    return Finding(None, f"how likely an episode scores above one of another's: {told}", None, intervals)


def advantages(contest: Contest) -> Finding:
    """The candidate's score minus everybody else's, by task and on average."""
    intervals, told = {}, []
    for other in list(contest.players)[1:]:
        paired = differences(contest.candidate.scores, other.scores)
        intervals[other.name] = overall = mean_bounds(paired, 1.0 - REPORTED)
        told.append(f"{other.name} {overall.mean:+z.3f}")
        for task, those in paired.items():
            intervals[f"{other.name}, {task}"] = mean_bounds({task: those}, 1.0 - REPORTED)
    return Finding(None, f"its mean score minus another's: {', '.join(told)}", None, intervals)


def nominal(contest: Contest) -> Finding | None:
    """What everybody scores in the unperturbed episodes: apart, because of these there may be only one."""
    told = [
        f"{task}: "
        + ", ".join(
            f"{one.name} {np.asarray(one.nominal[task], dtype=np.float64).mean():.3f}"
            for one in contest.players
            if task in one.nominal
        )
        for task in sorted(contest.candidate.nominal)
    ]
    return Finding(None, f"unperturbed episodes score, {'; '.join(told)}") if told else None


def _no_task_below(contest: Contest, error: float) -> Finding:
    """On every task the difference's lower bound is above minus the margin; in a provisional contest its mean is.

    With 8 scenarios hardly any bound is, so a demo could never crown anybody; its verdict is called provisional.
    Where both score the same in every one of several different scenarios there is no interval, and none is needed to
    say that neither is worse.
    """
    intervals = {task: mean_bounds({task: those}, error) for task, those in contest.paired.items()}
    name = contest.opponent.name
    sure = "as far as so few scenarios tell" if contest.provisional else f"with {_percent(1.0 - error)} confidence"
    unknown = [
        task
        for task, interval in intervals.items()
        if interval.method == "none" and not (interval.mean == 0.0 and _vary(contest.candidate.scores[task]))
    ]
    low = {task: one.mean if contest.provisional else one.low for task, one in intervals.items()}
    doubtful = [task for task, one in intervals.items() if one.method != "none" and not low[task] > -contest.margin]
    worst = min(interval.mean for interval in intervals.values())
    if unknown:
        sentence = _no_interval(f"on {' and '.join(unknown)} its score minus that of {name}")
    elif doubtful:
        lows = " and ".join(
            f"{task} ({intervals[task].mean:+z.3f}, above {intervals[task].low:+z.3f})" for task in doubtful
        )
        sentence = f"it may be worse than {name} by more than {contest.margin:g} on {lows}, {sure}"
    else:
        sentence = f"on no task is it worse than {name} by more than {contest.margin:g}, {sure}"
    return Finding(not doubtful and not unknown, sentence, worst, intervals)


def _vary(scores: ArrayLike) -> bool:
    return varies(np.asarray(scores, dtype=np.float64))


def _no_interval(what: str, interval: Interval | None = None) -> str:
    same = interval is not None and interval.mean == 0.0
    return (
        f"there is no interval: {what} {'is 0' if same else 'does not vary'} over the scenarios, or they are too few"
    )


def _of(intervals: dict[str, Interval], tasks: list[str]) -> str:
    return " and ".join(f"{task} (by {intervals[task].mean:+z.3f})" for task in tasks)


def _percent(confidence: float) -> str:
    return f"{100 * confidence:.4g} %"


def _pooled(values: Scores) -> NDArray[np.float64]:
    return np.concatenate([np.asarray(values[task], dtype=np.float64) for task in sorted(values)])
