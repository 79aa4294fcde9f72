"""Does our SAC learn as well as its peers'? Pendulum against SBX and Brax, HalfCheetah against SBX.

One environment, one update a transition, and equal widths, batch, rates and discount; the rest is what each gives its
users. After training, 20 deterministic episodes from the same starts for all. Interquartile means over seeds ×
episodes, with bounds of a bootstrap that draws whole seeds (Agarwal et al. 2021, arXiv 2108.13264).

Each training is a process of its own and is kept when it is done. Usage: python benchmarks/sac_learning.py [--quick]
[--fresh]; `--only sbx` or `--only Pendulum-v1/sbx` makes a part of the trainings now, `--forget touchline` drops
those of an algorithm that has changed.
"""

from __future__ import annotations

import argparse
import itertools
import statistics

import numpy as np
from harness import Part, table
from numpy.typing import NDArray
from sac_learners import LEARNERS, available, run, script
from scipy import stats

TASKS = {
    "Pendulum-v1": (20_000, 10, ("sbx", "brax", "touchline")),
    "HalfCheetah-v5": (100_000, 5, ("sbx", "touchline")),
}
"""Task → policy transitions, seeds, learners."""
RESAMPLES = 10_000
ALLOWED = 0.10
"""Share of the peer's mean, without its sign, that ours may lie below it."""
TIMEOUT = 4 * 3_600.0


def iqm(returns: NDArray[np.float64]) -> float:
    """Interquartile mean of returns of shape (seeds, episodes)."""
    return float(stats.trim_mean(returns, 0.25, axis=None))


def resampled(returns: NDArray[np.float64], stream: int = 0) -> NDArray[np.float64]:
    """Interquartile means of the same number of seeds drawn anew, shape (RESAMPLES,); streams are independent."""
    seeds = np.random.default_rng(stream).integers(len(returns), size=(RESAMPLES, len(returns)))
    return stats.trim_mean(returns[seeds].reshape(RESAMPLES, -1), 0.25, axis=1)


def bounds(values: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of resampled values."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def judged(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> dict[str, object]:
    """How far ours lies above the least that is allowed, as a share of the peer's mean; below 0 is a miss."""
    scale = abs(iqm(theirs))
    apart = (resampled(ours) - resampled(theirs, stream=1)) / scale
    difference = (iqm(ours) - iqm(theirs)) / scale
    low, high = bounds(apart)
    return {"difference": difference, "low": low, "high": high, "met": difference >= -ALLOWED}


def kept(part: Part, prefix: str) -> NDArray[np.float64] | None:
    """Returns of the trainings made so far, shape (seeds, episodes), or None."""
    found = [said["returns"] for key, said in part.results.items() if key.startswith(prefix)]
    return np.array(found) if found else None


def main() -> None:
    """Make the trainings that are missing and print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="a learner, a task, or task/learner")
    parser.add_argument("--forget", default="", help="drop the trainings of this learner, or task/learner, first")
    part = Part("learning", __doc__, subject="sac", parser=parser)
    part.forget(part.options.forget)
    if "brax" in available(LEARNERS):
        apart = part.measure("pendulum", lambda: script("brax", "pendulum.py"))
        print(f"the pendulum in JAX is at most {apart['apart']:.1e} from Gymnasium's over {apart['steps']} steps")
    for task, (transitions, seeds, learners) in TASKS.items():
        steps = part.size(transitions, 1_500)
        chosen = [name for name in available(learners) if set(part.options.only.split("/")) <= {"", task, name}]
        for seed, name in itertools.product(range(part.size(seeds, 1)), chosen):
            said = part.measure(
                f"{task}/{name}/{seed}",
                lambda t=task, n=name, s=seed, steps=steps: run(n, "learn", t, s, steps, timeout=TIMEOUT),
            )
            print(f"{task} {name} {seed}: {statistics.mean(said['returns']):,.1f}", flush=True)

    for task, (_, _, learners) in TASKS.items():
        found = {name: returns for name in learners if (returns := kept(part, f"{task}/{name}/")) is not None}
        rows = [
            [name, len(r), iqm(r), *bounds(resampled(r)), float(np.median(r)), float(r.min())]
            for name, r in found.items()
        ]
        table((task, "seeds", "IQM", "low", "high", "median", "worst episode"), rows)
        ours = found.get("touchline")
        for name, theirs in found.items():
            if name != "touchline" and ours is not None:
                verdict = judged(ours, theirs)
                part.put(f"{task}, touchline against {name}", verdict)
                low, high = verdict["low"], verdict["high"]
                print(
                    f"against {name}: {verdict['difference']:+.1%} [{low:+.1%}, {high:+.1%}] of its IQM; "
                    f"the goal, {-ALLOWED:.0%}, is {'met' if verdict['met'] else 'missed'}"
                )


if __name__ == "__main__":
    main()
