"""The SDK's helper process: two of them must never upload one run at the same time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path

from touchline.config import Settings
from touchline.tracking.process import ProcessIdentity, identity_of

_PATIENCE_SECONDS = 5.0


def _file(settings: Settings) -> Path:
    return settings.home / "couriers" / "wandb-core.json"


def remember_core(settings: Settings) -> None:
    """Write down which helper this courier started, so that its successor can wait for its end."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "wandb-core" in child.name():
                identity = identity_of(child.pid)
                if identity is not None:
                    _file(settings).write_text(json.dumps(identity.to_mapping()), encoding="utf-8")


def await_leftover_core(settings: Settings) -> None:
    """Wait for the helper of a courier that was killed, and end it when it does not end by itself.

    It uploads to the offset it knew; beside a new one it would overwrite rows.
    """
    try:
        leftover = ProcessIdentity.from_mapping(json.loads(_file(settings).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return
    if _is_own_child(leftover.pid):
        return
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while leftover.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    if leftover.is_alive():
        with contextlib.suppress(ProcessLookupError):
            os.kill(leftover.pid, signal.SIGKILL)


def _is_own_child(pid: int) -> bool:
    import psutil

    return any(child.pid == pid for child in psutil.Process().children(recursive=True))
