"""Attempts of a reign share one error probability, and each meets scenarios of its own."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.errors import UsageError
from touchline.gates import error_of_attempt, scenario_seeds

reigns = st.sampled_from(["none", "a" * 64, "0123456789abcdef" * 4])


@given(st.integers(1, 2_000))
def test_all_attempts_together_never_spend_more_than_the_reign_has(attempts):
    spent = math.fsum(error_of_attempt(attempt) for attempt in range(1, attempts + 1))
    assert spent == pytest.approx(0.05 * attempts / (attempts + 1))
    assert spent < 0.05


def test_the_first_attempt_spends_half_and_the_twentieth_hardly_anything():
    assert error_of_attempt(1) == pytest.approx(0.025)
    assert error_of_attempt(20) == pytest.approx(0.000119, rel=0.01)


@pytest.mark.parametrize("attempt", [0, -1])
def test_an_attempt_before_the_first_is_refused(attempt):
    with pytest.raises(UsageError, match="count from 1"):
        error_of_attempt(attempt)


@given(reigns, st.integers(1, 50), st.sampled_from(["goalie", "kick"]), st.integers(1, 300))
def test_seeds_are_distinct_and_fit_a_generator(reign, attempt, task, count):
    seeds = scenario_seeds(reign, attempt, task, count)
    assert len(set(seeds)) == count
    assert all(0 <= seed < 2**31 for seed in seeds)


@given(reigns, st.integers(1, 50), st.integers(1, 100), st.integers(1, 100))
def test_more_scenarios_go_on_from_the_fewer(reign, attempt, few, more):
    longer = scenario_seeds(reign, attempt, "kick", few + more)
    assert longer[:few] == scenario_seeds(reign, attempt, "kick", few)


def test_every_attempt_reign_and_task_has_scenarios_of_its_own():
    asked = [(reign, attempt, task) for reign in ("none", "a" * 64) for attempt in (1, 2, 12) for task in ("a", "b")]
    seeds = [seed for one in asked for seed in scenario_seeds(*one, 200)]
    assert len(set(seeds)) > len(seeds) - 5


def test_seeds_are_the_same_on_every_machine_for_ever():
    assert scenario_seeds("none", 1, "kick_to_target", 3) == (451015545, 1490698735, 358939852)


@pytest.mark.parametrize("count", [0, -3, 2**31])
def test_a_count_that_cannot_be_is_refused(count):
    with pytest.raises(UsageError, match="distinct seeds"):
        scenario_seeds("none", 1, "kick", count)
