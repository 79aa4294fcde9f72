"""What tuning costs: a report with its pruning check (≤ 20 ms on SQLite), opening a study of 1,000 trials (< 2 s).

Usage: .venv/bin/python benchmarks/tuning_overhead.py [--quick] [--fresh]. Exits with 1 when a goal is missed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
from harness import Part, environment, quantiles, scratch, table

from touchline.tuning import Setup, StudyStorage, TrialReporter, open_study
from touchline.tuning.space import distributions, parse_space

SPACE = parse_space(("a=log:1e-5:1e-3", "b=128,256,512,1024", "c=0.001:0.01", "d=0.95:0.999"))
OPEN = """
import sys, time
began = time.perf_counter()
from touchline.tuning import Setup, StudyStorage, open_study
from touchline.tuning.space import parse_space
imported = time.perf_counter()
study, _ = open_study(StudyStorage(sys.argv[1]), "s", Setup(parse_space(sys.argv[2:])))
assert study.finished()
opened = time.perf_counter()
trial = study.ask(10**6)
print(imported - began, opened - imported, time.perf_counter() - opened)
"""


def filled(file: Path, trials: int) -> StudyStorage:
    """A study of so many complete trials with 50 reports each."""
    storage = StudyStorage(f"sqlite:///{file}")
    study, _ = open_study(storage, "s", Setup(SPACE))
    space = distributions(SPACE)
    sampler = optuna.samplers.RandomSampler(seed=1)
    scratchpad = optuna.create_study(sampler=sampler)
    for number in range(trials):
        params = scratchpad.ask(space).params
        reports = {step * 10_000: float(number % 7 + step) for step in range(1, 51)}
        study.optuna.add_trial(
            optuna.create_trial(
                params=params, distributions=space, value=float(number % 13), intermediate_values=reports
            )
        )
    return storage


def reports(trials: int, count: int) -> dict[str, Any]:
    """Seconds of each report, beside so many finished trials."""
    with scratch() as directory:
        study, _ = open_study(filled(directory / "optuna.db", trials), "s", Setup(SPACE))
        trial = study.ask(10**6)
        assert trial is not None
        reporter = TrialReporter(trial, every=10_000)
        seconds: list[float] = []
        used = time.process_time()
        for number in range(1, count + 1):
            began = time.perf_counter()
            reporter.report(1e6, number * 10_000)
            seconds.append(time.perf_counter() - began)
        used = time.process_time() - used
    return {**quantiles(seconds), "processor_ms": round(1e3 * used / count, 2)}


def openings(trials: int, rounds: int) -> dict[str, float]:
    """Seconds of import, of opening and of the first suggestion, in a process of its own; medians."""
    with scratch() as directory:
        storage = filled(directory / "optuna.db", trials)
        space = [f"{name}={text}" for name, text in Setup(SPACE).plain()["space"].items()]
        found = []
        for _ in range(rounds):
            done = subprocess.run(
                [sys.executable, "-c", OPEN, storage.url, *space],
                capture_output=True,
                text=True,
                check=True,
                env=environment(),
            )
            found.append([float(word) for word in done.stdout.split()])
    middle = [sorted(column)[len(column) // 2] for column in zip(*found, strict=True)]
    return dict(zip(("import_seconds", "open_seconds", "ask_seconds"), middle, strict=True))


def main() -> int:
    """Measure and judge."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    part = Part("overhead", __doc__, subject="tuning")
    rows = []
    for trials in (50, part.size(1_000, 100)):
        key, count = f"report beside {trials}", part.size(200, 30)
        told = part.measure(key, lambda trials=trials, count=count: reports(trials, count))
        rows.append([trials, told["median_us"] / 1e3, told["p99_us"] / 1e3, told["processor_ms"]])
    table(["finished trials", "report, median ms", "report, 99 %, ms", "of a processor, ms"], rows)
    many = part.size(1_000, 100)
    opened = part.measure(f"open {many}", lambda: openings(many, part.size(5, 1)))
    table(["trials", "import, s", "open, s", "first suggestion, s"], [[many, *opened.values()]])
    return 0 if max(row[1] for row in rows) <= 20.0 and opened["open_seconds"] < 2.0 else 1


if __name__ == "__main__":
    sys.exit(main())
