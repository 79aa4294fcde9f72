import logging
import os
import subprocess
import sys
import threading
import time

import pytest

from tests.watch.test_nvml import NO_GPM, PLAIN, also
from touchline.errors import UsageError
from touchline.testing.nvml import packaged_scenario
from touchline.watch import GpuWatch

L4, TWO = packaged_scenario("l4"), packaged_scenario("two_l4")
HOST = {"host/cpu_percent", "host/memory_percent", "host/disk_percent"}
PEAKS = {f"gpu/{name}/{end}" for name in ("utilization_percent", "memory_percent") for end in ("min", "max")}
BRIEF = {"gpu/utilization_percent", "gpu/memory_percent", "gpu/memory_used_gb"} | PEAKS


def has_all_of(names):
    return lambda metrics, absent: names <= set(metrics)


def test_at_each_log_step_utilisation_memory_and_host_are_told(watch):
    metrics, absent = watch(L4).until(has_all_of(BRIEF | HOST))
    assert set(metrics) == BRIEF | HOST
    assert absent == NO_GPM
    assert metrics["gpu/utilization_percent"] == 80
    assert metrics["gpu/memory_used_gb"] == 18


def test_in_detail_everything_is_told(watch):
    metrics, _ = watch(L4).until(has_all_of(BRIEF | HOST), detail=True)
    more = {f"gpu/{name}/{end}" for name in ("temperature", "power_watts") for end in ("min", "max")}
    assert set(metrics) == BRIEF | HOST | PLAIN - set(NO_GPM) | more
    assert (metrics["gpu/temperature"], metrics["gpu/temperature/max"]) == (61, 61)


def test_of_several_gpus_each_is_told_at_a_log_step(watch):
    metrics, _ = watch(TWO).until(has_all_of({"gpu/1/utilization_percent"}))
    assert (metrics["gpu/0/utilization_percent"], metrics["gpu/1/utilization_percent"]) == (80, 20)
    assert "gpu/1/temperature" not in metrics


def test_a_log_step_tells_mean_least_and_most_since_the_last_one(watch):
    watching = watch(also(L4, "utilization = 0"), interval=0.1)
    watching.until(has_all_of(BRIEF))
    watching.set(also(L4, "utilization = 100"))
    told = [watching.until(lambda metrics, _: metrics["gpu/utilization_percent/max"] == 100)[0], watching.ask()[0]]
    least, mean, most = ("/min", "", "/max")
    assert 0 <= told[0][f"gpu/utilization_percent{least}"] <= told[0][f"gpu/utilization_percent{mean}"] <= 100
    assert [told[1][f"gpu/utilization_percent{end}"] for end in (least, mean, most)] == [100, 100, 100]


def test_between_two_samples_the_newest_one_is_told(watch):
    watching = watch(L4, interval=30)
    assert watching.ask()[0]["gpu/utilization_percent"] == 80
    assert watching.ask(wait=False)[0]["gpu/utilization_percent"] == 80
    assert watching.ask(wait=False, detail=True)[0]["gpu/temperature"] == 61


def test_while_the_driver_hangs_nobody_waits_for_it_and_the_rest_is_told(watch):
    watching = watch(L4)
    watching.until(has_all_of(BRIEF))
    watching.set(also(L4, "hang nvmlDeviceGetUtilizationRates = 600s"))
    _, absent = watching.until(lambda metrics, absent: set(metrics) == HOST)
    assert set(absent) >= PLAIN
    assert "has not answered for" in absent["gpu/utilization_percent"]
    assert set(watching.latest) == HOST


def test_a_driver_that_is_back_from_a_hang_is_watched_again(watch):
    watching = watch(also(L4, "hang nvmlDeviceGetUtilizationRates = 1s from 5s"))
    watching.until(has_all_of(BRIEF))
    watching.at(5)
    watching.until(lambda metrics, absent: "has not answered for" in absent.get("gpu/utilization_percent", ""))
    watching.at(0)
    assert watching.until(has_all_of(BRIEF))[1] == NO_GPM


def test_without_a_driver_each_series_is_absent_with_the_reason_and_the_host_is_watched():
    script = (
        "from touchline.watch import GpuWatch\nwith GpuWatch(0.02) as w:\n"
        " assert w.wait_sample(20) and w.wait_sample(20)\n print(sorted(w.metrics()), w.absent)"
    )
    clean = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
    # Refused here, so that the test also holds on a machine that has a driver.
    blind = "import ctypes\nreal = ctypes.CDLL\ndef refuse(name, *a, **k):\n"
    blind += " if 'nvidia-ml' in str(name): raise OSError(name)\n return real(name, *a, **k)\nctypes.CDLL = refuse\n"
    out = subprocess.run([sys.executable, "-c", blind + script], capture_output=True, text=True, env=clean)
    assert out.stdout.startswith(str(sorted(HOST))), out.stderr
    assert "'gpu/utilization_percent': 'no NVIDIA driver on this machine (libnvidia-ml.so.1 not found)'" in out.stdout


def ours():
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("touchline-watch")}


def test_a_stopped_watch_has_no_thread_and_starts_again():
    watch = GpuWatch(0.02)
    for _ in range(2):
        with watch:
            assert watch.wait_sample(20)
            assert ours() == {"touchline-watch", "touchline-watch-driver"}
        assert ours() == set()


def test_a_watch_that_never_started_has_nothing_and_says_so():
    watch = GpuWatch()
    assert watch.metrics() == {}
    assert watch.latest is None
    assert watch.device_names == ()
    assert watch.absent["gpu/utilization_percent"] == "no sample was taken yet"


@pytest.mark.parametrize("interval", [0, -1.0, float("nan"), "x", None])
def test_an_interval_that_is_none_is_refused(interval):
    with pytest.raises(UsageError, match="above 0 seconds"):
        GpuWatch(interval)


def test_the_latest_sample_is_never_changed():
    with GpuWatch(0.02) as watch:
        assert watch.wait_sample(20)
        with pytest.raises(TypeError):
            watch.latest.values["host/memory_percent"] = 0.0


def test_a_source_adds_series_and_absences_to_each_sample():
    def pool(sample):
        return {"jax/memory_percent": 40.0}, {"torch/memory_percent": "torch is not imported"}

    with GpuWatch(0.02, sources=[pool]) as watch:
        assert watch.wait_sample(20)
        assert watch.latest.values["jax/memory_percent"] == 40.0
        assert watch.metrics()["jax/memory_percent/max"] == 40.0
        assert watch.absent["torch/memory_percent"] == "torch is not imported"


def test_a_source_is_given_what_the_sample_has_so_far(start):
    script = (
        "from touchline.watch import GpuWatch\n"
        "def first(sample): return {'own/first': 1.0}, {}\n"
        "def second(sample): return {f'seen/{name}': value for name, value in sample.items()}, {}\n"
        "with GpuWatch(0.02, sources=[first, second]) as w:\n"
        " assert w.wait_sample(20) and w.wait_sample(20)\n"
        " values = w.latest.values\n"
        " seen = {name.removeprefix('seen/'): value for name, value in values.items() if name.startswith('seen/')}\n"
        " print(seen == {name: value for name, value in values.items() if not name.startswith('seen/')})\n"
        " print({'gpu/memory_percent', 'host/memory_percent', 'own/first'} <= set(seen))"
    )
    assert start(script, L4).communicate()[0] == "True\nTrue\n"


def test_what_a_source_does_to_the_sample_it_is_given_is_refused():
    def greedy(sample):
        sample.clear()
        return {"a/b": 1.0}, {}

    with GpuWatch(0.02, sources=[greedy]) as watch:
        assert watch.wait_sample(20)
        assert "host/memory_percent" in watch.latest.values


def test_a_source_that_fails_is_told_once_and_heals(caplog):
    answers = iter([{"a/b": 1.0}, None, None, {"a/b": 2.0}])
    seen = []

    def source(sample):
        answer = next(answers, {"a/b": 3.0})
        if answer is None:
            raise RuntimeError("the pool is gone")
        return answer, {}

    def observer(sample):
        seen.append((sample.values.get("a/b"), sample.absent.get("a/b", "")))

    with caplog.at_level(logging.ERROR, "touchline"), GpuWatch(0.01, sources=[source], observers=[observer]) as watch:
        while len(seen) < 5:
            assert watch.wait_sample(20)
    assert [value for value, _ in seen[:5]] == [1.0, None, None, 2.0, 3.0]
    assert all("the pool is gone" in reason for _, reason in seen[1:3])
    assert caplog.text.count("Traceback") == 1


def test_an_observer_that_fails_is_told_every_sample_all_the_same_and_logged_once(caplog):
    seen = []

    def observer(sample):
        seen.append(sample)
        raise RuntimeError("nobody listens")

    with caplog.at_level(logging.ERROR, "touchline"), GpuWatch(0.01, observers=[observer]) as watch:
        while len(seen) < 4:
            assert watch.wait_sample(20)
    assert [sample.at for sample in seen] == sorted({sample.at for sample in seen})
    assert caplog.text.count("Traceback") == 1


def test_a_source_that_holds_up_the_watch_holds_up_nobody_else_and_is_told():
    go_on = threading.Event()
    samples = iter([True])

    def source(sample):
        if not next(samples, False):
            go_on.wait(30)
        return {"a/b": 1.0}, {}

    with GpuWatch(0.01, sources=[source]) as watch:
        deadline = time.monotonic() + 300
        while "held up" not in watch.absent.get("a/b", ""):
            assert time.monotonic() < deadline
            watch.metrics()
        assert watch.metrics() == {}
        go_on.set()


def test_the_devices_are_named(start):
    script = (
        "from touchline.watch import GpuWatch\nwith GpuWatch(0.02) as w:\n w.wait_sample(20); print(w.device_names)"
    )
    assert start(script, TWO).communicate()[0] == "('NVIDIA L4', 'NVIDIA L4')\n"


def test_even_when_nvidia_ml_py_is_not_what_it_should_be_each_series_is_absent_with_the_reason(start):
    script = "import pynvml\ndel pynvml.nvmlDeviceGetPowerUsage\nfrom touchline.watch import GpuWatch\n"
    script += "with GpuWatch(0.02) as w:\n w.wait_sample(20); print(w.absent['gpu/utilization_percent'])"
    assert "nvmlDeviceGetPowerUsage" in start(script, L4).communicate()[0]
