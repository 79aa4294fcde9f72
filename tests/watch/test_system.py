import json
import os

from tests.watch.test_nvml import MIG, also
from touchline.masking import MASK
from touchline.testing.nvml import packaged_scenario
from touchline.watch import system_snapshot

PRINT = (
    "import json\nfrom touchline.watch import system_snapshot\nprint(json.dumps(system_snapshot({}, {{}})['driver']))"
)


def driver_as_told(start, scenario, timeout=30, **environment):
    return json.loads(start(PRINT.format(timeout), scenario, **environment).communicate()[0])


def test_the_driver_its_devices_and_their_processes_are_told(start):
    me = f"processes = {os.getpid()}:3e9, 999999999:1e9"
    told = driver_as_told(start, also(packaged_scenario("l4"), me))
    assert (told["version"], told["cuda"]) == ("570.0-stand-in", "12.8")
    (device,) = told["devices"]
    assert (device["name"], device["memory_gb"], device["power_limit_watts"]) == ("NVIDIA L4", 24, 72)
    ours, gone = device["processes"]
    assert ours["pid"] == os.getpid()
    assert ours["name"]
    assert ours["memory_gb"] == 3
    assert gone["name"] is None


def test_a_mig_device_is_told_as_one(start):
    (device,) = driver_as_told(start, MIG)["devices"]
    assert device["is_mig"]
    assert device["memory_gb"] == 40


def test_what_the_driver_does_not_tell_is_absent_alone(start):
    lines = ("fault nvmlDeviceGetEnforcedPowerLimit = NOT_SUPPORTED",)
    (device,) = driver_as_told(start, also(packaged_scenario("l4"), *lines))["devices"]
    assert device["power_limit_watts"] == "absent: Not Supported"
    assert device["memory_gb"] == 24


def test_a_driver_that_hangs_is_told_and_not_waited_for(start):
    told = driver_as_told(start, also(packaged_scenario("l4"), "hang * = 60s", section="driver"), timeout=0.2)
    assert "has not answered" in told["absent"]


def test_host_and_packages_are_told_in_a_form_that_json_has():
    told = json.loads(json.dumps(system_snapshot(environment={"A": "b"})))
    assert told["host"]["processors"] >= 1
    assert told["host"]["memory_gb"] >= told["host"]["memory_available_gb"] > 0
    assert told["packages"]["numpy"].startswith("2.")
    assert told["environment"] == {"A": "b"}


def test_the_snapshot_tells_the_environment_of_the_process_without_its_secrets(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "something-long")
    monkeypatch.setenv("MUJOCO_GL", "egl")
    told = system_snapshot()["environment"]
    assert (told["WANDB_API_KEY"], told["MUJOCO_GL"]) == (MASK, "egl")
