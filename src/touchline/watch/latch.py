"""When a condition is told, and when its end is: once each, however it flickers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

_MOST_DOUBLINGS = 20
Change = Literal["told", "recovered"]


@dataclass(frozen=True)
class Patience:
    """How long a condition is looked at before it is told."""

    hold_seconds: float
    """It has to have been bad for so long."""
    clear_seconds: float
    """It has to have been well for so long before its end is told; twice as long each time it came back."""
    repeat_seconds: float
    """It is told at most once in so long."""


@dataclass(frozen=True)
class Latch:
    """What is remembered of a condition."""

    is_active: bool = False
    is_told: bool = False
    bad_since: float | None = None
    well_since: float | None = None
    began: float | None = None
    """When it began, which may be before it was looked at."""
    mended: float | None = None
    """When it ended, likewise."""
    told_at: float | None = None
    ended_at: float | None = None
    returns: int = 0
    """How often it came back within ``repeat_seconds``."""

    @property
    def lasted(self) -> float:
        """Seconds from its beginning to its end, for a latch that has just recovered."""
        return 0.0 if self.began is None or self.mended is None else max(self.mended - self.began, 0.0)


def step(
    latch: Latch, at: float, is_bad: bool | None, patience: Patience, since: float | None = None
) -> tuple[Latch, Change | None]:
    """Take the condition of the moment ``at`` (monotonic seconds); return what to remember and what to tell.

    ``is_bad`` is None between the limit where it begins and the lower one where it ends: neither begins nor ends it.
    ``since`` is when the condition began to be so, where that is known to be before ``at``; it says how long it
    lasted, and makes nobody less patient.
    """
    if latch.is_active:
        return _while_active(latch, at, is_bad, patience, at if since is None else since)
    if not is_bad:
        return (latch if is_bad is None or latch.bad_since is None else replace(latch, bad_since=None)), None
    bad_since = at if latch.bad_since is None else latch.bad_since
    if latch.bad_since is None:
        latch = replace(latch, bad_since=at, began=at if since is None else since)
    if at - bad_since < patience.hold_seconds:
        return latch, None
    came_back = latch.ended_at is not None and at - latch.ended_at < patience.repeat_seconds
    returns = latch.returns + 1 if came_back else 0
    active = replace(latch, is_active=True, is_told=False, bad_since=None, well_since=None, returns=returns)
    return _tell(active, at, patience)


def _while_active(
    latch: Latch, at: float, is_bad: bool | None, patience: Patience, since: float
) -> tuple[Latch, Change | None]:
    if is_bad is not False:
        latch = latch if latch.well_since is None else replace(latch, well_since=None)
        return _tell(latch, at, patience) if is_bad and not latch.is_told else (latch, None)
    well_since = at if latch.well_since is None else latch.well_since
    if latch.well_since is None:
        latch = replace(latch, well_since=at, mended=since)
    if at - well_since < min(
        patience.clear_seconds * 2.0**latch.returns, max(patience.clear_seconds, patience.repeat_seconds)
    ):
        return latch, None
    ended = replace(latch, is_active=False, is_told=False, well_since=None, ended_at=at)
    return ended, "recovered" if latch.is_told else None


def _tell(latch: Latch, at: float, patience: Patience) -> tuple[Latch, Change | None]:
    if latch.told_at is not None and at - latch.told_at < patience.repeat_seconds:
        return latch, None
    return replace(latch, is_told=True, told_at=at), "told"
