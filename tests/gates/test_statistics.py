import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from touchline.errors import UsageError
from touchline.gates import exact_share, paired_bootstrap
from touchline.gates.statistics import differences

score = st.floats(-10, 10, allow_nan=False).map(lambda x: round(x, 3))
samples = arrays(float, st.integers(1, 12), elements=score)


@settings(max_examples=60)
@given(samples)
def test_a_bound_is_defined_for_any_sample_and_holds_the_mean(sample):
    interval = paired_bootstrap(sample)
    assert not math.isnan(interval.low)
    assert interval.low <= interval.mean + 1e-9
    assert interval.high >= interval.mean - 1e-9


def test_one_pair_excludes_nothing():
    interval = paired_bootstrap([3.0])
    assert (interval.mean, interval.low, interval.method) == (3.0, -math.inf, "none")


@pytest.mark.parametrize("value", [0.0, 0.1, -1e9])
def test_equal_differences_give_a_point(value):
    interval = paired_bootstrap(np.full(8, value))
    assert interval.method == "point"
    assert interval.low == interval.high == interval.mean == pytest.approx(value)


def test_the_same_seed_gives_the_same_bounds_and_another_seed_nearly_the_same():
    sample = np.random.default_rng(0).normal(size=50)
    first = paired_bootstrap(sample, seed=1)
    assert paired_bootstrap(sample, seed=1) == first
    assert paired_bootstrap(sample, seed=2).low == pytest.approx(first.low, abs=0.02)
    assert paired_bootstrap(sample, seed=2).low != first.low


def test_tasks_weigh_the_same_however_many_scenarios_they_have():
    interval = paired_bootstrap({"long": np.zeros(90), "short": np.array([1.0, 1.0, 1.0])})
    assert interval.mean == pytest.approx(0.5)
    assert interval.pairs == 93


@settings(max_examples=20)
@given(st.permutations(["a", "b", "c"]))
def test_the_order_of_tasks_does_not_matter(order):
    rng = np.random.default_rng(3)
    tasks = {name: rng.normal(size=10) for name in "abc"}
    assert paired_bootstrap({name: tasks[name] for name in order}) == paired_bootstrap(tasks)


def test_a_bound_is_equivariant_under_a_shift():
    sample = np.random.default_rng(4).normal(size=40)
    assert paired_bootstrap(sample + 5).low == pytest.approx(paired_bootstrap(sample).low + 5)


@pytest.mark.slow
def test_the_lower_bound_covers_as_it_says():
    rng = np.random.default_rng(5)
    covered = [paired_bootstrap(rng.normal(size=100), seed=i).low < 0.0 for i in range(1000)]
    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        ({"a": [1.0]}, {"b": [1.0]}, "same tasks"),
        ({}, {}, "same tasks"),
        ({"a": [1.0]}, {"a": [1.0, 2.0]}, "shapes"),
        ({"a": []}, {"a": []}, "shapes"),
        ({"a": [math.nan]}, {"a": [1.0]}, "not finite"),
    ],
)
def test_what_cannot_be_paired_is_refused(ours, theirs, message):
    with pytest.raises(UsageError, match=message):
        differences(ours, theirs)


@pytest.mark.parametrize("confidence", [0.5, 1.0, 95])
def test_a_confidence_that_is_none_is_refused(confidence):
    with pytest.raises(UsageError, match=r"between 0\.5 and 1"):
        paired_bootstrap([1.0, 2.0], confidence=confidence)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (1, 1), (12, 300)])
def test_exact_bounds_of_a_share_are_those_that_its_definition_asks_for(successes, trials):
    from scipy.stats import binom

    found = exact_share(successes, trials, 0.975)
    assert found.mean == successes / trials
    # At the lower bound, what was seen or more has a chance of 2.5 %; at the upper bound, what was seen or less.
    more, less = binom.sf(successes - 1, trials, found.low), binom.cdf(successes, trials, found.high)
    assert found.low == 0.0 if successes == 0 else more == pytest.approx(0.025)
    assert found.high == 1.0 if successes == trials else less == pytest.approx(0.025)


def test_a_share_of_nothing_is_refused():
    with pytest.raises(UsageError, match="0 of 0 is no share"):
        exact_share(0, 0)
