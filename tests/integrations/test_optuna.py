"""A study of one's own in one run."""

from __future__ import annotations

from pathlib import Path

import optuna

import touchline
from touchline.integrations.optuna import TouchlineCallback

from .conftest import Example, events, names, only_run, points


def test_the_example_records_every_trial_and_the_best_so_far(example: Example, journal_only: Path) -> None:
    study = example("optuna_study.py", "--trials", 6)["study"]
    assert isinstance(study, optuna.Study)
    directory = only_run(journal_only)
    recorded = {step: value for name, step, value in points(directory) if name == "trial/value"}
    assert recorded == {trial.number: trial.value for trial in study.trials}
    best = {step: value for name, step, value in points(directory) if name == "trial/best_value"}
    assert best[5] == study.best_value
    results = {name: value for _, _, row in events(directory, "summary") for name, value in row.items()}
    assert results["best/number"] == study.best_trial.number
    assert results["trials/complete"] == 6


def test_pruned_and_failed_trials_and_several_objectives_are_recorded_too(journal_only: Path) -> None:
    def objective(trial: optuna.Trial) -> float:
        trial.suggest_categorical("kind", ["a"])
        if trial.number == 0:
            raise optuna.TrialPruned
        raise ValueError("no")

    with touchline.start_run("study") as run:
        study = optuna.create_study()
        study.optimize(objective, 2, catch=ValueError, callbacks=[TouchlineCallback(run)])
    assert names(run.directory) == {"trial/seconds", "trial/kind"}
    assert {"trials/pruned": 1, "trials/fail": 1} in [row for _, _, row in events(run.directory, "summary")]
    with touchline.start_run("study") as run:
        study = optuna.create_study(directions=["minimize", "maximize"])
        study.optimize(lambda trial: (trial.suggest_int("n", 1, 1), 2.0), 1, callbacks=[TouchlineCallback(run)])
    assert {(name, value) for name, _, value in points(run.directory) if name != "trial/seconds"} == {
        ("trial/value_0", 1.0),
        ("trial/value_1", 2.0),
        ("trial/n", 1.0),
    }


def test_choices_that_are_no_numbers_are_recorded_by_their_index_and_told_once(journal_only: Path) -> None:
    def objective(trial: optuna.Trial) -> float:
        trial.suggest_categorical("size", [32, 64])
        return len(str(trial.suggest_categorical("c", ["a", None, 3, True])))

    with touchline.start_run("study") as run:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
        study.optimize(objective, 25, callbacks=[TouchlineCallback(run)])
    recorded = {(name, step): value for name, step, value in points(run.directory)}
    for trial in study.trials:
        chosen = ["a", None, 3, True][int(recorded["trial/c", trial.number])]
        assert chosen is trial.params["c"]
        assert recorded["trial/size", trial.number] == trial.params["size"]
    assert {trial.params["c"] for trial in study.trials} == {"a", None, 3, True}
    told = [row for _, _, row in events(run.directory, "params") if "choices/c" in row]
    assert told == [{"choices/c": "0 = 'a', 1 = None, 2 = 3, 3 = True"}]


def test_a_parameter_that_is_called_as_a_figure_of_the_trial_takes_nothing_from_it(journal_only: Path) -> None:
    with touchline.start_run("study") as run:
        study = optuna.create_study()
        study.optimize(lambda trial: trial.suggest_int("value", 3, 3) * 2.0, 1, callbacks=[TouchlineCallback(run)])
    found = {name: value for name, _, value in points(run.directory)}
    assert (found["trial/value"], found["trial/parameter_value"]) == (6.0, 3.0)
    results = {name: value for _, _, row in events(run.directory, "summary") for name, value in row.items()}
    assert results["best/value"] == 6.0
