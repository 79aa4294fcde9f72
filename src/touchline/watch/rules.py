"""What may be wrong with a GPU, one rule a thing; each looks at a snapshot and says how it finds it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from touchline.watch.names import called, figure, gpus, owner_of, says_lost
from touchline.watch.snapshot import Snapshot

Level = Literal["info", "warn", "error"]
_CAUSES: tuple[tuple[str, Level, str, str], ...] = (
    ("thermal", "warn", "it is too hot", "Look at its cooling and at what else heats the machine."),
    ("hardware", "warn", "its hardware demands it", "Look at its power supply and its cooling."),
    ("power", "info", "it is at its power limit", "That is its full speed, unless someone lowered the limit."),
)
"""Cause, level, why and remedy."""
_MEANINGS = {
    13: "an instruction of the program failed on the GPU",
    31: "the program touched memory that is not its own",
    43: "the program's work on the GPU was stopped",
    45: "the program's work was removed after an earlier error",
    48: "memory had an error that it cannot correct",
    63: "a defective row of memory was noted for replacement",
    64: "a defective row of memory could not be noted for replacement",
    74: "the NVLink connection failed",
    79: "the GPU has fallen off the bus",
    94: "a memory error was contained to one program",
    95: "a memory error was not contained",
    119: "the GPU's system processor does not answer",
    120: "the GPU's system processor failed",
}
"""By number, after NVIDIA's catalogue of XID errors."""


@dataclass(frozen=True)
class Finding:
    """How a rule finds one thing at one moment."""

    rule: str
    about: str
    """The thing, such as ``GPU 1``; with ``rule`` it names the condition."""
    is_bad: bool | None
    """None: neither bad nor well."""
    level: Level
    title: str
    text: str
    """One or two sentences: what is wrong, the figure, and what helps."""
    recovery: str = ""
    """The title of its end; empty when the end is not told."""
    hold_seconds: float = 0.0
    """It is told when it was bad for so long."""
    since: float | None = None
    """Monotonic seconds since when it has been as it is; None: since a rule first found it so."""


class Rule(Protocol):
    """Something that may be wrong."""

    def find(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield a finding for each thing that can be judged now; called with snapshots in the order of time."""
        ...


@dataclass(frozen=True)
class Limit:
    """A figure of a GPU, or of an allocator, that should stay below a limit."""

    rule: str
    metric: str
    """Last part of the series name."""
    what: str
    unit: str
    limit: float
    hysteresis: float
    """It is well again below ``limit - hysteresis``."""
    hold_seconds: float
    remedy: str
    owners: tuple[str, ...] = ()
    """Prefixes of series beside those of the GPUs."""

    def find(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield a finding for each GPU and owner that has the figure."""
        for owner in (*gpus(snapshot), *self.owners):
            value = figure(snapshot, owner + self.metric)
            if value is None:
                continue
            about = called(owner)
            is_bad = True if value > self.limit else False if value < self.limit - self.hysteresis else None
            yield Finding(
                self.rule,
                about,
                is_bad,
                "warn",
                f"{about}: {self.what} above {self.limit:g} {self.unit}",
                f"{about}: {self.what} is at {value:.1f} {self.unit}. {self.remedy}",
                f"{about}: {self.what} below {self.limit - self.hysteresis:g} {self.unit} again",
                self.hold_seconds,
            )


class Throttling:
    """A GPU that slows itself down for most of the time, over about ``seconds``."""

    def __init__(self, share: float, seconds: float) -> None:
        """``share``: of the time, 0 to 1, above which it is told; it has ended below a third of that."""
        self._share, self._seconds = share, seconds
        self._shares: dict[str, tuple[float, float]] = {}
        self._slow: dict[str, tuple[float | None, float]] = {}
        """When a GPU began to be slow, None while it is not, and when it was slow last; monotonic seconds."""

    def find(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield a finding for each GPU and cause."""
        for owner in gpus(snapshot):
            for cause, level, why, remedy in _CAUSES:
                series = f"{owner}throttle_{cause}"
                flag = figure(snapshot, series)
                if flag is None:
                    continue
                share = self._smooth(series, snapshot.at, flag)
                is_bad = True if share > self._share else False if share < self._share / 3.0 else None
                first, newest = self._slow_from_to(series, snapshot.at, flag, is_bad)
                yield Finding(
                    f"throttle_{cause}",
                    called(owner),
                    is_bad,
                    level,
                    f"{called(owner)} slows itself down: {why}",
                    f"{called(owner)} has run below its clock for {share:.0%} of the last {self._seconds:g} s: "
                    f"{why}. {remedy}",
                    f"{called(owner)} runs at its clock again",
                    since=first if is_bad else newest,
                )

    def _slow_from_to(self, series: str, at: float, flag: float, is_bad: bool | None) -> tuple[float, float]:
        first, newest = self._slow.get(series, (None, at))
        if flag:
            first, newest = (at if first is None else first), at
        elif is_bad is False:
            # What slows it down now and then is not the beginning of what does for long.
            first = None
        self._slow[series] = first, newest
        return at if first is None else first, newest

    def _smooth(self, series: str, at: float, flag: float) -> float:
        before, share = self._shares.get(series, (at, 0.0))
        share += (flag - share) * -math.expm1((before - at) / self._seconds)
        self._shares[series] = at, share
        return share


class Lost:
    """A GPU that the driver calls lost, or of which nothing can be had any more."""

    def __init__(self, lost_seconds: float, absent_seconds: float) -> None:
        """``lost_seconds``: called lost for so long. ``absent_seconds``: without any figure for so long."""
        self._lost_seconds, self._absent_seconds = lost_seconds, absent_seconds
        self._seen: dict[str, float] = {}

    def find(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield a finding for each GPU that is there, or once was."""
        for owner in gpus(snapshot):
            # Without its driver every GPU is absent under the plain name, which then stands for those known before.
            if owner != "gpu/" or not self._seen:
                self._seen.setdefault(owner, snapshot.at)
        # The newest error is remembered by the watch, whatever becomes of the GPU.
        present = {owner_of(series) for series in snapshot.values if not series.endswith("/xid")}
        for owner in self._seen:
            if owner in present:
                self._seen[owner] = snapshot.at
            yield self._finding(owner, owner in present, snapshot)

    def _finding(self, owner: str, is_present: bool, snapshot: Snapshot) -> Finding:
        reasons = [why for series, why in snapshot.absent.items() if owner_of(series) == owner]
        if not reasons and not is_present:
            reasons = [why for series, why in snapshot.absent.items() if owner_of(series) == "gpu/"]
        lost = next((why for why in reasons if says_lost(why)), None)
        is_gone = not is_present and snapshot.at - self._seen[owner] >= self._absent_seconds
        if lost is None:
            title, remedy = "tells nothing any more", "See whether nvidia-smi still answers."
        else:
            title = "is lost"
            remedy = "It needs a reset or a restart of the machine; start again from the newest checkpoint."
        return Finding(
            "gpu_lost",
            called(owner),
            lost is not None or is_gone,
            "error",
            f"{called(owner)} {title}",
            f"{_no_figures(called(owner), lost or next(iter(reasons), ''))} {remedy}",
            f"{called(owner)} is back",
            self._lost_seconds,
            since=None if is_present else self._seen[owner],
        )


def _no_figures(gpu: str, reason: str) -> str:
    which = "the GPU" if gpu == "GPU" else gpu
    return f"There are no figures of {which}: {reason}." if reason else f"There are no figures of {which}."


class Xid:
    """An error that the driver reports of a GPU."""

    def __init__(self) -> None:
        self._newest: dict[str, float | None] = {}
        self._known: dict[str, set[float]] = {}

    def find(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield a bad finding for an error that is new, and a good one for each that came before."""
        for owner in gpus(snapshot):
            number = figure(snapshot, f"{owner}xid")
            is_new = number != self._newest.get(owner)
            self._newest[owner] = number
            known = self._known.setdefault(owner, set())
            if number is not None:
                known.add(number)
            for each in known:
                yield self._finding(called(owner), int(each), is_new and each == number)

    def _finding(self, gpu: str, number: int, is_new: bool) -> Finding:
        meaning = _MEANINGS.get(number, "see NVIDIA's catalogue of XID errors")
        return Finding(
            "xid",
            f"{gpu}, XID {number}",
            is_new,
            "error",
            f"{gpu} reports XID {number}",
            f"The driver reports XID {number} of {gpu}: {meaning}. The kernel log has the details.",
        )
