"""The series of a GPU that need a memory: energy since the watch began, SM activity, the newest XID error."""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Callable, Sequence
from typing import Any

from touchline.watch.nvml import Device, NvmlUnavailable

_MILLIJOULES_PER_WH = 3.6e6
_MOST_EVENTS = 64


class Energy:
    """Energy of one device since its first sample, in Wh.

    From the device's energy counter, which also sees what happens between two samples (Yang, Adamek and Armour 2023,
    arXiv 2312.02741); without one, from its power by the trapezoid rule. It outlives a driver that is opened anew.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wh = 0.0
        self._counter: int | None = None
        self._power: tuple[float, float] | None = None

    def read(self, nvml: Any, device: Device) -> float:
        """Raises NvmlUnavailable for MIG devices, and pynvml.NVMLError."""
        if device.is_mig:
            raise NvmlUnavailable("MIG devices have none of their own")
        try:
            counter = int(nvml.nvmlDeviceGetTotalEnergyConsumption(device.handle))
        except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound):
            return self._from_power(nvml.nvmlDeviceGetPowerUsage(device.handle) / 1e3)
        # A driver that was loaded anew counts from 0 again.
        if self._counter is not None and counter >= self._counter:
            self._wh += (counter - self._counter) / _MILLIJOULES_PER_WH
        self._counter = counter
        return self._wh

    def _from_power(self, watts: float) -> float:
        now = self._clock()
        if self._power is not None:
            before, watts_before = self._power
            self._wh += (watts + watts_before) / 2 * (now - before) / 3600
        self._power = now, watts
        return self._wh


class SmActivity:
    """Share of time in which a device's multiprocessors were busy, in percent, between two reads.

    From GPM (NVML's GPU performance monitoring), which Hopper and newer have.
    """

    def __init__(self, nvml: Any, device: Device) -> None:
        """Raises NvmlUnavailable where there is no GPM, and pynvml.NVMLError."""
        self._nvml, self._device = nvml, device
        if not nvml.nvmlGpmQueryDeviceSupport(device.card).isSupportedDevice:
            raise NvmlUnavailable("the device has no GPM, which Hopper and newer have")
        self._samples = [nvml.nvmlGpmSampleAlloc(), nvml.nvmlGpmSampleAlloc()]
        self._is_begun = False
        self._asked = nvml.c_nvmlGpmMetricsGet_t()
        self._asked.version = nvml.NVML_GPM_METRICS_GET_VERSION
        self._asked.numMetrics = 1
        self._asked.metrics[0].metricId = nvml.NVML_GPM_METRIC_SM_UTIL

    def read(self) -> float:
        """Raises NvmlUnavailable at the first read, which has nothing to compare with, and pynvml.NVMLError."""
        before, after = self._samples
        if self._device.is_mig:
            self._nvml.nvmlGpmMigSampleGet(self._device.card, self._device.gpu_instance, after)
        else:
            self._nvml.nvmlGpmSampleGet(self._device.handle, after)
        self._samples = [after, before]
        was_begun, self._is_begun = self._is_begun, True
        if not was_begun:
            raise NvmlUnavailable("the first sample has nothing to compare with")
        self._asked.sample1, self._asked.sample2 = before, after
        self._nvml.nvmlGpmMetricsGet(self._asked)
        metric = self._asked.metrics[0]
        if metric.nvmlReturn != self._nvml.NVML_SUCCESS:
            raise self._nvml.NVMLError(metric.nvmlReturn)
        return float(metric.value)

    def close(self) -> None:
        """Free the samples."""
        for sample in self._samples:
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlGpmSampleFree(sample)


class XidEvents:
    """Errors that the driver reports about devices by number (NVIDIA, "XID Errors"), asked for without waiting."""

    def __init__(self, nvml: Any, devices: Sequence[Device]) -> None:
        """Raises pynvml.NVMLError where the driver has no events."""
        self._nvml = nvml
        self._devices: list[Device] = []
        self.absent: dict[str, str] = {}
        """UUID of each device that cannot report → why."""
        self._events = nvml.nvmlEventSetCreate()
        for device in devices:
            try:
                nvml.nvmlDeviceRegisterEvents(device.card, nvml.nvmlEventTypeXidCriticalError, self._events)
            except nvml.NVMLError as error:
                self.absent[device.uuid] = str(error)
            else:
                self._devices.append(device)

    def poll(self) -> list[tuple[str, int]]:
        """Return (UUID of the device, XID) of each error since the last call, oldest first."""
        found: list[tuple[str, int]] = []
        if not self._devices:
            return found
        for _ in range(_MOST_EVENTS):
            try:
                event = self._nvml.nvmlEventSetWait_v2(self._events, 0)
            except self._nvml.NVMLError:
                # Nothing (more) came; a GPU that is lost also ends the waiting, and its other series say so.
                break
            found += [
                (device.uuid, int(event.eventData)) for device in self._devices if self._concerns(event, device)
            ]
        return found

    def _concerns(self, event: Any, device: Device) -> bool:
        whole_gpu = 0xFFFFFFFF
        is_ours = device.gpu_instance is None or event.gpuInstanceId in (whole_gpu, device.gpu_instance)
        return is_ours and _address(event.device) == _address(device.card)

    def close(self) -> None:
        """Free the event set."""
        with contextlib.suppress(self._nvml.NVMLError):
            self._nvml.nvmlEventSetFree(self._events)


def _address(handle: Any) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value
