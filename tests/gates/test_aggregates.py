"""Interquartile mean and probability of improvement are those of Agarwal et al. 2021."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from touchline.errors import UsageError
from touchline.gates.aggregates import interquartile_mean, probability_of_improvement

score = st.floats(-10, 10, allow_nan=False)


def normal(seed, shift=0.0, size=40):
    random = np.random.default_rng(seed)
    return {task: random.normal(size=size) + shift for task in "ab"}


@settings(max_examples=25)
@given(arrays(float, st.integers(1, 10).map(lambda n: 4 * n), elements=score))
def test_the_interquartile_mean_is_that_of_the_middle_half(sample):
    found = interquartile_mean({"kick": sample})
    quarter = sample.size // 4
    assert found.mean == pytest.approx(np.sort(sample)[quarter:-quarter].mean())


def test_the_interquartile_mean_ignores_an_outlier():
    calm = normal(0)
    wild = {**calm, "a": np.where(calm["a"] == calm["a"].max(), 1e6, calm["a"])}
    assert interquartile_mean(wild).mean == pytest.approx(interquartile_mean(calm).mean)


@settings(max_examples=25)
@given(arrays(float, 7, elements=score), arrays(float, 7, elements=score))
def test_the_probability_of_improvement_is_the_mann_whitney_statistic(ours, theirs):
    from scipy.stats import mannwhitneyu

    found = probability_of_improvement({"kick": ours}, {"kick": theirs})
    assert found.mean == pytest.approx(mannwhitneyu(ours, theirs).statistic / ours.size**2)
    back = probability_of_improvement({"kick": theirs}, {"kick": ours})
    assert found.mean + back.mean == pytest.approx(1.0)


def test_equals_improve_in_half_of_the_episodes_and_a_better_one_in_more():
    assert probability_of_improvement(normal(1), normal(1)).mean == pytest.approx(0.5)
    better = probability_of_improvement(normal(1, shift=1.0), normal(2))
    assert 0.5 < better.low < better.mean < better.high <= 1.0


def test_the_bounds_cover_and_are_the_same_again():
    covered = [
        (one := interquartile_mean(normal(seed))).low < 0.0 < one.high and one == interquartile_mean(normal(seed))
        for seed in range(60)
    ]
    assert 0.85 <= np.mean(covered) <= 1.0


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(UsageError, match="same tasks"):
        probability_of_improvement({"a": [1.0]}, {"b": [1.0]})
    with pytest.raises(UsageError, match="different scenarios"):
        probability_of_improvement({"a": [1.0]}, {"a": [1.0, 2.0]})
    with pytest.raises(UsageError, match="at least one value"):
        interquartile_mean({})
