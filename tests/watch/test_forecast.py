import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from touchline.errors import UsageError
from touchline.watch.forecast import MemoryForecast
from touchline.watch.growth import ForecastConfig, Span, extrapolate, theil_sen
from touchline.watch.snapshot import Snapshot


def forecasts(percent, series="gpu/memory_percent", every=1.0, **beside):
    """Each forecast with its time, of memory at each sample."""
    forecast = MemoryForecast()
    for index, value in enumerate(percent):
        at = 1_000.0 + index * every
        found = forecast.observe(Snapshot(at, {series: float(value), **beside}))
        if found is not None:
            yield at, found


def filling(quiet, start, seconds, every=1.0):
    """Memory that stands still and then fills up."""
    return np.concatenate([np.full(int(quiet / every), start), np.linspace(start, 100.0, int(seconds / every))])


def jittered(percent, spread=0.2, seed=0):
    return np.clip(percent + np.random.default_rng(seed).normal(0.0, spread, len(percent)), 0.0, 100.0)


@pytest.mark.parametrize("series", ["gpu/memory_percent", "gpu/3/memory_percent", "jax/memory_percent"])
@pytest.mark.parametrize("seconds", [60, 100, 600, 3_600])
def test_memory_that_fills_up_is_foretold_half_a_minute_before(series, seconds):
    percent = jittered(filling(200, 30.0, seconds))
    at, found = next(forecasts(percent, series))
    full_at = 1_000.0 + 200 + seconds
    assert full_at - at >= 30.0
    assert found.series == series
    assert found.full_at == pytest.approx(full_at, abs=0.1 * seconds)
    assert found.rate == pytest.approx(70.0 / seconds, rel=0.2)


@pytest.mark.parametrize("every", [0.1, 0.5, 2.0])
def test_a_watch_with_another_interval_foretells_as_well(every):
    at, _ = next(forecasts(jittered(filling(100, 30.0, 80, every)), every=every))
    assert 30.0 <= 1_000.0 + 180.0 - at <= 80.0


def test_a_leak_of_hours_is_foretold_hours_before():
    at, found = next(forecasts(jittered(filling(60, 40.0, 6 * 3_600), 0.5)))
    assert 1_000.0 + 60 + 6 * 3_600 - at > 2 * 3_600
    assert found.seen_seconds > 3_600


def test_growth_in_blocks_and_with_pauses_is_foretold():
    blocks = np.repeat(np.arange(30.0, 100.0, 2.5), 10)
    assert next(forecasts(np.concatenate([np.full(60, 30.0), blocks])))[0] <= 1_000.0 + 60 + len(blocks) - 30
    pause = [np.linspace(30, 60, 120), np.full(25, 60.0), np.linspace(60, 100, 160)]
    assert next(forecasts(np.concatenate(pause)))[0] <= 1_000.0 + 305 - 30


def test_the_memory_that_is_full_first_is_foretold():
    forecast, found = MemoryForecast(), None
    for second in range(80):
        values = {"gpu/memory_percent": 20.0 + 0.9 * second, "torch/memory_percent": 20.0 + second}
        found = forecast.observe(Snapshot(float(second), values)) or found
    assert found.series == "torch/memory_percent"


SECOND = np.arange(9_000)
AT_REST = {
    "preallocated": np.full(5_000, 75.0),
    "a reserve that is nearly all": np.full(5_000, 99.5),
    "a step": np.repeat([40.0, 90.0], 2_000),
    "a start that settles": 80.0 * (1.0 - np.exp(-SECOND / 30.0)),
    "a model that is loaded": np.minimum(8.0 * SECOND, 80.0),
    "caches that fill ever more slowly": 50.0 + 25.0 * (1.0 - np.exp(-SECOND / 1_500.0)),
    "an allocator that gives back": 60.0 + 12.0 * (SECOND % 300) / 300,
    "evaluations": 55.0 + 25.0 * np.clip(SECOND % 900 / 5.0, 0.0, 1.0) * (SECOND % 900 < 90),
}


@pytest.mark.parametrize("percent", AT_REST.values(), ids=AT_REST)
def test_memory_that_comes_to_rest_is_not_foretold(percent):
    assert list(forecasts(jittered(percent, 0.05))) == []


def test_a_growth_that_gave_back_is_foretold_only_the_first_time():
    tooth = np.linspace(40.0, 85.0, 120)
    told = [at for at, _ in forecasts(np.tile(tooth, 20))]
    assert told
    assert max(told) < 1_000.0 + 120


def test_a_growth_beyond_what_was_given_back_before_is_foretold():
    tooth = np.linspace(40.0, 85.0, 120)
    percent = np.concatenate([np.tile(tooth, 5), np.linspace(40.0, 100.0, 160)])
    told = [at for at, _ in forecasts(percent)]
    assert max(told) > 1_000.0 + 5 * 120 + 120


def test_memory_given_back_is_no_longer_foretold():
    percent = np.concatenate([np.linspace(20.0, 85.0, 4_000), np.full(10, 20.0)])
    told = [at for at, _ in forecasts(percent)]
    assert max(told) == 1_000.0 + 3_999


def test_what_was_seen_before_a_long_gap_counts_no_more():
    forecast = MemoryForecast()
    found = [forecast.observe(Snapshot(70.0 * i, {"gpu/memory_percent": 30.0 + i})) for i in range(70)]
    assert found == [None] * 70


def test_a_process_that_starts_is_granted_a_minute_to_take_what_it_needs():
    start = np.concatenate([np.full(10, 1.0), np.linspace(1.0, 70.0, 40), np.full(600, 70.0)])
    assert list(forecasts(start)) == []
    assert list(forecasts(start + 5.0)) != []


def test_the_memory_of_the_host_is_none_of_a_gpus():
    assert list(forecasts(filling(60, 30.0, 120), "host/memory_percent")) == []


def spans(percent, seconds=1.0):
    return [Span(index * seconds, value, value) for index, value in enumerate(percent)]


def test_a_straight_growth_says_when_it_is_full():
    growth = extrapolate(spans(np.linspace(50.0, 70.0, 21)), ForecastConfig())
    assert growth.rate == pytest.approx(1.0)
    assert growth.full_at == pytest.approx(50.0)
    assert growth.seen == 20.0


def test_what_remains_may_not_be_longer_than_what_was_seen():
    minute_by_minute = np.linspace(50.0, 70.0, 21)
    assert extrapolate(spans(minute_by_minute, 60.0), ForecastConfig()) is None
    assert extrapolate(spans(minute_by_minute + 15.0, 60.0), ForecastConfig()).remaining == pytest.approx(900.0)


def test_growth_that_slows_down_takes_longer_or_never_ends():
    slowing = np.concatenate([np.linspace(50.0, 66.0, 11), np.linspace(66.0, 76.0, 11)[1:]])
    assert extrapolate(spans(slowing + 10.0), ForecastConfig(deviation=0.5)).remaining > 14.0
    assert extrapolate(spans(slowing), ForecastConfig(deviation=0.5)) is None


@given(
    some.lists(some.floats(-100.0, 100.0), min_size=3, max_size=25),
    some.floats(-10.0, 10.0),
    some.floats(0.1, 10.0),
)
def test_the_slope_follows_what_is_added_and_multiplied(values, slope, factor):
    at = np.arange(float(len(values)))
    given_values = np.array(values)
    expected = factor * theil_sen(at, given_values) + slope
    assert theil_sen(at, factor * given_values + slope * at) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("where", list(itertools.combinations(range(0, 20, 4), 3)))
def test_the_slope_does_not_mind_a_few_points_far_off(where):
    at = np.arange(20.0)
    values = 2.0 * at
    values[list(where)] += 1e6
    assert theil_sen(at, values) == pytest.approx(2.0)


def test_a_configuration_below_zero_is_refused():
    with pytest.raises(UsageError, match="urgent_seconds is -1"):
        ForecastConfig(urgent_seconds=-1.0)
