"""What the watch asks of NVIDIA's driver, one function a metric, through nvidia-ml-py (imported as pynvml)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


class NvmlUnavailable(Exception):
    """The driver cannot be asked; ``str()`` is the reason, without a full stop."""


@dataclass(frozen=True)
class Metric:
    """One figure of one device, and how the figures of several devices become one."""

    name: str
    """Without the prefix ``gpu/``."""
    read: Callable[[Any, Any], float]
    """Called with pynvml and a device handle; raises pynvml.NVMLError."""
    together: Callable[[Sequence[float]], float]


@dataclass(frozen=True)
class Device:
    """A GPU that this process may use."""

    index: int
    """Counts from 0 over the visible devices."""
    name: str
    uuid: str
    handle: Any


def _memory_percent(nvml: Any, handle: Any) -> float:
    # ``used`` leaves out what the driver reserves, and that memory cannot be had either.
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return float(100.0 * (memory.total - memory.free) / memory.total)


def _memory_used_gb(nvml: Any, handle: Any) -> float:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return float((memory.total - memory.free) / 1e9)


def _temperature(nvml: Any, handle: Any) -> float:
    try:
        return float(nvml.nvmlDeviceGetTemperatureV(handle, nvml.NVML_TEMPERATURE_GPU))
    except nvml.NVMLError_FunctionNotFound:
        # Drivers before 570 have only the call that newer ones are about to drop.
        return float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


METRICS: tuple[Metric, ...] = (
    Metric("utilization_percent", lambda nvml, gpu: float(nvml.nvmlDeviceGetUtilizationRates(gpu).gpu), _mean),
    Metric("memory_percent", _memory_percent, max),
    Metric("memory_used_gb", _memory_used_gb, sum),
    Metric("temperature", _temperature, max),
    Metric("power_watts", lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3, sum),
)
"""Percent of time with a kernel running, percent and GB (1e9 bytes) of memory, °C, W."""


class Driver:
    """An open NVML; one thread uses it."""

    def __init__(self) -> None:
        """Raises NvmlUnavailable when there is no driver or no device that this process may use."""
        try:
            import pynvml
        except ImportError as error:
            raise NvmlUnavailable("nvidia-ml-py is not installed (pip install nvidia-ml-py)") from error
        self._nvml = pynvml
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise NvmlUnavailable(_why_closed(pynvml, error)) from error
        try:
            self.devices = _visible(pynvml, os.environ)
        except pynvml.NVMLError as error:
            self.close()
            raise NvmlUnavailable(f"the NVIDIA driver does not list its devices ({error})") from error
        except NvmlUnavailable:
            self.close()
            raise

    def read(self, metric: Metric, device: Device) -> float:
        """Return one figure; raises NvmlUnavailable with the reason when it cannot be had now."""
        try:
            return metric.read(self._nvml, device.handle)
        except self._nvml.NVMLError as error:
            raise NvmlUnavailable(f"{error} ({device.name})") from error
        except ZeroDivisionError as error:
            raise NvmlUnavailable(f"the device reports no memory of its own ({device.name})") from error

    def close(self) -> None:
        """Let go of the driver."""
        # A driver that is gone cannot be shut down, and nothing depends on it.
        with contextlib.suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()


def select(uuids: Sequence[str], environment: Mapping[str, str] = MappingProxyType(os.environ)) -> list[int]:
    """Return which devices ``CUDA_VISIBLE_DEVICES`` leaves visible, in its order; indices into ``uuids``.

    As CUDA does, an entry that names no device hides itself and all that follow. CUDA numbers devices as NVML
    does where they are of one kind or where ``CUDA_DEVICE_ORDER=PCI_BUS_ID``.
    """
    wanted = environment.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return list(range(len(uuids)))
    chosen: list[int] = []
    for entry in (part.strip() for part in wanted.split(",")):
        if entry.isdecimal():
            matches = [int(entry)] if int(entry) < len(uuids) else []
        else:
            matches = [i for i, uuid in enumerate(uuids) if entry and uuid.startswith(entry)]
        if len(matches) != 1 or matches[0] in chosen:
            break
        chosen += matches
    return chosen


def _visible(nvml: Any, environment: Mapping[str, str]) -> tuple[Device, ...]:
    handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    if not handles:
        raise NvmlUnavailable("the NVIDIA driver finds no GPU")
    uuids = [_text(nvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    chosen = select(uuids, environment)
    if not chosen:
        raise NvmlUnavailable(f"CUDA_VISIBLE_DEVICES={environment['CUDA_VISIBLE_DEVICES']!r} hides every GPU")
    return tuple(
        Device(index, _text(nvml.nvmlDeviceGetName(handles[i])), uuids[i], handles[i])
        for index, i in enumerate(chosen)
    )


def _why_closed(nvml: Any, error: Exception) -> str:
    if isinstance(error, nvml.NVMLError_LibraryNotFound):
        return "no NVIDIA driver on this machine (libnvidia-ml.so.1 not found)"
    return f"the NVIDIA driver does not start ({error})"


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
