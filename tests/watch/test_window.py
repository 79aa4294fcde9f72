import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.watch.window import Handover, Window, is_brief

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


def test_a_window_that_grew_leaves_the_one_before_as_it_was():
    before = Window().grown({"a": 1.0})
    assert before.grown({"a": 3.0}).summary == {"a": 2.0}
    assert before.summary == {"a": 1.0}


BOTH = {"gpu/clock_sm_mhz": 1000.0, "host/cpu_percent": 10.0}
TWICE = {name: 2 * value for name, value in BOTH.items()}


def handover(*samples):
    handover = Handover()
    for sample in samples:
        handover.add(sample, until=9.0)
    return handover


def test_what_was_taken_is_not_told_again_and_the_next_sample_begins_anew():
    given = handover(BOTH, TWICE)
    assert given.take(False, now=0.0) == {"host/cpu_percent": 15.0}
    given.add(BOTH, until=9.0)
    assert given.take(False, now=0.0) == {"host/cpu_percent": 10.0}


def test_details_go_on_until_they_are_taken():
    given = handover(BOTH)
    given.take(False, now=0.0)
    given.add(TWICE, until=9.0)
    assert given.take(True, now=0.0) == {"host/cpu_percent": 20.0, "gpu/clock_sm_mhz": 1500.0}
    given.add(TWICE, until=9.0)
    assert given.take(True, now=0.0) == TWICE


def test_details_are_taken_even_when_nothing_is_new():
    given = handover(BOTH, TWICE)
    given.take(False, now=0.0)
    assert given.take(True, now=0.0) == {"host/cpu_percent": 20.0, "gpu/clock_sm_mhz": 1500.0}


def test_between_two_samples_the_newest_one_is_told_as_long_as_it_holds():
    given = handover(BOTH, TWICE)
    given.take(True, now=0.0)
    assert given.take(False, now=9.0) == {"host/cpu_percent": 20.0}
    assert given.take(True, now=9.0) == TWICE
    assert given.take(True, now=9.1) == {}


@pytest.mark.parametrize("detail", [False, True])
def test_what_was_taken_is_the_takers_to_change(detail):
    given = handover(BOTH)
    given.take(detail, now=0.0).clear()
    assert given.take(True, now=0.0) == BOTH
    given.take(detail, now=0.0).clear()
    assert given.take(True, now=0.0) == BOTH
    given.add(BOTH, until=9.0)
    assert given.take(True, now=0.0) == BOTH


class Interrupted(dict):
    """What waits to be taken; before the access number ``at`` somebody else comes by."""

    def __init__(self, waiting, at, come):
        super().__init__(waiting)
        self._at, self._come = at, come

    def _access(self):
        self._at -= 1
        if self._at == 0:
            self._come()

    def pop(self, *arguments):
        self._access()
        return super().pop(*arguments)

    def __setitem__(self, key, value):
        self._access()
        super().__setitem__(key, value)


@pytest.mark.parametrize("access", [1, 2, 3, 4])
@pytest.mark.parametrize("detail", [False, True])
def test_a_summary_that_is_taken_while_a_sample_comes_loses_no_sample_and_tells_none_twice(access, detail):
    given, taken = handover({"gpu/clock_sm_mhz": 10.0, "host/cpu_percent": 10.0}), []
    given._waiting = Interrupted(given._waiting, access, lambda: taken.append(given.take(detail, now=0.0)))
    given.add({"gpu/clock_sm_mhz": 20.0, "host/cpu_percent": 20.0}, until=9.0)
    (during,) = taken
    after = given.take(True, now=0.0)
    # The one alone and then the other, or a glance at the newest sample and then the mean of both.
    for name in during:
        assert (during[name], after[name]) in {(10.0, 20.0), (20.0, 15.0), (15.0, 20.0)}
    assert after.keys() == {"gpu/clock_sm_mhz", "host/cpu_percent"}
    assert detail or after["gpu/clock_sm_mhz"] == 15.0
