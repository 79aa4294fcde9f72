"""What a policy is worth: its episodes against others' on the same scenarios, with intervals, as data and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from touchline import __version__, gates
from touchline.catalog.version import ModelVersion
from touchline.gates import Interval
from touchline.gates.statistics import RESAMPLES
from touchline.jobs.base import raise_if_stopped
from touchline.jobs.judge import Judge, Judged, below, outcomes_of
from touchline.jobs.summary import VISIBLE
from touchline.learning.evaluate import Episode
from touchline.learning.policy import Policy
from touchline.simulation.scenario import Scenario

FORMAT = 1
BOUND = 0.975
"""Confidence of each bound: the two of an interval hold 95 %."""


@dataclass(frozen=True)
class Contestant:
    """A policy that is evaluated, or that one is compared with."""

    name: str
    """For people."""
    policy: Policy
    digest: str
    """SHA-256 of its files, as the catalog reckons it."""
    source: ModelVersion | None = None
    """The catalog's version that it is; None for what is no milestone."""


@dataclass(frozen=True)
class Series:
    """Scenarios of one kind, and what everybody reached on them."""

    kind: str
    """``perturbed`` or ``nominal``, in soccer; else ``seeded``."""
    scenarios: tuple[Scenario, ...]
    judged: Mapping[str, Judged]
    """By name of the contestant, the evaluated one first."""


@dataclass(frozen=True)
class Term:
    """One term of the score."""

    mean: float
    """What it adds to the score, weight included, mean over episodes."""
    share: float
    """Share of the episodes in which that is at least ``VISIBLE``, whatever its sign."""


@dataclass(frozen=True)
class TaskFigures:
    """One contestant on the scenarios of one task."""

    episodes: int
    score: Interval
    physics_steps: Interval
    """Survived, of 2 ms each in soccer."""
    dense_return: float
    shares: Mapping[str, Interval]
    """Of every outcome that is a truth (``fall``, ``touch``, ``goal``): in how many episodes, exact bounds."""
    means: Mapping[str, float]
    """Of every outcome that is a number (``touches``, ``distance``)."""
    ends: Mapping[str, int]
    """How many episodes ended how, in words."""
    terms: Mapping[str, Term]
    """Where the score comes from; their means sum to it."""


@dataclass(frozen=True)
class Standing:
    """One contestant on all the scenarios of a series."""

    mean_score: Interval
    """Mean over tasks of the mean score."""
    tasks: Mapping[str, TaskFigures]


@dataclass(frozen=True)
class Comparison:
    """The evaluated policy's score minus another's, paired scenario by scenario."""

    mean: Interval
    """Mean over tasks."""
    tasks: Mapping[str, Interval]


@dataclass(frozen=True)
class Findings:
    """What a series comes to."""

    standings: Mapping[str, Standing]
    """By name of the contestant, the evaluated one first."""
    against: Mapping[str, Comparison]
    """By name of every other one."""


def play(
    contestants: Sequence[Contestant],
    scenarios: Mapping[str, Sequence[Scenario]],
    *,
    world: str,
    processes: int,
    on_episode: Callable[[int, Episode], None] = lambda count, episode: None,
) -> list[Series]:
    """Let every contestant play every scenario, kind by kind; ``on_episode`` is told how many there were so far.

    Raises Interrupted when the command was asked to stop, between two episodes.
    """
    count = 0

    def told(episode: Episode) -> None:
        nonlocal count
        count += 1
        on_episode(count, episode)

    found = []
    with Judge(processes, world) as judge:
        for kind, those in scenarios.items():
            judged = {
                one.name: judge.evaluate(one.policy, those, raise_if_stopped, on_episode=told) for one in contestants
            }
            found.append(Series(kind, tuple(those), judged))
    return found


def find(series: Series, seed: int) -> Findings:
    """Reckon figures, intervals and comparisons; ``seed`` is the bootstrap's."""
    standings = {
        name: Standing(
            gates.paired_bootstrap(judged.scores, BOUND, seed),
            {task: _figures(episodes, judged, task, seed) for task, episodes in judged.episodes.items()},
        )
        for name, judged in series.judged.items()
    }
    ours, *others = series.judged
    judged = series.judged
    return Findings(standings, {name: _compare(judged[ours], judged[name], seed) for name in others})


def _figures(episodes: Sequence[Episode], judged: Judged, task: str, seed: int) -> TaskFigures:
    told = [outcomes_of(episode) for episode in episodes]
    truths = [name for name, value in told[0].items() if isinstance(value, bool)]
    paid = [below("score_terms/", episode) for episode in episodes]
    terms = {name: np.array([each[name] for each in paid]) for name in paid[0]}
    return TaskFigures(
        episodes=len(episodes),
        score=gates.paired_bootstrap(judged.scores[task], BOUND, seed),
        physics_steps=gates.paired_bootstrap(judged.physics_steps[task], BOUND, seed),
        dense_return=float(judged.returns[task].mean()),
        shares={name: gates.exact_share(sum(bool(each[name]) for each in told), len(told), BOUND) for name in truths},
        means={name: float(np.mean([each[name] for each in told])) for name in told[0] if name not in truths},
        ends=dict(Counter(episode.outcome for episode in episodes).most_common()),
        terms={
            name: Term(float(each.mean()), float((np.abs(each) >= VISIBLE).mean())) for name, each in terms.items()
        },
    )


def _compare(ours: Judged, theirs: Judged, seed: int) -> Comparison:
    paired = gates.differences(ours.scores, theirs.scores)
    tasks = {task: gates.paired_bootstrap(paired[task], BOUND, seed) for task in ours.scores}
    return Comparison(gates.paired_bootstrap(paired, BOUND, seed), tasks)


def document(
    contestants: Sequence[Contestant],
    found: Sequence[tuple[Series, Findings]],
    *,
    seed: int,
    world: str,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return everything as strict JSON values: digests, figures, comparisons, scenarios and every episode."""
    names = ("mujoco", "numpy", "scipy", *(("sai-mujoco",) if world == "soccer" else ()))
    return {
        "format": FORMAT,
        "versions": {"touchline": __version__, **{name: version(name) for name in names}},
        "world": world,
        "seed": seed,
        "options": gates.plain(options),
        "method": {
            "score": "stratified bootstrap of the mean over scenarios, BCa, two-sided 95 %",
            "resamples": RESAMPLES,
            "shares": "exact binomial (Clopper-Pearson), two-sided 95 %",
            "comparison": "score minus the other's, paired scenario by scenario",
        },
        "model": contestants[0].name,
        "players": [
            {"name": one.name, "digest": one.digest, "metadata": gates.plain(one.policy.metadata)}
            for one in contestants
        ],
        "series": {
            series.kind: {
                "scenarios": [{**scenario.to_dict(), "digest": scenario.digest} for scenario in series.scenarios],
                "players": {
                    name: {
                        **gates.plain(findings.standings[name]),
                        "episodes": [gates.plain(row) for row in _rows(judged)],
                    }
                    for name, judged in series.judged.items()
                },
                "against": gates.plain(findings.against),
            }
            for series, findings in found
        },
    }


def _rows(judged: Judged) -> Iterator[dict[str, Any]]:
    """Each episode as a flat mapping, in the order of the scenarios."""
    for task, episodes in judged.episodes.items():
        for episode in episodes:
            yield {
                "task": task,
                "seed": episode.seed,
                "score": episode.info["score"],
                "dense_return": episode.return_,
                "physics_steps": int(episode.info["physics_steps"]),
                "end": episode.outcome,
                **outcomes_of(episode),
            }
