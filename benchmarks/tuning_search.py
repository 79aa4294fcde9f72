"""How good is what a study finds? Simulated studies at an equal budget of environment steps, recipe against recipe.

Every study is Optuna's own, with its sampler and its pruner, and is answered by real learning curves: those that
`tuning_surrogate.py` made. A budget is told in full trainings; one report of a trial costs as much in every recipe.
Regret is what the true return of the named configuration lacks to the best one's, and a study failed when that is
more than a tenth of what there is to learn. Chunks of studies are kept when they are done. Usage: nice -n 15 python
benchmarks/tuning_search.py [--quick] [--fresh] [--only rungs/none] [--studies 2000] [--budget 24] [--workers 1]
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import astuple
from typing import Any

import numpy as np
import optuna
from harness import HERE, Part, table
from numpy.typing import NDArray
from optuna.samplers import RandomSampler
from scipy.stats import binomtest, spearmanr
from tuning_simulator import Recipe, Surrogate, play

from touchline.jobs.tunable import REPORT_EVERY
from touchline.tuning import pruners

STUDIES, CHUNK = 2_000, 50
FAILED = 0.10
"""Share of the surrogate's span above which a regret makes a study a failed one."""
RESAMPLES = 10_000
SPECIFIED, OURS = "median", f"{pruners.DEFAULT}, finalists"


def _of(name: str, **options: Any) -> Recipe:
    return Recipe(lambda: pruners.named(name, REPORT_EVERY), **options)


RECIPES = {
    SPECIFIED: _of("median"),
    "aggressive": _of("aggressive"),
    OURS: _of(pruners.DEFAULT, finalists=True),
    pruners.DEFAULT: _of(pruners.DEFAULT),
    "median, finalists": _of("median", finalists=True),
    "none": _of("none"),
    "asha": _of("asha"),
    "hyperband": _of("hyperband"),
    "random sampler, none": _of("none", sampler=lambda seed: RandomSampler(seed=seed)),
}


def played(part: Part, surrogate: Surrogate, name: str, budget: int, workers: int) -> NDArray[np.float64]:
    """Winner, trials and complete trials of each study, shape (studies, 3)."""
    chunks = []
    size = part.size(CHUNK, 5)
    for chunk in range(part.size(part.options.studies, 5) // size):

        def play_all(chunk: int = chunk) -> list[str]:
            seeds = range(chunk * size, (chunk + 1) * size)
            studies = [play(surrogate, RECIPES[name], seed, budget * surrogate.reports, workers) for seed in seeds]
            return [" ".join(map(str, column)) for column in zip(*map(astuple, studies), strict=True)]

        kept = part.measure(f"{budget} trainings/{workers} workers/{name}/{chunk}", play_all)
        chunks.append(np.array([column.split() for column in kept], dtype=float).T)
    return np.concatenate(chunks)


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of resampled values."""
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def resampled(figures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of studies drawn anew, shape (RESAMPLES, …): the same ones whenever there are equally many."""
    rng = np.random.default_rng(0)
    return np.array([figures[rng.integers(len(figures), size=len(figures))].mean(axis=0) for _ in range(RESAMPLES)])


def told(regret: NDArray[np.float64], specified: NDArray[np.float64], bound: float) -> dict[str, Any]:
    """The figures of a recipe, beside those of the specified one in studies with the same seeds."""
    n = min(len(regret), len(specified))
    failed = regret > bound
    pairs = np.stack([regret[:n], specified[:n], regret[:n] > bound, specified[:n] > bound], axis=1)
    means, drawn = pairs.mean(axis=0), resampled(pairs)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = drawn[:, 2] / drawn[:, 3]
        ratio = float(means[2] / means[3]) if means[3] else float("nan")
    return {
        "studies": len(regret),
        "regret": float(regret.mean()),
        "regret_interval": interval(resampled(regret)),
        "failed": float(failed.mean()),
        "failed_interval": tuple(binomtest(int(failed.sum()), len(failed)).proportion_ci(method="exact")),
        "gain": float(means[1] - means[0]),
        "gain_interval": interval(drawn[:, 1] - drawn[:, 0]),
        "failed_ratio": ratio,
        "failed_ratio_interval": interval(ratios),
    }


def foresight(surrogate: Surrogate) -> list[float]:
    """At each report, Spearman's correlation of the best value so far with the configuration's truth."""
    best = np.fmax.accumulate(surrogate.curves, axis=2)
    truth = np.repeat(surrogate.truth, best.shape[1])
    return [round(float(spearmanr(at.ravel(), truth).statistic), 3) for at in np.moveaxis(best, 2, 0)]


def main() -> None:
    """Play the studies that are missing and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="recipes to play now, separated by /")
    parser.add_argument("--budget", type=int, default=24, help="full trainings that a study may cost")
    parser.add_argument("--studies", type=int, default=STUDIES, help="studies of each recipe")
    parser.add_argument("--workers", type=int, default=1, help="trials that run at the same time")
    part = Part("search", __doc__, subject="tuning", parser=parser)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    surrogate = Surrogate.load(HERE / "results" / "tuning-surrogate.json")
    budget, workers = part.options.budget, part.options.workers
    bound = FAILED * surrogate.span
    told_of = {
        "configurations": len(surrogate.truth),
        "span": surrogate.span,
        "bound": bound,
        "foresight": foresight(surrogate),
    }
    if part.results.get("surrogate") not in (None, told_of):  # what was played from fewer trainings does not count
        part.results = {"machine": part.results["machine"]}
    part.put("surrogate", told_of)
    figures = {}
    for name in filter(None, part.options.only.split("/")) if part.options.only else RECIPES:
        studies = played(part, surrogate, name, budget, workers)
        regret = surrogate.regret[studies[:, 0].astype(int)]
        specified = played(part, surrogate, SPECIFIED, budget, workers)
        figures[name] = told(regret, surrogate.regret[specified[:, 0].astype(int)], bound) | {
            "trials": float(studies[:, 1].mean()),
            "complete": float(studies[:, 2].mean()),
        }
        part.put(f"{budget} trainings, {workers} workers: {name}", figures[name])
    print(f"{len(surrogate.truth)} configurations; a study failed with a regret above {bound:.1f}")
    table(
        ("recipe", "studies", "trials", "mean regret", "gain over median", "failed studies", "failed ÷ median's"),
        [
            [
                name,
                said["studies"],
                f"{said['trials']:.0f}",
                "{regret:.2f} [{regret_interval[0]:.2f}, {regret_interval[1]:.2f}]".format(**said),
                "{gain:+.2f} [{gain_interval[0]:+.2f}, {gain_interval[1]:+.2f}]".format(**said),
                "{failed:.1%} [{failed_interval[0]:.1%}, {failed_interval[1]:.1%}]".format(**said),
                "{failed_ratio:.2f} [{failed_ratio_interval[0]:.2f}, {failed_ratio_interval[1]:.2f}]".format(**said),
            ]
            for name, said in figures.items()
        ],
    )


if __name__ == "__main__":
    main()
