"""How often does gate 3 err? Thousands of gates, simulated from episodes of our own policies.

The episodes are ``gates_episodes.py``'s, and what they say of pairs is kept, the correlation of scores in the
same scenario included. Equal policies are walker and its twin, with who is who drawn by lot in each scenario.
Policies that fall as often as wanted are drawn from the pairs that fell and those that did not. Every simulated
gate is judged by the gate's own code.

Usage: python benchmarks/gates.py [--quick] [--fresh]; writes results/gates-simulated.json.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from harness import HERE, Part, table
from numpy.typing import NDArray
from scipy import stats

from touchline import gates
from touchline.gates import Contest, Evaluation, mean_bounds
from touchline.gates.promotion import TASK_ERROR, better_than_champion
from touchline.gates.table import decision
from touchline.soccer.tasks import TASKS

EPISODES = HERE / "results" / "gates-episodes.json"
ATTEMPTS = 20
SCENARIOS = 200
Column = NDArray[np.float64]
Scores = dict[str, Column]
Draw = Callable[[np.random.Generator, int], tuple[Scores, Scores]]
"""Generator and scenarios a task → scores of the candidate and of its opponent."""


@dataclass(frozen=True)
class Played:
    """One policy's episodes of one task."""

    score: Column
    fall: NDArray[np.bool_]


def read() -> dict[str, dict[str, Played]]:
    """Return player → task → episodes, in the order of the scenarios; what not everybody has played is left out."""
    kept: dict[str, Any] = json.loads(EPISODES.read_text())
    pieces: dict[str, set[int]] = {}
    for key in kept:
        name, _, start = key.rpartition("/")
        if name:
            pieces.setdefault(name, set()).add(int(start))
    starts = sorted(set.intersection(*pieces.values()))

    def joined(name: str, task: str) -> Played:
        rows = [kept[f"{name}/{start}"][task] for start in starts]
        return Played(
            np.array([score for row in rows for score in row["score"]]),
            np.array([fell for row in rows for fell in row["fall"]]),
        )

    return {name: {task: joined(name, task) for task in TASKS} for name in pieces}


def correlation_of_falls(one: Played, other: Played) -> float | None:
    """Of two policies in the same scenarios; None where one always or never falls."""
    if len(set(one.fall)) == 1 or len(set(other.fall)) == 1:
        return None
    return float(np.corrcoef(one.fall, other.fall)[0, 1])


def measured(players: Mapping[str, Mapping[str, Played]]) -> dict[str, Any]:
    """What the episodes say: scores, falls, and how those of two policies in the same scenario go together."""

    def alone(played: Played) -> dict[str, float]:
        return {"mean": played.score.mean(), "std": played.score.std(ddof=1), "falls": played.fall.mean()}

    def together(one: Played, other: Played) -> dict[str, float | None]:
        paired = one.score - other.score
        return {
            "correlation": np.corrcoef(one.score, other.score)[0, 1],
            "correlation_of_falls": correlation_of_falls(one, other),
            "std_of_difference": paired.std(ddof=1),
            "skewness_of_difference": float(stats.skew(paired)),
        }

    return {
        "scenarios": len(players["walker"][TASKS[0]].score),
        "players": {name: {task: alone(tasks[task]) for task in TASKS} for name, tasks in players.items()},
        "pairs": {
            f"{one} and {other}": {task: together(players[one][task], players[other][task]) for task in TASKS}
            for one, other in itertools.combinations(players, 2)
            if "zero torque" not in (one, other)
        },
    }


class Episodes:
    """Draws what two policies score in the same scenarios."""

    def __init__(self, players: Mapping[str, Mapping[str, Played]]) -> None:
        self._players = players

    def pair(self, ours: str, theirs: str) -> Draw:
        """Two policies as they are."""

        def draw(random: np.random.Generator, count: int) -> tuple[Scores, Scores]:
            rows = {task: random.integers(0, len(self._players[ours][task].score), count) for task in TASKS}
            return (
                {task: self._players[ours][task].score[rows[task]] for task in TASKS},
                {task: self._players[theirs][task].score[rows[task]] for task in TASKS},
            )

        return draw

    def equal(self, random: np.random.Generator, count: int) -> tuple[Scores, Scores]:
        """Walker and its twin, who is who by lot: scores that correlate as theirs do, and that are equally good."""
        ours, theirs = self.pair("walker", "twin of walker")(random, count)
        for task in TASKS:
            swapped = random.random(count) < 0.5
            ours[task], theirs[task] = (
                np.where(swapped, theirs[task], ours[task]),
                np.where(swapped, ours[task], theirs[task]),
            )
        return ours, theirs

    def shifted(self, by: Mapping[str, float]) -> Draw:
        """Equal policies, but for a task or two on which the candidate always scores so much more."""

        def draw(random: np.random.Generator, count: int) -> tuple[Scores, Scores]:
            ours, theirs = self.equal(random, count)
            return {task: ours[task] + by.get(task, 0.0) for task in TASKS}, theirs

        return draw

    def walkers_that_fall(self, ours: float, theirs: float, *, like: str) -> Draw:
        """Walkers that fall in these shares of the episodes, on every task.

        Their falls go together as those of walker and ``like`` do. Given who falls, scores are drawn from the
        episodes of these two in which it was so.
        """
        walker, other = self._players["walker"], self._players[like]
        cells = {task: _cells(walker[task], other[task]) for task in TASKS}
        correlations = {task: correlation_of_falls(walker[task], other[task]) or 0.0 for task in TASKS}

        def draw(random: np.random.Generator, count: int) -> tuple[Scores, Scores]:
            found: tuple[Scores, Scores] = ({}, {})
            for task in TASKS:
                fall = _falls(random, count, (ours, theirs), correlations[task])
                rows = np.empty((count, 2))
                for kind, cell in cells[task].items():
                    here = (fall == kind).all(axis=1)
                    rows[here] = cell[random.integers(0, len(cell), here.sum())]
                found[0][task], found[1][task] = rows.T
            return found

        return draw

    def standing_that_fall(self, ours: float, theirs: float) -> Draw:
        """Policies that stand still but for these shares of the episodes, in which they fall at once."""

        def draw(random: np.random.Generator, count: int) -> tuple[Scores, Scores]:
            found: tuple[Scores, Scores] = ({}, {})
            for task in TASKS:
                stands, lies = (self._players[name][task].score for name in ("stand still", "zero torque"))
                rows = random.integers(0, len(stands), count)
                for scores, share in zip(found, (ours, theirs), strict=True):
                    scores[task] = np.where(random.random(count) < share, lies[rows], stands[rows])
            return found

        return draw


def _cells(walker: Played, other: Played) -> dict[tuple[bool, bool], Column]:
    """Who fell → scores of a pair, shape (n, 2), whoever of the two is which.

    What was never seen together is put together from what each of the two scored alone.
    """
    cells = {}
    for kind in itertools.product((False, True), repeat=2):
        found = []
        for one, two in ((walker, other), (other, walker)):
            rows = (one.fall == kind[0]) & (two.fall == kind[1])
            found.append(np.stack([one.score[rows], two.score[rows]], axis=1))
        cells[kind] = np.concatenate(found)
        if not len(cells[kind]):
            alone = [np.concatenate([one.score[one.fall == fell] for one in (walker, other)]) for fell in kind]
            cells[kind] = np.array(list(itertools.product(*alone)))
    return cells


def _falls(random: np.random.Generator, count: int, shares: tuple[float, float], correlation: float) -> Any:
    """Who falls, shape (count, 2), with these shares and as near to this correlation as they allow."""
    ours, theirs = shares
    both = ours * theirs + correlation * np.sqrt(ours * (1 - ours) * theirs * (1 - theirs))
    both = float(np.clip(both, max(0.0, ours + theirs - 1.0), min(ours, theirs)))
    kinds = np.array([(True, True), (True, False), (False, True), (False, False)])
    return kinds[random.choice(4, count, p=[both, ours - both, theirs - both, 1 - ours - theirs + both])]


def contest(scores: tuple[Scores, Scores], attempt: int, *, first: bool) -> Contest:
    """Return what the gate judges."""
    candidate, opponent = Evaluation("candidate", scores[0]), Evaluation("opponent", scores[1])
    return Contest(candidate, opponent, None if first else opponent, attempt=attempt)


def reigns(
    draw: Draw, count: int, scenarios: int, attempts: int = ATTEMPTS, *, first: bool = False
) -> dict[str, Any]:
    """Simulate reigns of so many attempts, each on fresh scenarios; return how often somebody was promoted."""
    random, promoted, gates_judged, at_first = np.random.default_rng(20), 0, 0, 0
    for _ in range(count):
        for attempt in range(1, attempts + 1):
            gates_judged += 1
            if decision(contest(draw(random, scenarios), attempt, first=first)):
                promoted += 1
                at_first += attempt == 1
                break
    share, once = (gates.exact_share(hits, count, 0.975) for hits in (promoted, at_first))
    return {
        "reigns": count,
        "gates": gates_judged,
        "promoted": [share.mean, share.low, share.high],
        "at_the_first_attempt": [once.mean, once.low, once.high],
    }


RULES: Mapping[str, Callable[[Contest], bool]] = {
    "as it is": decision,
    "mean: lower bound above the margin": lambda one: _bound(one) > one.margin and _not_worse(one, TASK_ERROR),
    "tasks: the mean above": lambda one: _better(one) and _not_worse(one, 0.5),
    "tasks: 95 %": lambda one: _better(one) and _not_worse(one, 0.05),
    "tasks: as the mean": lambda one: _better(one) and _not_worse(one, one.error),
}
"""Rules for a challenger that were tried; "as it is" is the gate's."""


def _bound(one: Contest) -> float:
    return mean_bounds(one.paired, one.error).low


def _better(one: Contest) -> bool:
    found = better_than_champion(one)
    return found is not None and bool(found.passed)


def _not_worse(one: Contest, error: float) -> bool:
    lows = (mean_bounds({task: paired}, error) for task, paired in one.paired.items())
    return all(low.low > -one.margin or (low.method == "none" and low.mean == 0.0) for low in lows)


def attempts_at(draw: Draw, count: int, scenarios: int, attempt: int = 1) -> dict[str, float]:
    """Return how often each rule promotes at this attempt."""
    random = np.random.default_rng(21)
    contests = (contest(draw(random, scenarios), attempt, first=False) for _ in range(count))
    told = [[rule(one) for rule in RULES.values()] for one in contests]
    return dict(zip(RULES, np.mean(told, axis=0).tolist(), strict=True))


def coverage(draw: Draw, true: Mapping[str, float], count: int, scenarios: int, error: float) -> dict[str, float]:
    """Return how often the lower bound lies below the true difference, of each task and of the mean."""
    random, held = np.random.default_rng(22), dict.fromkeys((*TASKS, "mean of the tasks"), 0)
    for _ in range(count):
        paired = gates.differences(*draw(random, scenarios))
        for task in TASKS:
            held[task] += mean_bounds({task: paired[task]}, error).low <= true[task]
        held["mean of the tasks"] += mean_bounds(paired, error).low <= float(np.mean([true[task] for task in TASKS]))
    return {name: hits / count for name, hits in held.items()}


def reproduced(played: Episodes) -> dict[str, Any]:
    """Judge one contest twice here and once in another process; return the digests and the seconds of a verdict."""
    scores = played.equal(np.random.default_rng(23), SCENARIOS)
    one = contest(scores, 20, first=False)
    began = time.perf_counter()
    first = digest(one)
    seconds = time.perf_counter() - began
    given = json.dumps(gates.evidence(gates.gate3(one), one))
    code = "import json, sys; from gates import digest_of; print(digest_of(json.load(sys.stdin)))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=given, capture_output=True, text=True, check=True, cwd=HERE
    )
    return {"digests": [first, digest(one), done.stdout.strip()], "seconds_of_a_verdict": round(seconds, 2)}


def digest(one: Contest) -> str:
    """Of a verdict, every figure of every interval included."""
    return hashlib.sha256(json.dumps(gates.plain(gates.gate3(one)), sort_keys=True).encode()).hexdigest()


def digest_of(document: Mapping[str, Any]) -> str:
    """Of the verdict on what evidence holds."""
    return hashlib.sha256(json.dumps(gates.plain(gates.rejudge(document)), sort_keys=True).encode()).hexdigest()


def main() -> None:
    """Simulate, and print each table."""
    part = Part("simulated", __doc__, subject="gates")
    players = read()
    played = Episodes(players)
    found = measured(players)
    part.put("measured", found)
    table(
        ("player", "task", "mean score", "standard deviation", "falls"),
        [(name, task, *tasks[task].values()) for name, tasks in found["players"].items() for task in TASKS],
    )
    table(
        ("pair", "task", "correlation", "of falls", "standard deviation of the difference", "its skewness"),
        [(name, task, *tasks[task].values()) for name, tasks in found["pairs"].items() for task in TASKS],
    )

    many, some = part.size(10_000, 100), part.size(1_000, 100)
    stories: dict[str, tuple[Draw, int, bool]] = {
        "equal to the champion": (played.equal, many, False),
        "equal to the baseline, no champion yet": (played.equal, some, True),
        "obstacle worse by 0.3, goalie better by 0.9": (played.shifted({TASKS[0]: 0.9, TASKS[1]: -0.3}), some, False),
        "obstacle worse by 0.05, goalie better by 0.9, no champion yet": (
            played.shifted({TASKS[0]: 0.9, TASKS[1]: -0.05}),
            some,
            True,
        ),
        "zero torque, no champion yet": (played.pair("zero torque", "stand still"), some, True),
        "walker, no champion yet": (played.pair("walker", "stand still"), some, True),
        "walker-steady, no champion yet": (played.pair("walker-steady", "stand still"), some, True),
    }
    rows = []
    for name, (draw, count, first) in stories.items():
        one = part.measure(
            f"reigns/{name}",
            lambda d=draw, c=count, f=first: reigns(d, c, SCENARIOS, first=f),  # type: ignore[misc]
        )
        rows.append((name, one["reigns"], one["gates"], _share(one["at_the_first_attempt"]), _share(one["promoted"])))
    table(("candidate", "reigns", "gates", "promoted at the first attempt", f"within {ATTEMPTS} attempts"), rows)

    better, worse = ((200, 1), (300, 1), (400, 1), (600, 1), (800, 1), (200, 5), (200, 20)), ((200, 1), (200, 20))
    powers: dict[str, tuple[Draw, tuple[tuple[int, int], ...]]] = {
        "standing, falls 10 % vs 20 %": (played.standing_that_fall(0.1, 0.2), better[:1] + better[-2:]),
        "walker and twin, falls 10 % vs 20 %": (played.walkers_that_fall(0.1, 0.2, like="twin of walker"), better),
        "walkers unlike, falls 10 % vs 20 %": (played.walkers_that_fall(0.1, 0.2, like="walker-steady"), better),
        "obstacle worse by 0.05, goalie better by 0.9": (played.shifted({TASKS[0]: 0.9, TASKS[1]: -0.05}), worse),
        "obstacle worse by 0.1, goalie better by 0.9": (played.shifted({TASKS[0]: 0.9, TASKS[1]: -0.1}), worse),
        "goalie worse by 0.3, obstacle better by 0.9": (played.shifted({TASKS[0]: -0.3, TASKS[1]: 0.9}), worse),
        "goalie worse by 0.6, obstacle better by 1.2": (played.shifted({TASKS[0]: -0.6, TASKS[1]: 1.2}), worse),
    }
    rows = []
    for name, (draw, settings) in powers.items():
        for scenarios, attempt in settings:
            one = part.measure(
                f"rules/{name}/{scenarios}/{attempt}",
                lambda d=draw, n=scenarios, k=attempt: attempts_at(d, some, n, k),  # type: ignore[misc]
            )
            rows.append((name, scenarios, attempt, *(f"{share:.1%}" for share in one.values())))
    table(("candidate", "scenarios a task", "attempt", *RULES), rows)

    rows = []
    pairs = (("walker", "stand still"), ("stand still", "walker"), ("walker", "walker-steady"), ("twin", "walker"))
    for ours, theirs in pairs:
        ours = {"twin": "twin of walker"}.get(ours, ours)
        true = {task: float((players[ours][task].score - players[theirs][task].score).mean()) for task in TASKS}
        draw = played.pair(ours, theirs)
        for error in (0.05, 0.025, 0.0025):
            one = part.measure(
                f"coverage/{ours} - {theirs}/{error}",
                lambda d=draw, t=true, e=error: coverage(d, t, many // 2, SCENARIOS, e),  # type: ignore[misc]
            )
            rows.append((f"{ours} minus {theirs}", f"{1 - error:.2%}", *(f"{share:.2%}" for share in one.values())))
    table(("differences", "bound", *TASKS, "mean of the tasks"), rows)

    again = reproduced(played)
    part.put("reproduced", again)
    print(f"The same verdict, to the last digit, on rerun and in another process: {len(set(again['digests'])) == 1}.")
    print(f"A verdict with all its figures takes {again['seconds_of_a_verdict']} s.")


def _share(bounds: list[float]) -> str:
    mean, low, high = bounds
    return f"{mean:.1%} [{low:.1%}, {high:.1%}]"


if __name__ == "__main__":
    main()
