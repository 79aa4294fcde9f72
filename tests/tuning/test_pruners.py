"""Pruners by name, in studies of Optuna's that compare learning curves at the same steps."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from touchline.errors import UsageError
from touchline.tuning import pruners
from touchline.tuning.rungs import RungPruner

EVERY, REPORTS = 10_000, 12
GOOD, BAD = 1.0, 0.0


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def study_with(pruner, direction="maximize"):
    return optuna.create_study(study_name="pruned", direction=direction, pruner=pruner)


def trained(study, curve, every=EVERY):
    """Report a curve until its end or until it is pruned; returns how many reports were made."""
    trial = study.ask()
    for number, value in enumerate(curve, start=1):
        trial.report(value, number * every)
        if trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return number
    study.tell(trial, max(curve))
    return len(curve)


def level(value):
    return [value] * REPORTS


def lengths_after(pruner, curves, **options):
    study = study_with(pruner, **options)
    return [trained(study, curve) for curve in curves]


@pytest.mark.parametrize("name", pruners.NAMES)
def test_every_name_makes_a_pruner_that_lets_the_best_trial_finish(name):
    *_, last = lengths_after(
        pruners.named(name, EVERY), [level(value) for value in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, GOOD)]
    )
    assert last == REPORTS


@pytest.mark.parametrize("every", [1, 7, EVERY])
@pytest.mark.parametrize("name", [name for name in pruners.NAMES if name != "none"])
def test_every_pruner_but_none_ends_most_trials_that_are_far_behind_however_often_they_report(name, every):
    study = study_with(pruners.named(name, every))
    lengths = [trained(study, curve, every) for curve in [level(GOOD)] * 8 + [level(BAD)] * 8]
    assert sum(length < REPORTS for length in lengths[8:]) >= 4


def test_without_pruner_the_worst_trial_finishes():
    assert lengths_after(pruners.named("none", EVERY), [level(GOOD)] * 8 + [level(BAD)])[-1] == REPORTS


def test_the_default_is_one_of_the_names():
    assert pruners.DEFAULT in pruners.NAMES


def test_another_name_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'median'"):
        pruners.named("medium", EVERY)


def test_median_waits_for_five_trials_and_aggressive_for_three():
    curves = [level(GOOD)] * 5 + [level(BAD)]
    for name, startup in (("median", 5), ("aggressive", 3)):
        assert lengths_after(pruners.named(name, EVERY), curves[-1 - startup :])[-1] == 1
        assert lengths_after(pruners.named(name, EVERY), curves[-startup:])[-1] == REPORTS


def test_hyperband_has_brackets_that_begin_at_the_first_report_and_later():
    lengths = lengths_after(pruners.named("hyperband", EVERY), [level(GOOD)] * 4 + [level(BAD)] * 40)
    assert len(set(lengths[4:])) >= 3


def test_rungs_prunes_at_its_shares_alone():
    lengths = lengths_after(RungPruner(shares=(0.5,)), [level(GOOD)] * 5 + [level(BAD)])
    assert lengths[-1] == REPORTS // 2


def test_rungs_lets_a_slow_starter_go_on_that_is_ahead_where_it_counts():
    slow = [BAD] * 3 + [GOOD + 1.0] * (REPORTS - 3)
    assert lengths_after(RungPruner(shares=(0.5,)), [level(GOOD)] * 8 + [slow])[-1] == REPORTS


def test_rungs_forgives_a_dip_after_a_good_value():
    dipped = [GOOD + 1.0] + [BAD] * (REPORTS - 1)
    assert lengths_after(RungPruner(), [level(GOOD)] * 8 + [dipped])[-1] == REPORTS


def test_rungs_compares_with_pruned_trials_too():
    # Against the four complete ones 0.5 is the worst; among all that came to the rung it is in the upper half.
    curves = [level(GOOD)] * 4 + [level(BAD)] * 8 + [level(0.5)]
    assert lengths_after(RungPruner(shares=(0.5,)), curves)[-1] == REPORTS


def test_rungs_compares_with_no_failed_trial():
    study = study_with(RungPruner(shares=(0.5,)))
    for _ in range(4):
        trained(study, level(GOOD))
    for _ in range(8):
        trial = study.ask()
        for number in range(1, REPORTS):
            trial.report(BAD, number * EVERY)
        study.tell(trial, state=TrialState.FAIL)
    assert trained(study, level(0.5)) == REPORTS // 2


def test_rungs_lets_all_go_on_until_a_trial_is_complete_and_enough_came_as_far():
    assert lengths_after(RungPruner(at_least=4), [level(1.0 - 0.1 * i) for i in range(4)]) == [REPORTS] * 4


def test_rungs_prunes_the_higher_where_lower_is_better():
    lengths = lengths_after(RungPruner(), [level(BAD)] * 5 + [level(GOOD)], direction="minimize")
    assert lengths[-1] < REPORTS


def test_rungs_takes_nan_for_the_worst():
    assert lengths_after(RungPruner(shares=(0.5,)), [level(GOOD)] * 5 + [level(float("nan"))])[-1] == REPORTS // 2
