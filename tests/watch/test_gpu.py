import os
import subprocess
import sys
import threading
import time

import pytest

from tests.watch.conftest import ONE_GPU
from touchline.errors import UsageError
from touchline.watch import GpuWatch

PLAIN = {"gpu/utilization_percent", "gpu/memory_percent", "gpu/memory_used_gb", "gpu/temperature", "gpu/power_watts"}
HOST = {"host/cpu_percent", "host/memory_percent"}
TWO_GPUS = {
    "count": 2,
    **{key: value for key, value in ONE_GPU.items() if key != "count"},
    "1.utilization": 20,
    "1.total": 24_000_000_000,
    "1.free": 24_000_000_000,
    "1.temperature": 40,
    "1.power": 10_000,
}


def test_one_gpu_is_told_under_the_plain_names(watch):
    watching = watch(ONE_GPU)
    watching.ask()
    metrics, absent = watching.ask()
    assert set(metrics) == PLAIN | HOST
    assert absent == {}
    assert metrics["gpu/utilization_percent"] == 80
    assert metrics["gpu/memory_percent"] == 75
    assert metrics["gpu/memory_used_gb"] == 18
    assert metrics["gpu/temperature"] == 61
    assert metrics["gpu/power_watts"] == 55.5


def test_several_gpus_have_names_of_their_own_and_an_aggregate(watch):
    metrics, absent = watch(TWO_GPUS).ask()
    assert absent == {}
    assert (metrics["gpu/0/utilization_percent"], metrics["gpu/1/utilization_percent"]) == (80, 20)
    assert metrics["gpu/utilization_percent"] == 50
    assert metrics["gpu/memory_percent"] == 75
    assert metrics["gpu/memory_used_gb"] == 18
    assert metrics["gpu/temperature"] == 61
    assert metrics["gpu/power_watts"] == 65.5


@pytest.mark.parametrize(
    ("visible", "utilization"), [("1", 20), ("GPU-00000001", 20), ("0", 80), ("0,7,1", 80), ("1,1", 20)]
)
def test_only_visible_gpus_are_watched(watch, visible, utilization):
    metrics, _ = watch(TWO_GPUS, CUDA_VISIBLE_DEVICES=visible).ask()
    assert metrics["gpu/utilization_percent"] == utilization
    assert "gpu/0/utilization_percent" not in metrics


def test_hidden_gpus_are_absent_with_the_reason(watch):
    metrics, absent = watch(TWO_GPUS, CUDA_VISIBLE_DEVICES="").ask()
    assert set(metrics) <= HOST
    assert set(absent) == PLAIN
    assert absent["gpu/memory_percent"] == "CUDA_VISIBLE_DEVICES='' hides every GPU"


def test_a_metric_that_a_device_does_not_support_is_absent_alone_with_the_reason(watch):
    metrics, absent = watch({**ONE_GPU, "0.utilization_error": 3}).ask()
    assert absent == {"gpu/utilization_percent": "Not Supported (NVIDIA Stand-In)"}
    assert metrics["gpu/memory_percent"] == 75


def test_of_several_gpus_the_one_that_fails_is_named(watch):
    metrics, absent = watch({**TWO_GPUS, "1.power_error": 3}).ask()
    assert set(absent) == {"gpu/power_watts", "gpu/1/power_watts"}
    assert absent["gpu/power_watts"].startswith("GPU 1: Not Supported")
    assert metrics["gpu/0/power_watts"] == 55.5


def test_a_device_without_memory_of_its_own_says_so(watch):
    _, absent = watch({**ONE_GPU, "0.total": 0, "0.free": 0}).ask()
    assert "no memory of its own" in absent["gpu/memory_percent"]


def test_a_transient_error_heals(watch):
    watching = watch(ONE_GPU)
    assert "gpu/utilization_percent" in watching.ask()[0]
    watching.set({**ONE_GPU, "0.utilization_error": 999})
    watching.ask()
    metrics, absent = watching.ask()
    assert "gpu/utilization_percent" not in metrics
    assert "gpu/utilization_percent" in absent
    watching.set({**ONE_GPU, "0.utilization": 90})
    watching.ask()
    metrics, absent = watching.ask()
    assert metrics["gpu/utilization_percent"] == 90
    assert absent == {}


def test_a_lost_gpu_is_told_and_found_again(watch):
    lost = {f"0.{key}_error": 15 for key in ("utilization", "memory", "temperature", "power")}
    watching = watch({**ONE_GPU, **lost})
    metrics, absent = watching.ask()
    assert set(metrics) <= HOST
    assert set(absent) == PLAIN
    assert "lost" in absent["gpu/utilization_percent"]
    watching.set(ONE_GPU)
    watching.ask()
    assert set(watching.ask()[0]) == PLAIN | HOST


def test_a_driver_that_does_not_start_is_told_and_tried_again(watch):
    watching = watch({**ONE_GPU, "init_error": 9})
    assert "does not start" in watching.ask()[1]["gpu/utilization_percent"]
    watching.set(ONE_GPU)
    watching.ask()
    assert watching.ask()[0]["gpu/utilization_percent"] == 80


def test_metrics_are_the_mean_since_the_last_call(watch):
    watching = watch({**ONE_GPU, "0.utilization": 0})
    watching.ask()
    watching.set({**ONE_GPU, "0.utilization": 100})
    mean = watching.ask()[0]["gpu/utilization_percent"]
    assert 0 < mean <= 100
    watching.ask()
    assert watching.ask()[0]["gpu/utilization_percent"] == 100


def test_between_two_samples_the_newest_one_is_told(watch):
    watching = watch(ONE_GPU, interval=30)
    assert watching.ask()[0]["gpu/utilization_percent"] == 80
    assert watching.ask("now")[0]["gpu/utilization_percent"] == 80


def test_a_driver_that_hangs_holds_up_nobody_and_what_is_old_is_not_told(watch):
    watching = watch(ONE_GPU)
    watching.ask()
    watching.set({**ONE_GPU, "hang_ms": 3000})
    deadline = time.monotonic() + 10
    while True:
        metrics, absent = watching.ask("now")
        assert watching.took < 0.05
        if not metrics:
            break
        assert time.monotonic() < deadline
    assert "held up the watch" in absent["gpu/utilization_percent"]


def test_without_a_driver_each_metric_is_absent_with_the_reason_and_the_host_is_watched():
    script = (
        "from touchline.watch import GpuWatch\nwith GpuWatch(0.02) as w:\n"
        " assert w.wait_sample(20) and w.wait_sample(20)\n print(sorted(w.metrics()), w.absent)"
    )
    clean = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
    # Refused here, so that the test also holds on a machine that has a driver.
    blind = "import ctypes\nreal = ctypes.CDLL\ndef refuse(name, *a, **k):\n"
    blind += " if 'nvidia-ml' in str(name): raise OSError(name)\n return real(name, *a, **k)\nctypes.CDLL = refuse\n"
    out = subprocess.run([sys.executable, "-c", blind + script], capture_output=True, text=True, env=clean)
    assert out.stdout.startswith("['host/cpu_percent', 'host/memory_percent']"), out.stderr
    assert "'gpu/utilization_percent': 'no NVIDIA driver on this machine (libnvidia-ml.so.1 not found)'" in out.stdout


def test_a_stopped_watch_has_no_thread_and_starts_again():
    watch = GpuWatch(0.02)
    for _ in range(2):
        with watch:
            assert watch.wait_sample(20)
            assert "touchline-watch" in {thread.name for thread in threading.enumerate()}
        assert "touchline-watch" not in {thread.name for thread in threading.enumerate()}


def test_a_watch_that_never_started_has_nothing_and_says_so():
    watch = GpuWatch()
    assert watch.metrics() == {}
    assert watch.absent["gpu/utilization_percent"] == "no sample was taken yet"


@pytest.mark.parametrize("interval", [0, -1.0, float("nan")])
def test_an_interval_that_is_none_is_refused(interval):
    with pytest.raises(UsageError, match="above 0 seconds"):
        GpuWatch(interval)
