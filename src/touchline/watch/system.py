"""A whole picture of the machine, to keep beside a checkpoint: driver, devices, processes, packages, environment."""

from __future__ import annotations

import json
import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from touchline.filesystem import write_private
from touchline.masking import mask_environment
from touchline.watch.aside import Aside, TakesLong
from touchline.watch.nvml import Device, Driver, NvmlUnavailable, text

logger = logging.getLogger("touchline")


def system_snapshot(
    driver_timeout: float = 2.0, environment: Mapping[str, str] | None = None, disk: Path | None = None
) -> dict[str, Any]:
    """Return what the machine is and does now, ready for JSON; takes about 0.1 s and never raises for a driver.

    Args:
        driver_timeout: seconds to wait for the NVIDIA driver. The rest is told without it then, and
            ``driver.absent`` says so.
        environment: variables to tell; the process's own when None. What looks like a secret is hidden by its name or
            by its form (see ``touchline.masking.mask_environment``).
        disk: a path on the disk whose size is told; the working directory when None.

    Returns:
        ``driver`` (``version``, ``cuda``, ``devices``, or ``absent`` with the reason), ``packages`` (name →
        version of all that is installed), ``host``, ``environment``. GB are 1e9 bytes.
    """
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "driver": _patiently(_driver, driver_timeout),
        "host": _host(disk or Path.cwd()),
        "packages": _packages(),
        "environment": mask_environment(os.environ if environment is None else environment),
    }


class SystemRecord:
    """Takes system snapshots beside the training: a driver that hangs would hold it up for seconds."""

    def __init__(self, path: Path) -> None:
        """``path``: the JSON file that each snapshot overwrites."""
        self._path = path
        self._thread: threading.Thread | None = None

    def take(self, done: Callable[[Path], object]) -> None:
        """Write a snapshot and call ``done`` with the file, both in a thread; not while another is taken."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._take, args=(done,), name="touchline-system", daemon=True)
            self._thread.start()

    def wait(self, timeout: float = 5.0) -> None:
        """Wait for the snapshot that is being taken, so long in seconds at most."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _take(self, done: Callable[[Path], object]) -> None:
        try:
            write_private(self._path, json.dumps(system_snapshot(disk=self._path.parent), indent=2))
            done(self._path)
        except Exception as error:  # the training goes on without it
            logger.warning("The snapshot of the system was not kept (%s).", error)


def _patiently(ask: Callable[[], dict[str, Any]], timeout: float) -> dict[str, Any]:
    aside = Aside(ask, lambda: None, "touchline-system-driver")
    try:
        return aside.ask(timeout)
    except TakesLong as error:
        return {"absent": f"the NVIDIA driver has not answered for {error.seconds:.1f} s"}
    except NvmlUnavailable as error:
        return {"absent": str(error)}
    finally:
        aside.close(0.0)


def _driver() -> dict[str, Any]:
    driver = Driver()
    nvml = driver.nvml
    try:
        cuda = _ask(nvml, nvml.nvmlSystemGetCudaDriverVersion)
        return {
            "version": _ask(nvml, lambda: text(nvml.nvmlSystemGetDriverVersion())),
            "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}" if isinstance(cuda, int) else cuda,
            "devices": [_device(nvml, device) for device in driver.devices],
        }
    finally:
        driver.close()


def _device(nvml: Any, device: Device) -> dict[str, Any]:
    def memory_gb() -> float:
        return float(nvml.nvmlDeviceGetMemoryInfo(device.handle).total / 1e9)

    def power_limit_watts() -> float:
        return float(nvml.nvmlDeviceGetEnforcedPowerLimit(device.card) / 1e3)

    return {
        "index": device.index,
        "name": device.name,
        "uuid": device.uuid,
        "is_mig": device.is_mig,
        "memory_gb": _ask(nvml, memory_gb),
        "power_limit_watts": _ask(nvml, power_limit_watts),
        "processes": _ask(nvml, lambda: _processes(nvml, device)),
    }


def _processes(nvml: Any, device: Device) -> list[dict[str, Any]]:
    """Names without command lines: people pass secrets in those."""
    found = [
        *nvml.nvmlDeviceGetComputeRunningProcesses(device.handle),
        *nvml.nvmlDeviceGetGraphicsRunningProcesses(device.handle),
    ]
    # Inside a container the driver may keep the memory of others to itself.
    return [
        {
            "pid": process.pid,
            "name": _name(process.pid),
            "memory_gb": None if process.usedGpuMemory is None else process.usedGpuMemory / 1e9,
        }
        for process in found
    ]


def _name(pid: int) -> str | None:
    import psutil

    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        return None


def _ask(nvml: Any, ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except nvml.NVMLError as error:
        return f"absent: {error}"


def _host(place: Path) -> dict[str, Any]:
    import psutil

    memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(place))
    return {
        "name": platform.node(),
        "platform": platform.platform(),
        "python": sys.version,
        "executable": sys.executable,
        "processors": os.cpu_count(),
        "usable_processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": os.getloadavg(),
        "memory_gb": memory.total / 1e9,
        "memory_available_gb": memory.available / 1e9,
        "disk_gb": disk.total / 1e9,
        "disk_free_gb": disk.free / 1e9,
        "booted": psutil.boot_time(),
    }


def _packages() -> dict[str, str]:
    from importlib import metadata

    found = {package.metadata["Name"]: package.version for package in metadata.distributions()}
    return dict(sorted((name, version) for name, version in found.items() if name))
