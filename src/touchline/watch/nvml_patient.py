"""The GPUs, asked from a thread of their own, so that a driver that hangs is an absence and not a wait."""

from __future__ import annotations

from collections.abc import Mapping

from touchline.watch.aside import Aside, TakesLong
from touchline.watch.nvml_reader import Gpus
from touchline.watch.nvml_series import NAMES

_PATIENCE_SECONDS = 0.5
_OPENING_SECONDS = 5.0
"""A driver that nobody keeps awake takes seconds to start."""


class PatientGpus:
    """GPUs that answer within half a second, the first time within five."""

    def __init__(self) -> None:
        self._gpus = Gpus()
        self._aside = Aside(self._gpus.look, self._gpus.close, "touchline-watch-driver")
        self._patience = _OPENING_SECONDS
        self._names = frozenset(f"gpu/{name}" for name in NAMES)

    def look(self) -> tuple[Mapping[str, float], Mapping[str, str]]:
        """Return values and absences of all series; while the driver hangs, all are absent with that reason."""
        patience, self._patience = self._patience, _PATIENCE_SECONDS
        try:
            values, absent = self._aside.ask(patience)
        except TakesLong as error:
            reason = f"the NVIDIA driver has not answered for {error.seconds:.1f} s"
            return {}, dict.fromkeys(self._names, reason)
        self._names = frozenset(values) | frozenset(absent)
        return values, absent

    @property
    def device_names(self) -> tuple[str, ...]:
        """What the devices that were seen so far are called."""
        return tuple(device.name for device in self._gpus.known.values())

    def close(self, timeout: float) -> None:
        """Let go of the driver; one that hangs is left behind after ``timeout`` seconds."""
        self._aside.close(timeout)
