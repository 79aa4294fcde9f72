"""What is asked of the driver, through the real nvidia-ml-py against the stand-in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.testing.nvml import packaged_scenario
from touchline.watch.nvml import select
from touchline.watch.nvml_series import NAMES, TOGETHER

L4, H100, TWO, MIG = (packaged_scenario(name) for name in ("l4", "h100", "two_l4", "mig"))
PLAIN = {f"gpu/{name}" for name in TOGETHER}
ALL = {f"gpu/{name}" for name in NAMES}
NO_GPM = {"gpu/sm_percent": "the device has no GPM, which Hopper and newer have (NVIDIA L4)"}


def also(scenario, *lines, section="gpu 0"):
    return "\n".join((scenario, f"[{section}]", *lines))


def test_an_l4_has_every_series_but_the_activity_of_its_multiprocessors(gpus):
    values, absent = gpus(L4).look()
    assert absent == NO_GPM
    assert values == {
        "gpu/utilization_percent": 80,
        "gpu/memory_percent": 75,
        "gpu/memory_used_gb": 18,
        "gpu/temperature": 61,
        "gpu/power_watts": 55.5,
        "gpu/power_limit_watts": 72,
        "gpu/clock_sm_mhz": 1785,
        "gpu/clock_sm_max_mhz": 2040,
        "gpu/clock_memory_mhz": 6251,
        "gpu/throttle_thermal": 0,
        "gpu/throttle_power": 0,
        "gpu/throttle_hardware": 0,
        "gpu/energy_wh": 0,
    }


def test_an_h100_tells_the_mean_activity_of_its_multiprocessors_between_two_looks(gpus):
    looking = gpus(also(H100, "sm = 0 @ 0s, 100 @ 10s"))
    assert "nothing to compare with" in looking.look(0)[1]["gpu/sm_percent"]
    assert looking.look(4)[0]["gpu/sm_percent"] == pytest.approx(20)
    values, absent = looking.look(10)
    assert values["gpu/sm_percent"] == pytest.approx(70)
    assert absent == {}


def test_one_of_two_gpus_that_slows_down_slows_both_of_them_down(gpus):
    values, _ = gpus(also(TWO, "throttle thermal = from 0s", section="gpu 1")).look()
    assert (values["gpu/0/throttle_thermal"], values["gpu/1/throttle_thermal"]) == (0, 1)
    assert values["gpu/throttle_thermal"] == 1


def test_several_gpus_have_names_of_their_own_and_an_aggregate(gpus):
    values, _ = gpus(TWO).look()
    assert (values["gpu/0/utilization_percent"], values["gpu/1/utilization_percent"]) == (80, 20)
    assert values["gpu/utilization_percent"] == 50
    assert values["gpu/memory_percent"] == 75
    assert values["gpu/memory_used_gb"] == 18
    assert values["gpu/temperature"] == 61
    assert values["gpu/power_watts"] == 70
    assert values["gpu/clock_sm_mhz"] == 1500


@pytest.mark.parametrize(
    ("visible", "utilization"), [("1", 20), ("GPU-00000001", 20), ("0", 80), ("0,7,1", 80), ("1,1", 20)]
)
def test_only_visible_gpus_are_watched(gpus, visible, utilization):
    values, _ = gpus(TWO, CUDA_VISIBLE_DEVICES=visible).look()
    assert values["gpu/utilization_percent"] == utilization
    assert "gpu/0/utilization_percent" not in values


def test_hidden_gpus_are_absent_with_the_reason(gpus):
    values, absent = gpus(TWO, CUDA_VISIBLE_DEVICES="").look()
    assert values == {}
    assert absent == dict.fromkeys(ALL, "CUDA_VISIBLE_DEVICES='' hides every GPU")


@pytest.mark.parametrize(
    ("scenario", "visible", "has"),
    [(TWO, "7", "2 GPUs, numbered 0 to 1"), (TWO, "2,0", "2 GPUs, numbered 0 to 1"), (L4, "1", "one GPU, number 0")],
)
def test_a_gpu_that_is_named_and_not_there_is_told_with_those_that_are(gpus, scenario, visible, has):
    _, absent = gpus(scenario, CUDA_VISIBLE_DEVICES=visible).look()
    reason = f"CUDA_VISIBLE_DEVICES={visible!r} begins with a GPU that is not there: the NVIDIA driver has {has}"
    assert set(absent.values()) == {reason}


def test_a_mig_device_is_named_by_its_uuid_and_nobody_tells_its_utilisation(gpus):
    looking = gpus(MIG, CUDA_VISIBLE_DEVICES="MIG-1b000000-0000-0000-0000-000000000000")
    looking.look(0)
    values, absent = looking.look(1)
    assert values["gpu/memory_percent"] == 90
    assert values["gpu/sm_percent"] == 12
    assert values["gpu/temperature"] == 54
    reason = "MIG devices have none of their own (NVIDIA H100 80GB HBM3 MIG 1g.10gb)"
    own = ("utilization_percent", "power_watts", "power_limit_watts", "energy_wh")
    assert absent == dict.fromkeys((f"gpu/{name}" for name in own), reason)


@pytest.mark.parametrize("environment", [{}, {"CUDA_VISIBLE_DEVICES": "0"}])
def test_of_a_gpu_in_mig_mode_the_first_mig_device_is_watched(gpus, environment):
    values, _ = gpus(MIG, **environment).look()
    assert values["gpu/memory_used_gb"] == 10
    assert values["gpu/memory_percent"] == 25


CARDS = {"GPU-a": (), "GPU-b": ("MIG-x", "MIG-y"), "GPU-c": ()}


@pytest.mark.parametrize(
    ("visible", "chosen"),
    [
        ("0,2", ["GPU-a", "GPU-c"]),
        ("2,0", ["GPU-c", "GPU-a"]),
        ("GPU-c", ["GPU-c"]),
        ("MIG-y", ["MIG-y"]),
        ("MIG-y,MIG-x", ["MIG-y"]),
        ("1", ["MIG-x"]),
        ("0,1", ["MIG-x"]),
        ("GPU-", []),
        ("NoDevFiles", []),
        ("-1,0", []),
    ],
)
def test_devices_are_chosen_as_cuda_does(visible, chosen):
    assert select(CARDS, {"CUDA_VISIBLE_DEVICES": visible}) == chosen


@given(st.text(alphabet="0123,GPUMIG-abcxy ", max_size=24))
def test_whatever_is_asked_for_no_device_is_chosen_twice_and_none_is_invented(visible):
    chosen = select(CARDS, {"CUDA_VISIBLE_DEVICES": visible})
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= {"GPU-a", "GPU-c", "MIG-x", "MIG-y"}


@pytest.mark.parametrize(
    ("function", "series"),
    [
        ("nvmlDeviceGetUtilizationRates", {"utilization_percent"}),
        ("nvmlDeviceGetMemoryInfo", {"memory_percent", "memory_used_gb"}),
        ("nvmlDeviceGetTemperatureV", {"temperature"}),
        ("nvmlDeviceGetPowerUsage", {"power_watts"}),
        ("nvmlDeviceGetEnforcedPowerLimit", {"power_limit_watts"}),
        ("nvmlDeviceGetClockInfo", {"clock_sm_mhz", "clock_memory_mhz"}),
        ("nvmlDeviceGetMaxClockInfo", {"clock_sm_max_mhz"}),
        ("nvmlDeviceGetCurrentClocksEventReasons", {"throttle_thermal", "throttle_power", "throttle_hardware"}),
        ("nvmlDeviceRegisterEvents", {"xid"}),
    ],
)
def test_what_a_device_does_not_support_is_absent_alone_with_the_reason(gpus, function, series):
    values, absent = gpus(also(L4, f"fault {function} = NOT_SUPPORTED")).look()
    assert absent == NO_GPM | dict.fromkeys((f"gpu/{name}" for name in series), "Not Supported (NVIDIA L4)")
    assert set(values) == PLAIN - set(absent)


def test_of_several_gpus_the_one_that_fails_is_named(gpus):
    values, absent = gpus(also(TWO, "fault nvmlDeviceGetPowerUsage = NOT_SUPPORTED", section="gpu 1")).look()
    assert absent["gpu/1/power_watts"] == "Not Supported (NVIDIA L4)"
    assert absent["gpu/power_watts"] == "GPU 1: Not Supported (NVIDIA L4)"
    assert values["gpu/0/power_watts"] == 55.5


def test_an_older_driver_tells_the_temperature_and_the_clocks_by_its_older_functions(gpus):
    faults = ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetCurrentClocksEventReasons")
    values, absent = gpus(also(L4, *(f"fault {name} = FUNCTION_NOT_FOUND" for name in faults))).look()
    assert values["gpu/temperature"] == 61
    assert absent["gpu/throttle_power"] == "Function Not Found (NVIDIA L4)"


def test_a_device_without_memory_of_its_own_says_so(gpus):
    _, absent = gpus(also(L4, "memory_total = 0", "memory_used = 0")).look()
    assert absent["gpu/memory_percent"] == "the device reports no memory of its own (NVIDIA L4)"


@pytest.mark.parametrize(
    ("kind", "told"),
    [("thermal", {"thermal"}), ("power", {"power"}), ("hardware", {"hardware"}), ("idle", set())],
)
def test_throttling_is_told_by_its_cause(gpus, kind, told):
    looking = gpus(also(L4, f"throttle {kind} = from 5s until 6s"))
    names = ("thermal", "power", "hardware")
    assert [looking.look(0)[0][f"gpu/throttle_{name}"] for name in names] == [0, 0, 0]
    values, _ = looking.look(5)
    assert {name for name in names if values[f"gpu/throttle_{name}"] == 1} == told


def test_after_a_transient_fault_of_everything_every_series_is_back(gpus):
    looking = gpus(packaged_scenario("transient"))
    before, _ = looking.look(9)
    during, absent = looking.look(10.5)
    assert during == {}
    assert ALL - {"gpu/xid"} <= set(absent)
    after, absent = looking.look(11)
    assert set(after) == set(before)
    assert absent == NO_GPM


def test_a_lost_gpu_is_told_and_found_again(gpus):
    looking = gpus(packaged_scenario("lost"))
    assert set(looking.look(29)[0]) == PLAIN - set(NO_GPM)
    for at in (31, 32, 45):
        values, absent = looking.look(at)
        assert values == {"gpu/xid": 79}
        assert all("lost" in absent[name] for name in PLAIN - {"gpu/sm_percent"})
    values, absent = looking.look(60)
    assert set(values) == PLAIN - set(NO_GPM) | {"gpu/xid"}
    assert absent == NO_GPM


def test_one_of_two_gpus_that_is_lost_keeps_its_name_and_the_other_one_its_figures(gpus):
    looking = gpus(also(TWO, "lost = from 5s until 9s"))
    looking.look(0)
    values, absent = looking.look(5)
    assert "lost" in absent["gpu/0/utilization_percent"]
    assert "lost" in absent["gpu/utilization_percent"]
    assert values["gpu/1/utilization_percent"] == 20
    assert looking.look(9)[0]["gpu/0/utilization_percent"] == 80


def test_a_gpu_that_the_driver_no_longer_lists_is_lost(gpus):
    looking = gpus(also(TWO, "fault * = UNKNOWN from 5s until 6s", section="driver"))
    looking.look(0)
    looking.look(5)
    looking.set(L4)
    values, absent = looking.look(6)
    assert values["gpu/0/utilization_percent"] == 80
    assert "lost" in absent["gpu/1/utilization_percent"]


def test_the_only_gpu_is_lost_when_the_driver_lists_none_any_more(gpus):
    looking = gpus(also(L4, "fault * = UNKNOWN from 5s until 6s", section="driver"))
    looking.look(0)
    looking.look(5)
    looking.set("[driver]")
    assert "lost" in looking.look(6)[1]["gpu/utilization_percent"]


def test_a_gpu_that_is_lost_before_the_start_changes_no_other_ones_number(gpus):
    values, _ = gpus(also(TWO, "lost = from 0s"), CUDA_VISIBLE_DEVICES="1").look()
    assert values["gpu/utilization_percent"] == 20


def test_a_gpu_that_is_lost_before_the_start_is_absent_with_the_reason_and_the_others_figures_are_those_of_all(gpus):
    values, absent = gpus(also(TWO, "lost = from 0s")).look()
    assert values["gpu/0/utilization_percent"] == values["gpu/utilization_percent"] == 20
    reason = "the GPU, number 0 of the driver's, was lost before the start (GPU is lost)"
    assert {absent[f"gpu/1/{name}"] for name in NAMES} == {reason}
    assert not any(reason in why for series, why in absent.items() if not series.startswith("gpu/1/"))


def test_a_gpu_that_only_seemed_lost_at_the_start_is_found_and_takes_its_place(gpus):
    looking = gpus(also(TWO, "fault nvmlDeviceGetUUID = UNKNOWN until 5s", section="gpu 0"))
    assert "Unknown Error" in looking.look(0)[1]["gpu/1/temperature"]
    looking.look(11)
    values, absent = looking.look(12)
    assert (values["gpu/0/utilization_percent"], values["gpu/1/utilization_percent"]) == (20, 80)
    assert not any("lost" in reason for reason in absent.values())
    assert values["gpu/utilization_percent"] == 50


def test_a_gpu_that_a_container_was_not_given_is_no_lost_one(gpus):
    forbidden = also(TWO, "fault nvmlDeviceGetHandleByIndex = NO_PERMISSION", section="gpu 0")
    values, absent = gpus(forbidden).look()
    assert values["gpu/utilization_percent"] == 20
    assert absent == NO_GPM


def test_when_all_gpus_are_lost_before_the_start_each_is_named(gpus):
    _, absent = gpus(also(also(TWO, "lost = from 0s"), "lost = from 0s", section="gpu 1")).look()
    expected = "the NVIDIA driver finds no GPU (GPU 0: GPU is lost; GPU 1: GPU is lost)"
    assert absent["gpu/utilization_percent"] == expected


def test_a_driver_that_does_not_start_is_told_and_tried_again(gpus):
    looking = gpus(also(L4, "fault nvmlInit = DRIVER_NOT_LOADED until 5s", section="driver"))
    assert "does not start" in looking.look(0)[1]["gpu/utilization_percent"]
    assert looking.look(5)[0]["gpu/utilization_percent"] == 80


def test_a_machine_without_a_gpu_says_so(gpus):
    _, absent = gpus("[driver]").look()
    assert absent["gpu/utilization_percent"] == "the NVIDIA driver finds no GPU (it lists none)"


def test_the_newest_xid_is_told_from_when_it_came(gpus):
    looking = gpus(also(TWO, "xid = 13 @ 5s, 31 @ 6s, 43 @ 20s"))
    assert "gpu/xid" not in looking.look(0)[0]
    values, _ = looking.look(7)
    assert (values["gpu/0/xid"], values["gpu/xid"]) == (31, 31)
    assert "gpu/1/xid" not in values
    assert looking.look(19)[0]["gpu/xid"] == 31
    assert looking.look(20)[0]["gpu/xid"] == 43


def test_energy_is_what_the_devices_counter_says_since_the_first_look(gpus):
    looking = gpus(also(L4, "power = 0 @ 100s, 72 @ 3700s"))
    assert looking.look(100)[0]["gpu/energy_wh"] == 0
    assert looking.look(3700)[0]["gpu/energy_wh"] == pytest.approx(36)


def test_energy_goes_on_when_the_counter_begins_anew(gpus):
    looking = gpus(also(L4, "energy = 1000e3 @ 0s, 1036e3 @ 10s, 0 @ 10s, 7.2e3 @ 20s"))
    looking.look(0)
    assert looking.look(9.5)[0]["gpu/energy_wh"] == pytest.approx(9.5)
    looking.look(10)
    assert looking.look(20)[0]["gpu/energy_wh"] == pytest.approx(11.5)


def test_energy_of_two_gpus_is_one_sum(gpus):
    looking = gpus(TWO)
    looking.look(0)
    assert looking.look(3600)[0]["gpu/energy_wh"] == pytest.approx(70)


def test_without_a_counter_energy_follows_from_power(gpus):
    looking = gpus(
        also(L4, "power = 0 @ 0s, 72 @ 3600s", "fault nvmlDeviceGetTotalEnergyConsumption = NOT_SUPPORTED")
    )
    looking.look(0)
    assert looking.look(1800)[0]["gpu/energy_wh"] == pytest.approx(9)
    assert looking.look(3600)[0]["gpu/energy_wh"] == pytest.approx(36)
