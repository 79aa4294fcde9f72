"""Which process owns a run, and whether it still lives, immune to reused process ids and clock changes."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ProcessIdentity:
    """A process among all processes of all machines."""

    pid: int
    started: str
    """Start in kernel ticks since boot on Linux, else seconds since the epoch."""
    boot: str
    """Identity of the kernel's boot, empty where it is unknown."""
    host: str

    @classmethod
    def current(cls) -> ProcessIdentity:
        """The calling process."""
        return cls(os.getpid(), _started(os.getpid()) or "", _boot(), socket.gethostname())

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> ProcessIdentity:
        """Read back what ``to_mapping`` gave."""
        return cls(int(values["pid"]), str(values["started"]), str(values["boot"]), str(values["host"]))

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def is_local(self) -> bool:
        """True when the process belongs to this machine and this boot, so that ``is_alive`` can know."""
        return self.host == socket.gethostname() and self.boot == _boot()

    def is_alive(self) -> bool:
        """True while this very process runs here; a zombie is dead."""
        return self.is_local() and bool(self.started) and _started(self.pid) == self.started


def identity_of(pid: int) -> ProcessIdentity | None:
    """The living process with this id on this machine, or None."""
    started = _started(pid)
    return ProcessIdentity(pid, started, _boot(), socket.gethostname()) if started else None


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Start time of a living process, None when there is none (zombies count as none)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _started_elsewhere(pid)
    # The command, in parentheses, may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _started_elsewhere(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return None
