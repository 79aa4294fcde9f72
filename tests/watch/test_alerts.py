import math

import pytest

from touchline.errors import UsageError
from touchline.watch.alerts import Alert, AlertConfig, Alerts
from touchline.watch.snapshot import Snapshot
from touchline.watch.words import duration

WELL = {"gpu/utilization_percent": 90.0, "gpu/memory_percent": 60.0, "gpu/temperature": 70.0}
TWO_WELL = {name.replace("gpu/", f"gpu/{index}/"): value for index in range(2) for name, value in WELL.items()}
GONE: dict[str, float] = {}


def told(*stretches, config=None):
    """(second, alert) of what is told, of stretches of (seconds, values, reasons for absences)."""
    alerts, at, found = Alerts(config or AlertConfig()), 0, []
    for seconds, values, *absent in stretches:
        for _ in range(seconds):
            snapshot = Snapshot(float(at), values, absent[0] if absent else {})
            found += [(at, alert) for alert in alerts.observe(snapshot)]
            at += 1
    return found


def rules(found):
    return [(at, alert.rule, alert.recovered) for at, alert in found]


@pytest.mark.parametrize(
    ("rule", "series", "value"),
    [
        ("memory", "gpu/memory_percent", 97.0),
        ("memory", "jax/memory_percent", 96.0),
        ("temperature", "gpu/temperature", 88.0),
    ],
)
def test_what_is_above_its_limit_is_told_once_and_its_end_once(rule, series, value):
    found = told((60, WELL), (100, {**WELL, series: value}), (300, {**WELL, series: 50.0}))
    assert rules(found) == [(65, rule, False), (280, rule, True)]
    (_, alert), (_, end) = found
    assert (alert.level, end.level) == ("warn", "info")
    assert f"{value:.1f}" in alert.text
    assert end.text.endswith("after 2 min.")


def test_a_misreading_of_a_second_is_not_told():
    assert told(*[(60, WELL), (2, {**WELL, "gpu/temperature": 120.0})] * 20) == []


def test_of_several_gpus_the_one_that_is_hot_is_named():
    found = told((20, {**TWO_WELL, "gpu/1/temperature": 90.0, "gpu/temperature": 90.0}))
    assert [alert.title for _, alert in found] == ["GPU 1: temperature above 85 °C"]


def test_a_thousand_flaps_around_a_limit_are_at_most_two_alerts():
    full, less = {**WELL, "gpu/memory_percent": 96.0}, {**WELL, "gpu/memory_percent": 94.0}
    assert rules(told(*[(3, full), (3, less)] * 1_000, (300, WELL))) == [
        (6, "memory", False),
        (6_120, "memory", True),
    ]


@pytest.mark.parametrize(("cause", "level"), [("thermal", "warn"), ("hardware", "warn"), ("power", "info")])
def test_a_gpu_that_slows_itself_down_for_long_is_told_with_the_cause(cause, level):
    flag = f"gpu/throttle_{cause}"
    found = told((120, {**WELL, flag: 0.0}), (200, {**WELL, flag: 1.0}), (300, {**WELL, flag: 0.0}))
    assert [(alert.rule, alert.level) for _, alert in found] == [
        (f"throttle_{cause}", level),
        (f"throttle_{cause}", "info"),
    ]
    assert 120 + 30 < found[0][0] < 120 + 60
    assert found[1][1].text == "GPU runs at its clock again, after 3 min."


def test_throttling_that_comes_and_goes_is_told_by_its_share():
    on, off = {**WELL, "gpu/throttle_thermal": 1.0}, {**WELL, "gpu/throttle_thermal": 0.0}
    assert [alert.rule for _, alert in told(*[(6, on), (2, off)] * 60)] == ["throttle_thermal"]
    assert told(*[(3, on), (7, off)] * 60) == []


def test_a_gpu_that_the_driver_calls_lost_is_told_with_the_reason_and_so_is_its_return():
    found = told((60, WELL), (60, GONE, {"gpu/memory_percent": "GPU is lost (NVIDIA L4)"}), (200, WELL))
    assert rules(found) == [(63, "gpu_lost", False), (240, "gpu_lost", True)]
    assert found[0][1].level == "error"
    assert found[0][1].text.startswith("There are no figures of the GPU: GPU is lost (NVIDIA L4). It needs a reset")
    assert found[1][1].text == "GPU is back, after 61 s."


def test_a_gpu_that_tells_nothing_was_away_from_its_last_figure_on():
    found = told((60, WELL), (60, GONE, {"gpu/memory_percent": "the driver hangs"}), (200, WELL))
    assert found[1][1].text == "GPU is back, after 61 s."


def test_a_gpu_that_is_lost_from_the_first_is_told():
    assert rules(told((10, GONE, {"gpu/memory_percent": "GPU is lost"}))) == [(3, "gpu_lost", False)]


def test_a_gpu_that_was_there_and_tells_nothing_any_more_is_told_after_a_while():
    found = told((60, WELL), (60, GONE, {"gpu/memory_percent": "the NVIDIA driver does not start"}))
    assert rules(found) == [(92, "gpu_lost", False)]
    assert "the NVIDIA driver does not start" in found[0][1].text


def test_an_old_xid_is_no_sign_of_life_of_a_gpu():
    found = told((60, {**WELL, "gpu/xid": 79.0}), (60, {"gpu/xid": 79.0}))
    assert [alert.rule for _, alert in found] == ["xid", "gpu_lost"]


def test_a_figure_that_is_no_number_spoils_none_after_it():
    odd = {**dict.fromkeys(WELL, math.nan), "gpu/throttle_thermal": math.nan, "gpu/xid": math.nan}
    hot = {"gpu/memory_percent": 97.0, "gpu/temperature": 90.0, "gpu/throttle_thermal": 1.0}
    found = told((10, odd), (100, hot))
    assert sorted(alert.rule for _, alert in found) == ["memory", "temperature", "throttle_thermal"]


def test_an_error_of_a_second_is_no_lost_gpu():
    assert told((60, WELL), (1, GONE, {"gpu/memory_percent": "GPU is lost"}), (60, WELL)) == []


def test_a_machine_that_never_had_a_gpu_has_lost_none():
    assert told((300, {"host/cpu_percent": 10.0}, {"gpu/memory_percent": "no NVIDIA driver on this machine"})) == []


def test_of_several_gpus_the_lost_one_is_named():
    left = {name: value for name, value in TWO_WELL.items() if name.startswith("gpu/1/")}
    absent = {"gpu/0/memory_percent": "GPU is lost", "gpu/memory_percent": "GPU 0: GPU is lost"}
    assert [alert.title for _, alert in told((20, TWO_WELL), (20, left, absent))] == ["GPU 0 is lost"]


def test_without_their_driver_all_gpus_are_lost():
    found = told((20, TWO_WELL), (20, GONE, {"gpu/memory_percent": "GPU is lost"}))
    assert [alert.title for _, alert in found] == ["GPU 0 is lost", "GPU 1 is lost"]


def test_an_xid_is_told_once_with_what_it_means():
    found = told((5, WELL), (5_000, {**WELL, "gpu/xid": 79.0}))
    assert rules(found) == [(5, "xid", False)]
    assert "fallen off the bus" in found[0][1].text


def test_each_new_xid_is_told_and_the_same_one_again_not_soon():
    first, second = {**WELL, "gpu/xid": 31.0}, {**WELL, "gpu/xid": 13.0}
    found = told((5, first), (5, second), (5, first), (5, second))
    assert [alert.title for _, alert in found] == ["GPU reports XID 31", "GPU reports XID 13"]


def test_memory_that_fills_up_is_foretold_in_words():
    alerts, found = Alerts(), []
    for second in range(700):
        percent = 40.0 + 0.05 * second
        found += alerts.observe(Snapshot(float(second), {"gpu/memory_percent": 76.0, "jax/memory_percent": percent}))
    assert [alert.rule for alert in found] == ["oom_forecast"]
    assert found[0].title == "JAX's memory pool: out of memory in about 9 min"
    assert "filled by 3 points a minute" in found[0].text


def test_memory_that_no_longer_fills_up_is_told_once():
    alerts, found = Alerts(), []
    for second in range(2_000):
        percent = 40.0 + 0.05 * second if second < 700 else 40.0
        found += alerts.observe(Snapshot(float(second), {"gpu/memory_percent": percent}))
    assert [(alert.rule, alert.recovered) for alert in found] == [("oom_forecast", False), ("oom_forecast", True)]


def test_limits_can_be_set():
    config = AlertConfig(temperature=60.0, hold_seconds=0.0)
    assert rules(told((1, WELL), config=config)) == [(0, "temperature", False)]


@pytest.mark.parametrize(
    "given",
    [
        {"clear_seconds": -1.0},
        {"throttle_seconds": 0.0},
        {"hold_seconds": math.nan},
        {"memory_percent": 950},
        {"memory_percent": -1},
        {"temperature": -1},
        {"throttle_share": 50.0},
        {"repeat_seconds": None},
        {"throttle_seconds": "60"},
    ],
)
def test_a_configuration_that_means_nothing_is_refused(given):
    with pytest.raises(UsageError, match=next(iter(given))):
        AlertConfig(**given)


def test_alerts_with_the_same_words_are_equal():
    assert Alert("xid", "error", "a", "b") == Alert("xid", "error", "a", "b", recovered=False)


@pytest.mark.parametrize(
    ("seconds", "words"), [(-1, "0 s"), (42.3, "42 s"), (240, "4 min"), (5_399, "90 min"), (9_000, "2.5 h")]
)
def test_a_duration_has_the_unit_that_suits_it(seconds, words):
    assert duration(seconds) == words
