"""The bounds by which gate 3 decides hold at small errors, whatever way rare scores point."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from touchline.gates import mean_bounds

score = st.floats(-10, 10, allow_nan=False).map(lambda x: round(x, 3))
samples = arrays(float, st.integers(1, 12), elements=score)
errors = st.floats(1e-5, 0.49)


@given(samples, errors)
def test_bounds_are_defined_for_any_sample_and_hold_the_mean(sample, error):
    interval = mean_bounds({"kick": sample}, error)
    assert interval.low <= interval.mean + 1e-9
    assert interval.high >= interval.mean - 1e-9


@given(samples.filter(lambda x: len(x) > 2 and np.ptp(x) > 0), errors)
def test_bounds_are_never_bolder_than_students(sample, error):
    from scipy.stats import t

    interval = mean_bounds({"kick": sample}, error)
    half = t.ppf(1 - error, len(sample) - 1) * sample.std(ddof=1) / math.sqrt(len(sample))
    assert interval.low <= interval.mean - half + 1e-6
    assert interval.high >= interval.mean + half - 1e-6


@given(samples, st.floats(-5, 5), st.floats(0.1, 10))
def test_bounds_move_and_stretch_with_the_scores(sample, shift, scale):
    first, moved = mean_bounds({"kick": sample}, 0.01), mean_bounds({"kick": scale * sample + shift}, 0.01)
    if "none" not in (first.method, moved.method):
        assert moved.low == pytest.approx(scale * first.low + shift, abs=1e-6, rel=1e-6)


@given(samples)
def test_the_upper_bound_is_the_mirror_of_the_lower(sample):
    assert mean_bounds({"kick": sample}, 0.01).high == pytest.approx(-mean_bounds({"kick": -sample}, 0.01).low)


@given(samples, errors, errors)
def test_a_smaller_error_is_never_bolder(sample, one, other):
    bold, cautious = mean_bounds({"kick": sample}, max(one, other)), mean_bounds({"kick": sample}, min(one, other))
    assert cautious.low <= bold.low + 1e-9


@given(st.permutations(["a", "b", "c"]))
def test_the_order_of_tasks_does_not_matter(order):
    tasks = {name: np.random.default_rng(3).normal(size=10) * len(name) for name in "abc"}
    assert mean_bounds({name: tasks[name] for name in order}, 0.01) == mean_bounds(tasks, 0.01)


def test_tasks_weigh_the_same_however_many_scenarios_they_have():
    interval = mean_bounds({"long": np.zeros(90), "short": np.array([1.0, 1.0, 1.0])}, 0.05)
    assert (interval.mean, interval.pairs) == (pytest.approx(0.5), 93)


@pytest.mark.parametrize("sample", [[3.0], [1.0, 2.0], [0.1] * 200, [0.0] * 8, [-1e9] * 5])
def test_without_variance_or_with_too_few_there_is_no_interval(sample):
    interval = mean_bounds({"kick": sample}, 0.05)
    assert (interval.low, interval.high, interval.method) == (-math.inf, math.inf, "none")
    assert interval.mean == pytest.approx(np.mean(sample))


def errors_made(draw, error, repeats=4_000):
    """How often the lower bound lies above the true mean, which is 0."""
    random = np.random.default_rng(6)
    return np.mean([mean_bounds({"kick": draw(random)}, error).low > 0 for _ in range(repeats)])


def rare(random, share, size):
    happened = random.random(200) < share
    return np.where(happened, size, 0.0) - share * size


@pytest.mark.parametrize(
    ("draw", "error", "at_most"),
    [
        pytest.param(lambda random: random.normal(size=200), 0.05, 0.06, id="normal"),
        pytest.param(lambda random: rare(random, 0.05, -2.3), 0.025, 0.05, id="the opponent scores a rare goal"),
        pytest.param(lambda random: rare(random, 0.05, 2.3), 0.025, 0.035, id="the candidate scores a rare goal"),
        pytest.param(
            lambda random: rare(random, 0.02, 2.3) - rare(random, 0.02, 2.3), 0.0025, 0.005, id="both do, the same"
        ),
    ],
)
def test_a_bound_errs_about_as_often_as_it_says(draw, error, at_most):
    assert errors_made(draw, error) <= at_most


def test_bounds_take_no_time():
    tasks = {name: np.random.default_rng(1).normal(size=200) for name in "abc"}
    mean_bounds(tasks, 0.05)
    began = time.perf_counter()
    for _ in range(100):
        mean_bounds(tasks, 0.05)
    assert time.perf_counter() - began < 1.0
