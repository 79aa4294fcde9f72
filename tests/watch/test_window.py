import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.watch.window import Window, Windows, is_brief

VALUES = st.lists(st.floats(0, 100), min_size=1)


def of(name, values):
    window = Window()
    for value in values:
        window = window.grown({name: value})
    return dict(window.summary)


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


def test_a_sample_is_split_into_what_every_log_step_tells_and_the_rest():
    windows = Windows().grown({"gpu/temperature": 50.0, "host/cpu_percent": 7.0})
    assert windows.brief.summary == {"host/cpu_percent": 7.0}
    assert set(windows.detail.summary) == {"gpu/temperature", "gpu/temperature/min", "gpu/temperature/max"}


def test_a_window_that_grew_leaves_the_one_before_as_it_was():
    before = Window().grown({"a": 1.0})
    assert before.grown({"a": 3.0}).summary == {"a": 2.0}
    assert before.summary == {"a": 1.0}
