"""What a run reports: at steps that compare, once, until the trial is pruned; and the run that ends as pruned."""

from __future__ import annotations

import math
from pathlib import Path

import optuna
import pytest

import touchline
from touchline.tracking.journal import JournalReader
from touchline.tuning import TrialPruned, TrialReporter, report_to


class Never(optuna.pruners.BasePruner):
    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        return False


class From(optuna.pruners.BasePruner):
    """Prunes from a step on."""

    def __init__(self, step: int) -> None:
        self.step = step

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        return (trial.last_step or 0) >= self.step


def asked(pruner: optuna.pruners.BasePruner | None = None) -> optuna.Trial:
    return optuna.create_study(direction="maximize", pruner=pruner or Never()).ask()


def values(trial: optuna.Trial) -> dict[int, float]:
    return trial.study.trials[0].intermediate_values


def test_steps_that_leap_over_multiples_are_quantised_downwards() -> None:
    trial = asked()
    reporter = TrialReporter(trial, every=10_000)
    for step in (0, 4_096, 12_288, 16_384, 20_480, 45_056):
        assert reporter.due(step) == (step in (12_288, 20_480, 45_056))
        reporter.report(step, step)
    assert values(trial) == {10_000: 12_288.0, 20_000: 20_480.0, 40_000: 45_056.0}
    assert reporter.last == 45_056.0


def test_a_retried_trial_reports_only_what_is_new_and_may_be_due_again() -> None:
    trial = asked()
    TrialReporter(trial, every=10).report(1.0, 20)
    again = TrialReporter(trial, every=10)
    assert again.last == 1.0
    again.report(5.0, 20)
    again.report(2.0, 30)
    assert values(trial) == {20: 1.0, 30: 2.0}


def test_a_pruned_trial_leaves_with_an_exception_that_optuna_knows_too() -> None:
    reporter = TrialReporter(asked(From(20)), every=10)
    reporter.report(1.0, 10)
    with pytest.raises(TrialPruned, match="Pruned at 20 steps") as pruned:
        reporter.report(1.0, 25)
    assert isinstance(pruned.value, optuna.TrialPruned)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_fails_the_trial(value: float) -> None:
    with pytest.raises(FloatingPointError, match="reported after 5 steps"):
        TrialReporter(asked()).report(value, 5)


def test_without_a_study_a_report_is_only_logged(home: Path) -> None:
    settings = touchline.Settings(home=home, sinks=(), capture=())
    with touchline.start_run("train", settings=settings, run_id="r") as run:
        assert not run.report_due(10_000)
        run.report(math.nan, 1)
        run.report(0.5, 2)
    with JournalReader(home / "runs/r/journal.db") as journal:
        assert [(event.step, event.payload) for event in journal.of_kind(["metrics"])] == [
            (1, {"objective": "NaN"}),
            (2, {"objective": 0.5}),
        ]


def test_anyones_loop_plugs_in_with_one_line_and_its_run_ends_as_pruned(home: Path) -> None:
    settings = touchline.Settings(home=home, sinks=(), capture=())

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("x", 0.0, 1.0)
        with touchline.start_run("train", settings=settings, run_id=f"r{trial.number}") as run:
            report_to(run, trial)
            for step in range(1, 10):
                run.report(float(step), step)
        return 1.0

    study = optuna.create_study(direction="maximize", pruner=From(3))
    study.optimize(objective, n_trials=1)
    assert study.trials[0].state == optuna.trial.TrialState.PRUNED
    with JournalReader(home / "runs/r0/journal.db") as journal:
        end = journal.newest("end")
        assert end is not None
        assert (end.payload["status"], end.payload["reason"][:16]) == ("pruned", "Pruned at 3 step")
        assert [event.payload for event in journal.of_kind(["tags"])] == [{"pruned": ""}]
