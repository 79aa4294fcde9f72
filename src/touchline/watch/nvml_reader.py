"""One look at all GPUs: series and absences, of each device and of all together; heals what can be healed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from touchline.watch.nvml import Device, Driver, NoGpu, NvmlUnavailable
from touchline.watch.nvml_meters import Energy, SmActivity, XidEvents
from touchline.watch.nvml_series import NAMES, QUESTIONS, TOGETHER, XID, answer

_REOPEN_SECONDS = 10.0
_NONE_LEFT = "it is lost, for the NVIDIA driver finds no GPU any more"
_LOST_BEFORE = "the GPU, number {} of the driver's, was lost before the start ({})"


@dataclass(frozen=True)
class Look:
    """What one device answered; series without the prefix ``gpu/``."""

    values: Mapping[str, float] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    was_seen: bool = True
    """Whether the device has ever been there: one that has not is told, and not missed in the figures of all."""


class _Open:
    """An open driver with the meters that end with it."""

    def __init__(self) -> None:
        self.driver = Driver()
        self.nvml = self.driver.nvml
        self._activity: dict[str, SmActivity | str] = {d.uuid: self._activity_of(d) for d in self.driver.devices}
        self._events: XidEvents | None = None
        self._no_events = ""
        try:
            self._events = XidEvents(self.nvml, self.driver.devices)
        except self.nvml.NVMLError as error:
            self._no_events = str(error)

    def _activity_of(self, device: Device) -> SmActivity | str:
        try:
            return SmActivity(self.nvml, device)
        except (self.nvml.NVMLError, NvmlUnavailable) as error:
            return str(error)

    def sm_percent(self, device: Device) -> float:
        """Raises NvmlUnavailable and pynvml.NVMLError."""
        activity = self._activity[device.uuid]
        if isinstance(activity, str):
            raise NvmlUnavailable(activity)
        return activity.read()

    def xids(self) -> list[tuple[str, int]]:
        return self._events.poll() if self._events else []

    def why_no_xid(self, device: Device) -> str | None:
        return self._events.absent.get(device.uuid) if self._events else self._no_events

    def close(self) -> None:
        for activity in self._activity.values():
            if isinstance(activity, SmActivity):
                activity.close()
        if self._events:
            self._events.close()
        self.driver.close()


class Gpus:
    """The GPUs that this process may use; one thread uses it.

    With one GPU the series are ``gpu/utilization_percent`` and so on; with several each has ``gpu/0/…``, and the
    plain name is all of theirs together (see ``TOGETHER``). A device that was there and is not listed any more
    stays, as one that is lost. One that was lost before the first look has a number after those that work, as CUDA
    gives it none.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: _Open | None = None
        self._reopen_at = 0.0
        self._energy: dict[str, Energy] = {}
        self._xids: dict[str, int] = {}
        self.known: dict[str, Device] = {}
        """UUID → each device that was seen so far, with the index that it keeps."""
        self._never_seen: dict[int, Look] = {}

    def look(self) -> tuple[dict[str, float], dict[str, str]]:
        """Return values and absences of all series; raises nothing that NVML raises."""
        try:
            self._open = self._open or self._begin()
        except NvmlUnavailable as error:
            reason = _NONE_LEFT if self.known and isinstance(error, NoGpu) else str(error)
            closed = Look(absent=dict.fromkeys(NAMES, reason))
            looks = {device.index: closed for device in self.known.values()} or {0: closed}
            return self._together(looks | self._never_seen)
        devices = {device.uuid: device for device in self._open.driver.devices}
        looks = {
            known.index: self._look_at(self._open, devices[uuid]) if uuid in devices else _lost(known)
            for uuid, known in self.known.items()
        }
        for uuid, xid in self._open.xids():
            # The newest one is the last.
            self._xids.pop(uuid, None)
            self._xids[uuid] = xid
        self._close_to_reopen(self._open, is_silent=not any(look.values for look in looks.values()))
        return self._together(looks | self._never_seen)

    def _begin(self) -> _Open:
        opened = _Open()
        is_first = not self.known
        for device in opened.driver.devices:
            if device.uuid not in self.known:
                index = min(self._never_seen, default=len(self.known))
                self._never_seen.pop(index, None)
                self.known = {**self.known, device.uuid: replace(device, index=index)}
                self._energy[device.uuid] = Energy(self._clock)
        if is_first:
            self._never_seen = {
                index: Look(absent=dict.fromkeys(NAMES, _LOST_BEFORE.format(*lost)), was_seen=False)
                for index, lost in enumerate(opened.driver.lost.items(), len(self.known))
            }
        return opened

    def _close_to_reopen(self, opened: _Open, is_silent: bool) -> None:
        if not (is_silent or self._never_seen) or self._clock() < self._reopen_at:
            return
        self._reopen_at = self._clock() + _REOPEN_SECONDS
        # Containers lose the driver for good when its devices are set up anew, and a new start finds it again.
        if is_silent or opened.driver.has_found_one():
            self.close()

    def _look_at(self, opened: _Open, device: Device) -> Look:
        values: dict[str, float] = {}
        absent: dict[str, str] = {}
        for question in QUESTIONS:
            found, missing = answer(opened.nvml, device, question)
            values |= found
            absent |= missing
        meters: tuple[tuple[str, Callable[[], float]], ...] = (
            ("energy_wh", lambda: self._energy[device.uuid].read(opened.nvml, device)),
            ("sm_percent", lambda: opened.sm_percent(device)),
        )
        for name, read in meters:
            try:
                values[name] = read()
            except (opened.nvml.NVMLError, NvmlUnavailable) as error:
                absent[name] = f"{error} ({device.name})"
        why = opened.why_no_xid(device)
        if why:
            absent[XID] = f"{why} ({device.name})"
        return Look(values, absent)

    def _together(self, looks: Mapping[int, Look]) -> tuple[dict[str, float], dict[str, str]]:
        newest = {self.known[uuid].index: float(xid) for uuid, xid in self._xids.items()}
        told = {index: _with_xid(look, newest.get(index)) for index, look in looks.items()}
        return together(told, newest_xid=list(newest.values())[-1] if newest else None)

    def close(self) -> None:
        """Let go of the driver; the next look opens it anew."""
        opened, self._open = self._open, None
        if opened is not None:
            opened.close()


def together(looks: Mapping[int, Look], newest_xid: float | None = None) -> tuple[dict[str, float], dict[str, str]]:
    """Return what the devices answered under their names; a series of all is absent when one seen device's is."""
    values: dict[str, float] = {}
    absent: dict[str, str] = {}
    if len(looks) > 1:
        for index, look in looks.items():
            values |= {f"gpu/{index}/{name}": value for name, value in look.values.items()}
            absent |= {f"gpu/{index}/{name}": reason for name, reason in look.absent.items()}
    seen = {index: look for index, look in looks.items() if look.was_seen}
    for name in NAMES:
        reasons = {index: look.absent[name] for index, look in seen.items() if name in look.absent}
        if reasons:
            index, reason = next(iter(reasons.items()))
            absent[f"gpu/{name}"] = f"GPU {index}: {reason}" if len(looks) > 1 else reason
        elif name in TOGETHER:
            values[f"gpu/{name}"] = TOGETHER[name]([look.values[name] for look in seen.values()])
    if newest_xid is not None:
        values[f"gpu/{XID}"] = newest_xid
        absent.pop(f"gpu/{XID}", None)
    return values, absent


def _lost(device: Device) -> Look:
    return Look(
        absent=dict.fromkeys(NAMES, f"it is lost, for the NVIDIA driver does not list it any more ({device.name})")
    )


def _with_xid(look: Look, xid: float | None) -> Look:
    if xid is None:
        return look
    return Look({**look.values, XID: xid}, {name: reason for name, reason in look.absent.items() if name != XID})
