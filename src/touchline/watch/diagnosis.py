"""Why a GPU has less to do than it could: an account of what the window's time was lost to.

A card that is busy for a share *b* of the time loses 1 − *b* to waiting, and while it works it may lose more to a
lowered clock or to kernels that fill a few of its processors. Each of these losses is estimated from what the
quantities mean, as a share of the window. The largest is the diagnosis; time that nothing accounts for competes as
``unknown``. No rule knows a device by its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from touchline.watch import advice
from touchline.watch.advice import Cause
from touchline.watch.evidence import Evidence

__all__ = ["LOW_PERCENT", "Cause", "Diagnosis", "Evidence", "Loss", "diagnose", "losses"]

LOW_PERCENT = 80.0
"""Utilisation from which on there is nothing to diagnose."""

_FEW_PROCESSORS = 0.3
"""Occupancy up to which kernels are small: batches of thousands fill half of a card and more."""
_SMALL_BATCH = 512
"""Samples; at the widths of control policies a layer's product over fewer fills a few processors of a large card."""
_HOT_CELSIUS = 83.0
"""Where GeForce cards begin to slow down; those of data centres do a little later."""
_LOWERED_CLOCK = 0.85
"""Below what a free GeForce reaches of the maximum that its driver states."""
_LOST_WHILE_THROTTLED = 0.5
_FULL_PERCENT = 80.0
_NOTHING_RAN = 0.1
_SECONDS_A_COMPILATION = 0.5
_CONTRADICTED = 0.5


@dataclass(frozen=True)
class Loss:
    """What one cause costs."""

    cause: Cause
    share: float
    """Of the window's time, 0 to 1."""


@dataclass(frozen=True)
class Diagnosis:
    """Why utilisation is low; ``str()`` is a paragraph for people."""

    cause: Cause
    evidence: tuple[str, ...]
    """Sentences with the numbers that speak for it."""
    suggestion: str
    """The one thing to try first."""
    lost_share: float
    """Estimate of the window's time that the cause costs, 0 to 1."""

    def __str__(self) -> str:
        return " ".join((f"{advice.TITLES[self.cause]} ({self.cause}).", *self.evidence, self.suggestion))


def diagnose(evidence: Evidence) -> Diagnosis | None:
    """Name what costs most of the window's time; None when utilisation is at least 80 % or not known."""
    if evidence.utilization_percent is None or evidence.utilization_percent >= LOW_PERCENT:
        return None
    worst = max(losses(evidence), key=lambda loss: loss.share)
    return Diagnosis(
        cause=worst.cause,
        evidence=advice.sentences(worst.cause, evidence),
        suggestion=advice.suggestion(worst.cause, evidence),
        lost_share=worst.share,
    )


def losses(evidence: Evidence) -> tuple[Loss, ...]:
    """Return what each cause costs; ``unknown`` comes once for each place whose loss nothing explains."""
    return (
        _throttling(evidence),
        Loss("batch_too_small", _small_kernels(evidence)),
        Loss("compiling", _compiling(evidence)),
        *_waiting(evidence),
    )


def _throttling(evidence: Evidence) -> Loss:
    """A card at *c* times its full clock does *c* times the work, for as long as it is busy and held down."""
    clock, throttled = evidence.clock_share, evidence.throttled
    thermal, power = evidence.throttle_thermal or 0.0, evidence.throttle_power or 0.0
    is_hot = (evidence.temperature or 0.0) >= _HOT_CELSIUS
    is_at_the_limit = evidence.is_at_the_power_limit
    cause: Cause = "power_throttled"
    if thermal > power or (thermal == power and is_hot and not is_at_the_limit):
        cause = "thermally_throttled"
    if throttled is None:
        # Some virtual machines tell no reasons: the clock shows that it is held down, heat and power show by what.
        throttled = float(is_at_the_limit if clock is None else clock < _LOWERED_CLOCK)
        cause = cause if is_hot or is_at_the_limit else "unknown"
    if clock is None:
        return Loss(cause, evidence.busy * throttled * _LOST_WHILE_THROTTLED)
    return Loss(cause, evidence.busy * min(throttled, 1.0 - clock))


def _small_kernels(evidence: Evidence) -> float:
    """Processors left empty while kernels run or updates launch them, where few are filled; else gaps in updates."""
    occupancy = evidence.occupancy
    launching = max(0.0, evidence.spent("update") - _compiling_untimed(evidence))
    if occupancy is not None and occupancy <= _FEW_PROCESSORS:
        return max(evidence.busy, launching) * (1.0 - occupancy)
    if evidence.batch_size is None or evidence.batch_size > _SMALL_BATCH:
        return 0.0
    return _gaps(evidence) if occupancy is not None else launching * (1.0 - _FEW_PROCESSORS)


def _compiling(evidence: Evidence) -> float:
    """All the time that compiling takes: kernels that the compiler tries out train nothing."""
    return evidence.spent("compile") if "compile" in evidence.sections else _compiling_untimed(evidence)


def _compiling_untimed(evidence: Evidence) -> float:
    """An estimate where programs are counted and their time is not; what has not been compiled cannot have run."""
    if "compile" in evidence.sections or not evidence.compilations:
        return 0.0
    room = _gaps(evidence) + _untimed_rest(evidence)
    has_run = evidence.busy >= _NOTHING_RAN if evidence.steps_per_second is None else evidence.steps_per_second > 0.0
    usual = _SECONDS_A_COMPILATION * evidence.compilations / evidence.window_seconds
    return min(room, usual) if has_run else room


def _waiting(evidence: Evidence) -> Iterator[Loss]:
    """What the card waits for outside of the updates, and ``unknown`` where that is not told."""
    rest = _rest_elsewhere(evidence)
    unexplained = max(0.0, _untimed_rest(evidence) - _compiling_untimed(evidence))
    is_simulating = "environment" not in evidence.sections and (evidence.host_cpu_percent or 0.0) >= _FULL_PERCENT
    if rest < _CONTRADICTED:
        # Dispatch is asynchronous: the sections measure waits for a card that works, not what the card waits for.
        yield Loss("unknown", 1.0 - evidence.busy)
        return
    yield Loss(
        "environment_bound",
        rest * evidence.spent("environment", "evaluation") + (unexplained if is_simulating else 0.0),
    )
    yield Loss("transfer_bound", rest * evidence.spent("transfer"))
    yield Loss("waiting_for_sink", rest * evidence.spent("checkpoint", "logging"))
    yield Loss("unknown", 0.0 if is_simulating else unexplained)
    if not _small_kernels(evidence):
        yield Loss("unknown", max(0.0, _gaps(evidence) - _compiling_untimed(evidence)))


def _gaps(evidence: Evidence) -> float:
    """Share of the time in which updates run and the card rests, if it does all of its work in them."""
    return max(0.0, evidence.spent("update") - evidence.busy)


def _untimed_rest(evidence: Evidence) -> float:
    """Share of the time that is not timed and in which the card rests, if it works in the updates first."""
    return evidence.untimed - min(evidence.untimed, max(0.0, evidence.busy - evidence.spent("update")))


def _rest_elsewhere(evidence: Evidence) -> float:
    """Share of the other sections in which the card rests, if it works in updates and untimed code first."""
    elsewhere = 1.0 - evidence.spent("update") - evidence.untimed
    overflow = evidence.busy - evidence.spent("update") - evidence.untimed
    return 1.0 - max(0.0, overflow) / elsewhere if elsewhere > 0.0 else 1.0
