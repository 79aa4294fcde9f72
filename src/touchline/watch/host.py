"""The machine around the GPU: processors, memory, disk."""

from __future__ import annotations

from pathlib import Path


class Host:
    """Asked again and again by one thread; processor use is the mean since the last time."""

    def __init__(self, disk: Path) -> None:
        import psutil

        self._psutil = psutil
        self._disk = disk
        self._is_begun = False
        psutil.cpu_percent()  # The first call has nothing to compare with and returns 0.

    def look(self) -> tuple[dict[str, float], dict[str, str]]:
        """Return ``host/…`` in percent, and why what is missing is."""
        values = {"host/memory_percent": float(self._psutil.virtual_memory().percent)}
        absent: dict[str, str] = {}
        if self._is_begun:
            values["host/cpu_percent"] = float(self._psutil.cpu_percent())
        else:
            absent["host/cpu_percent"] = "the first sample has nothing to compare with"
        self._is_begun = True
        try:
            values["host/disk_percent"] = float(self._psutil.disk_usage(str(self._disk)).percent)
        except OSError as error:
            absent["host/disk_percent"] = f"{self._disk} cannot be asked ({error.strerror})"
        return values, absent
