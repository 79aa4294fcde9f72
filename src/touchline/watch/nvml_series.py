"""The series of a GPU, and what the driver is asked for each: one call a question, several series an answer.

``nvmlDeviceGetPcieThroughput`` is not among them: it takes 20 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from touchline.watch.nvml import Device


class Scope(Enum):
    """Whose figure a MIG device has."""

    OWN = "own"
    CARD = "card"
    """The whole GPU's: its parts share the temperature and the clocks."""
    NONE = "none"
    """Nobody can tell it of a part of a GPU."""


@dataclass(frozen=True)
class Question:
    """One call of the driver."""

    series: tuple[str, ...]
    """What the answer gives, without the prefix ``gpu/``."""
    ask: Callable[[Any, Any], tuple[float, ...]]
    """Called with pynvml and a handle; raises pynvml.NVMLError."""
    mig: Scope


def newest(nvml: Any, names: Sequence[str], *arguments: Any) -> Any:
    """Return what the first function answers that both nvidia-ml-py and the driver have; raises pynvml.NVMLError."""
    for name in names:
        function = getattr(nvml, name, None)
        try:
            if function is not None:
                return function(*arguments)
        except nvml.NVMLError_FunctionNotFound:
            continue
    raise nvml.NVMLError(nvml.NVML_ERROR_FUNCTION_NOT_FOUND)


def _utilization(nvml: Any, gpu: Any) -> tuple[float, ...]:
    return (float(nvml.nvmlDeviceGetUtilizationRates(gpu).gpu),)


def _memory(nvml: Any, gpu: Any) -> tuple[float, ...]:
    # ``used`` of newer drivers leaves out what the driver reserves, and that memory cannot be had either.
    memory = nvml.nvmlDeviceGetMemoryInfo(gpu)
    used = memory.total - memory.free
    return 100.0 * used / memory.total, used / 1e9


def _temperature(nvml: Any, gpu: Any) -> tuple[float, ...]:
    # Drivers before 570 have only the call that newer ones are about to drop.
    names = ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature")
    return (float(newest(nvml, names, gpu, nvml.NVML_TEMPERATURE_GPU)),)


def _throttle(nvml: Any, gpu: Any) -> tuple[float, ...]:
    names = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
    reasons = newest(nvml, names, gpu)
    thermal = nvml.nvmlClocksThrottleReasonSwThermalSlowdown | nvml.nvmlClocksThrottleReasonHwThermalSlowdown
    power = nvml.nvmlClocksThrottleReasonSwPowerCap | nvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown
    hardware = (
        nvml.nvmlClocksThrottleReasonHwSlowdown
        | nvml.nvmlClocksThrottleReasonHwThermalSlowdown
        | nvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown
    )
    return tuple(float(bool(reasons & kind)) for kind in (thermal, power, hardware))


QUESTIONS: tuple[Question, ...] = (
    Question(("utilization_percent",), _utilization, Scope.NONE),
    Question(("memory_percent", "memory_used_gb"), _memory, Scope.OWN),
    Question(("temperature",), _temperature, Scope.CARD),
    Question(("power_watts",), lambda nvml, gpu: (nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3,), Scope.NONE),
    Question(
        ("power_limit_watts",), lambda nvml, gpu: (nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1e3,), Scope.NONE
    ),
    Question(
        ("clock_sm_mhz",),
        lambda nvml, gpu: (float(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM)),),
        Scope.CARD,
    ),
    Question(
        ("clock_sm_max_mhz",),
        lambda nvml, gpu: (float(nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM)),),
        Scope.CARD,
    ),
    Question(
        ("clock_memory_mhz",),
        lambda nvml, gpu: (float(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM)),),
        Scope.CARD,
    ),
    Question(("throttle_thermal", "throttle_power", "throttle_hardware"), _throttle, Scope.CARD),
)
"""Percent of time with a kernel running; percent and GB (1e9 bytes) of memory; °C; W; MHz; 0 or 1."""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


TOGETHER: Mapping[str, Callable[[Sequence[float]], float]] = {
    "utilization_percent": _mean,
    "memory_percent": max,
    "memory_used_gb": sum,
    "temperature": max,
    "power_watts": sum,
    "power_limit_watts": sum,
    "clock_sm_mhz": _mean,
    "clock_sm_max_mhz": _mean,
    "clock_memory_mhz": _mean,
    "throttle_thermal": max,
    "throttle_power": max,
    "throttle_hardware": max,
    "energy_wh": sum,
    "sm_percent": _mean,
}
"""Each series that every device is asked for → how the figures of several devices become one."""

XID = "xid"
"""A series only where an error came; of several devices' errors the newest stands for all."""

NAMES = (*TOGETHER, XID)


def answer(nvml: Any, device: Device, question: Question) -> tuple[dict[str, float], dict[str, str]]:
    """Return the series of one question, and why they are absent; never raises what NVML raises."""
    if device.is_mig and question.mig is Scope.NONE:
        return {}, dict.fromkeys(question.series, f"MIG devices have none of their own ({device.name})")
    handle = device.card if question.mig is Scope.CARD else device.handle
    try:
        return dict(zip(question.series, question.ask(nvml, handle), strict=True)), {}
    except nvml.NVMLError as error:
        reason = str(error)
    except ZeroDivisionError:
        reason = "the device reports no memory of its own"
    return {}, dict.fromkeys(question.series, f"{reason} ({device.name})")
