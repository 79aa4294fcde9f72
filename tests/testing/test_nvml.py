"""The stand-in driver and its scenarios, as users of ``touchline.testing.nvml`` meet them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from touchline.errors import TouchlineError, UsageError
from touchline.testing import nvml as stand_in
from touchline.testing.nvml import (
    build_driver,
    packaged_scenario,
    packaged_scenarios,
    stand_in_environment,
    write_clock,
    write_scenario,
)

BEGIN = """
import json, os, pynvml as n, sys, time
from pathlib import Path
from touchline.testing.nvml import write_clock
def at(seconds):
    write_clock(Path(os.environ["TOUCHLINE_NVML_CLOCK"]), seconds)
def code(call):
    try:
        call()
    except n.NVMLError as error:
        return error.value
    return 0
def tell(what):
    print(json.dumps(what))
n.nvmlInit()
gpu = n.nvmlDeviceGetHandleByIndex(0)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_driver(tmp_path_factory.mktemp("stand-in"))


@pytest.fixture
def told(library: Path, tmp_path: Path) -> Callable[..., Any]:
    """What code that uses the real nvidia-ml-py tells of a scenario; its last line of output, and stderr."""

    def told(scenario: str, code: str, begin: str = BEGIN) -> tuple[Any, str]:
        clock = write_clock(tmp_path / "clock", 0)
        environment = stand_in_environment(library, write_scenario(tmp_path / "scenario.ini", scenario), clock)
        done = subprocess.run(
            [sys.executable, "-c", begin + code], capture_output=True, text=True, env={**os.environ, **environment}
        )
        return (json.loads(done.stdout) if done.stdout else None), done.stderr

    return told


UTILIZATION = "tell([at(t) or n.nvmlDeviceGetUtilizationRates(gpu).gpu for t in {}])"


@pytest.mark.parametrize(
    ("figure", "times", "expected"),
    [
        ("42", (0, 1e6), [42, 42]),
        ("10 @ 10s, 50 @ 20s", (0, 10, 15, 20, 99), [10, 10, 30, 50, 50]),
        ("10 @ 5s, 90 @ 5s", (4.9, 5, 6), [10, 90, 90]),
        ("0 @ 0, 100 @ 10", (5,), [50]),
    ],
    ids=["constant", "ramp", "jump", "without units"],
)
def test_a_figure_follows_its_keyframes(told, figure, times, expected):
    assert told(f"[gpu 0]\nutilization = {figure}", UTILIZATION.format(times))[0] == expected


def test_the_energy_counter_is_the_integral_of_power(told):
    scenario = "[gpu 0]\npower = 100 @ 0s, 100 @ 10s, 200 @ 10s, 400 @ 20s"
    code = "tell([at(t) or n.nvmlDeviceGetTotalEnergyConsumption(gpu) for t in (0, 5, 10, 15, 20, 21)])"
    assert told(scenario, code)[0] == [0, 500_000, 1_000_000, 2_250_000, 4_000_000, 4_400_000]


def test_a_figure_that_is_not_given_is_not_supported(told):
    code = "tell([code(lambda: n.nvmlDeviceGetUtilizationRates(gpu)), code(lambda: n.nvmlDeviceGetMemoryInfo(gpu))])"
    assert told("[gpu 0]\nutilization = 1", code)[0] == [0, 3]


def test_a_later_line_replaces_an_earlier_one_and_comments_mean_nothing(told):
    scenario = "# first\n[gpu 0]\nutilization = 1 # one\n\n[gpu 0]\nutilization = 2"
    assert told(scenario, UTILIZATION.format((0,)))[0] == [2]


def test_a_fault_concerns_its_function_in_its_windows(told):
    scenario = (
        "[gpu 0]\nutilization = 1\nmemory_total = 2\n"
        "fault nvmlDeviceGetUtilizationRates = NO_DATA from 1s until 2s, UNKNOWN from 5s"
    )
    code = """
tell([[at(t) or code(lambda: n.nvmlDeviceGetUtilizationRates(gpu)), code(lambda: n.nvmlDeviceGetMemoryInfo(gpu))]
      for t in (0, 1, 1.9, 2, 5, 100)])"""
    assert told(scenario, code)[0] == [[0, 0], [21, 0], [21, 0], [0, 0], [999, 0], [999, 0]]


def test_a_fault_of_the_driver_concerns_every_device(told):
    scenario = "[driver]\nfault * = UNKNOWN from 1s\n[gpu 0]\nutilization = 1\n[gpu 1]\nutilization = 1"
    code = """
both = [gpu, n.nvmlDeviceGetHandleByIndex(1)]
tell([[at(t) or code(lambda: n.nvmlDeviceGetUtilizationRates(one)) for one in both] for t in (0, 1)])"""
    assert told(scenario, code)[0] == [[0, 0], [999, 999]]


def test_a_hang_takes_its_time_of_what_begins_in_its_window(told):
    scenario = "[gpu 0]\nutilization = 1\nhang nvmlDeviceGetUtilizationRates = 0.2s from 1s until 2s"
    code = """
def took(seconds):
    at(seconds)
    begun = time.monotonic()
    n.nvmlDeviceGetUtilizationRates(gpu)
    return time.monotonic() - begun
tell(took(1))"""
    assert told(scenario, code)[0] >= 0.2


def test_a_lost_gpu_is_lost_to_every_question_about_it(told):
    scenario = "[gpu 0]\nutilization = 1\nlost = from 1s until 2s"
    code = """
asked = (n.nvmlDeviceGetUtilizationRates, n.nvmlDeviceGetName, n.nvmlDeviceGetMemoryInfo)
tell([at(t) or [code(lambda: ask(gpu)) for ask in asked] for t in (0.5, 1, 2)])"""
    assert told(scenario, code)[0] == [[0, 0, 3], [15, 15, 15], [0, 0, 3]]


def test_each_xid_is_told_once_to_who_registered_before(told):
    code = """
at(1.5)
events = n.nvmlEventSetCreate()
n.nvmlDeviceRegisterEvents(gpu, n.nvmlEventTypeXidCriticalError, events)
def waiting():
    found = []
    while not code(lambda: found.append(n.nvmlEventSetWait_v2(events, 0).eventData)):
        pass
    return found
tell([at(t) or waiting() for t in (1.6, 2, 3, 10)])"""
    assert told("[gpu 0]\nxid = 13 @ 1s, 31 @ 2s, 43 @ 4s, 79 @ 4s", code)[0] == [[], [31], [], [43, 79]]


def test_processes_are_listed_with_their_memory(told):
    code = "tell([[p.pid, p.usedGpuMemory] for p in n.nvmlDeviceGetComputeRunningProcesses(gpu)])"
    assert told("[gpu 0]\nprocesses = 12:3e9, 34:1e6", code)[0] == [[12, 3_000_000_000], [34, 1_000_000]]


def test_used_memory_includes_what_the_driver_reserves_as_in_nvmls_first_version(told):
    scenario = "[gpu 0]\nmemory_total = 24e9\nmemory_used = 4e9\nmemory_reserved = 1e9"
    code = """
old, new = n.nvmlDeviceGetMemoryInfo(gpu), n.nvmlDeviceGetMemoryInfo(gpu, n.nvmlMemory_v2)
tell([old.used, old.free, new.used, new.reserved])"""
    assert told(scenario, code)[0] == [5e9, 19e9, 4e9, 1e9]


def test_mig_devices_have_handles_of_their_own(told):
    code = """
migs = [n.nvmlDeviceGetMigDeviceHandleByIndex(gpu, i) for i in range(2)]
tell([n.nvmlDeviceGetMigMode(gpu), [[n.nvmlDeviceGetUUID(m)[:6], n.nvmlDeviceGetGpuInstanceId(m)] for m in migs],
      code(lambda: n.nvmlDeviceGetMigDeviceHandleByIndex(gpu, 2))])"""
    assert told(packaged_scenario("mig"), code)[0] == [[1, 1], [["MIG-3a", 1], ["MIG-1b", 9]], 6]


def test_without_a_clock_file_time_passes_from_the_first_call(told):
    begin = "import os\ndel os.environ['TOUCHLINE_NVML_CLOCK']\n" + BEGIN
    code = """
first = n.nvmlDeviceGetUtilizationRates(gpu).gpu
while n.nvmlDeviceGetUtilizationRates(gpu).gpu == first:
    pass
tell("time passed")"""
    assert told("[gpu 0]\nutilization = 0 @ 0s, 1000000 @ 1000s", code, begin)[0] == "time passed"


@pytest.mark.parametrize(
    ("scenario", "line"),
    [
        ("[gpu 0]\nutilisation = 3", 2),
        ("[gpu 0]\n\nutilization = lots", 3),
        ("[gpu 0]\nutilization = 1 @ 2s, 2 @ 1s", 2),
        ("[gpu 0]\nutilization = 1,", 2),
        ("utilization = 3", 1),
        ("[gpu 0\nutilization = 3", 1),
        ("[tpu 0]", 1),
        ("[gpu 0]\nfault nvmlDeviceGetName = NOTSUPPORTED", 2),
        ("[gpu 0]\nfault nvmlDeviceGetName = UNKNOWN since 3s", 2),
        ("[gpu 0]\nhang nvmlDeviceGetName = 300ms", 2),
        ("[gpu 0]\nlost = yes", 2),
        ("[gpu 0]\nlost = from noon", 2),
    ],
)
def test_a_line_that_is_not_understood_is_told_and_nothing_is_answered(told, scenario, line):
    found, errors = told(scenario, "tell(code(n.nvmlInit))", BEGIN.partition("n.nvmlInit")[0])
    assert found == 999
    assert f"does not understand line {line} of " in errors


def test_a_scenario_that_does_not_exist_is_told(library, tmp_path):
    environment = stand_in_environment(library, tmp_path / "none.ini")
    code = "import pynvml; pynvml.nvmlInit()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment)
    assert "TOUCHLINE_NVML_SCENARIO" in done.stderr


@pytest.mark.parametrize("name", packaged_scenarios())
def test_every_packaged_scenario_is_understood_and_says_what_happens(told, name):
    text = packaged_scenario(name)
    assert text.startswith("# ")
    found, errors = told(text, "tell(n.nvmlDeviceGetName(gpu))")
    assert found.startswith("NVIDIA ")
    assert errors == ""


def test_the_scenarios_that_the_documentation_names_are_there():
    assert {"l4", "h100", "two_l4", "mig", "lost", "hang", "transient", "memory_ramp", "overheating"} <= set(
        packaged_scenarios()
    )


def test_the_example_of_the_documentation_is_understood(told):
    example = "# An L4" + stand_in.__doc__.partition("# An L4")[2].partition("Figures:")[0]
    assert "[mig 0.0]" in example
    begin = BEGIN.replace("n.nvmlInit()", "at(60); n.nvmlInit()")
    assert told(example, "tell(n.nvmlDeviceGetMemoryInfo(gpu).used)", begin) == (13.75e9, "")


def test_a_scenario_of_another_name_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'h100'"):
        packaged_scenario("h1000")


def test_without_a_compiler_the_remedy_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TouchlineError, match="apt install gcc"):
        build_driver(tmp_path)
