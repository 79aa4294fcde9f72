"""Gates 1 and 2: whether two implementations of the same function agree, judged from a table of differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from touchline.gates.verdict import Finding

OBSERVATIONS_OF_GATE1 = 100
OBSERVATIONS_OF_GATE2 = 1_000


@dataclass(frozen=True)
class Agreement:
    """How far two implementations are from each other, on sets of observations."""

    worst: Mapping[str, Mapping[str, float]]
    """Set of observations → what was compared → largest absolute difference."""
    observations: Mapping[str, int]
    """Set → how many observations were compared."""
    tolerance: float
    """A difference of this or more is one too large."""
    ignored: tuple[str, ...] = ()
    """What was compared and does not count."""

    @property
    def largest_of(self) -> dict[str, float]:
        """The largest difference of everything that counts; NaN where there was one."""
        names = dict.fromkeys(name for row in self.worst.values() for name in row if name not in self.ignored)
        return {
            name: float(np.max([row[name] for row in self.worst.values() if name in row]))  # max() would lose a NaN
            for name in names
        }

    @property
    def largest(self) -> float:
        """The largest difference among all that counts."""
        return float(np.max(list(self.largest_of.values())))

    @property
    def wrong(self) -> tuple[str, ...]:
        """What differs by the tolerance or more in some set."""
        return tuple(name for name, value in self.largest_of.items() if not value < self.tolerance)

    @property
    def passed(self) -> bool:
        """Whether something was compared, and nothing that counts is wrong."""
        return bool(self.largest_of) and not self.wrong


def agree(agreement: Agreement) -> Finding:
    """Every difference that counts is below the tolerance; NaN is not, and nor is having compared nothing."""
    found = agreement.largest_of
    if not found:
        return Finding(False, "nothing was compared")
    if not agreement.passed:
        named = ", ".join(f"{name} by {found[name]:.1e}" for name in agreement.wrong)
        return Finding(False, f"differs by {agreement.tolerance:.0e} or more: {named}", agreement.largest)
    left_out = f", {' and '.join(agreement.ignored)} left out" if agreement.ignored else ""
    sentence = f"agrees to {agreement.largest:.1e} (allowed: less than {agreement.tolerance:.0e}{left_out})"
    return Finding(True, sentence, agreement.largest)


def enough_official(agreement: Agreement) -> Finding:
    """At least 100 recorded official observations were compared."""
    return _enough(agreement, OBSERVATIONS_OF_GATE1)


def enough_recorded_and_random(agreement: Agreement) -> Finding:
    """At least 1,000 observations were compared, recorded ones and random ones.

    Unit-scale noise alone hides a wrong epsilon or a missing normaliser.
    """
    found = _enough(agreement, OBSERVATIONS_OF_GATE2)
    if not agreement.observations.get("recorded") or len(agreement.observations) < 2:
        sets = ", ".join(agreement.observations) or "none"
        return Finding(False, f"recorded and random observations are wanted, and the sets are: {sets}", found.value)
    return found


def _enough(agreement: Agreement, wanted: int) -> Finding:
    count = sum(agreement.observations.values())
    sets = ", ".join(f"{name} {n:,}" for name, n in agreement.observations.items())
    return Finding(count >= wanted, f"{count:,} observations were compared ({sets}); {wanted:,} are wanted", count)
