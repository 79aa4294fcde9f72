"""Levels of alerts, and how often one may come."""

from __future__ import annotations

import datetime
import enum
from typing import Any, Literal

from touchline.errors import UsageError

WAIT_SECONDS = 60.0
Level = Literal["info", "warn", "error"]


class AlertLevel(enum.Enum):
    """How serious an alert is."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


_LEVELS: dict[str, Level] = {"INFO": "info", "WARN": "warn", "WARNING": "warn", "ERROR": "error"}


def level_of(level: Any) -> Level:
    """The level that W&B's caller means; None is INFO. Raises UsageError on another one."""
    text = "INFO" if level is None else str(getattr(level, "value", level)).upper()
    if text not in _LEVELS:
        raise UsageError(f"An alert's level is one of INFO, WARN, ERROR, and this is {level!r}.")
    return _LEVELS[text]


def seconds_of(duration: Any) -> float:
    """Seconds in a number, a ``timedelta`` or None (a minute)."""
    if duration is None:
        return WAIT_SECONDS
    return duration.total_seconds() if isinstance(duration, datetime.timedelta) else float(duration)
