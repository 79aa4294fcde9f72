import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.watch.window import Window, is_brief, summary_of

VALUES = st.lists(st.floats(0, 100), min_size=1)


def of(name, values):
    window = Window()
    for value in values:
        window.add(name, value)
    return window.summary()


@given(VALUES)
def test_what_peaks_is_told_as_mean_least_and_most(values):
    found = of("gpu/0/memory_percent", values)
    assert found["gpu/0/memory_percent"] == pytest.approx(sum(values) / len(values))
    assert (found["gpu/0/memory_percent/min"], found["gpu/0/memory_percent/max"]) == (min(values), max(values))


@pytest.mark.parametrize("name", ["gpu/xid", "gpu/0/energy_wh", "cost/usd", "cost/usd_wasted"])
def test_of_what_counts_only_the_newest_is_told(name):
    assert of(name, [1.0, 5.0, 9.0]) == {name: 9.0}


@pytest.mark.parametrize("name", ["host/memory_percent", "gpu/clock_sm_mhz", "custom/loss"])
def test_of_the_rest_the_mean_is_told(name):
    assert of(name, [1.0, 2.0]) == {name: 1.5}


@pytest.mark.parametrize(
    ("name", "brief"),
    [
        ("gpu/utilization_percent", True),
        ("gpu/3/memory_used_gb", True),
        ("gpu/temperature", False),
        ("gpu/0/energy_wh", False),
        ("host/disk_percent", True),
        ("jax/memory_percent", True),
        ("cost/usd", True),
    ],
)
def test_of_the_driver_only_utilisation_and_memory_belong_into_every_log_step(name, brief):
    assert is_brief(name) is brief


def test_one_sample_is_its_own_summary():
    assert summary_of({"gpu/temperature": 50.0})["gpu/temperature/max"] == 50.0
    assert summary_of({}) == {}
