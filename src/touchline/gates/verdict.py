"""What every gate says: a verdict, which is made of checks, and the line of a table that each check comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from touchline.cards import card, table
from touchline.gates.statistics import Interval


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    passed: bool | None
    """Whether its condition holds; None where it has none and only tells figures."""
    sentence: str
    """What was found, for a person; begins in lower case and ends without a full stop."""
    value: float | None = None
    """The number that the condition is about."""
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    """Bounds by what they are of."""


@dataclass(frozen=True)
class Line:
    """One line of the table of checks: ``find`` is a pure function of what its gate is given."""

    gate: str
    """``gate1``, ``gate2`` or ``gate3``."""
    name: str
    """What a verdict and its readers call the check; unique in its gate."""
    find: Callable[[Any], Finding | None]
    """Returns None where the check does not apply, as one against a champion where there is none."""
    decides: bool = True
    """Whether the verdict depends on it; else it is only reported."""


@dataclass(frozen=True, kw_only=True)
class Check(Finding):
    """What one named check of a verdict found."""

    name: str
    decides: bool
    """Whether the verdict depends on it; else it is only reported."""


@dataclass(frozen=True)
class Verdict:
    """The decision and what it rests on."""

    gate: str
    passed: bool
    """Whether every check that decides has passed, and there was one."""
    provisional: bool
    """Whether there was too little to look at for a final word."""
    reason: str
    """One or a few sentences for a person."""
    checks: tuple[Check, ...]

    def check(self, name: str) -> Check:
        """Return the check of this name; raises KeyError when there is none."""
        return {check.name: check for check in self.checks}[name]

    @property
    def word(self) -> str:
        """The decision in words, ``provisionally passed`` for one."""
        word = "passed" if self.passed else "not passed"
        return f"provisionally {word}" if self.provisional else word

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks for which the gate was not passed."""
        return tuple(check for check in self.checks if check.decides and not check.passed)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        words = {True: "passed", False: "not passed", None: "–"}
        rows = [
            (check.name, words[check.passed] if check.decides else "told only", check.sentence)
            for check in self.checks
        ]
        return card(f"{self.gate}: {self.word}", (self.reason,), table(("check", "", "found"), rows))


def apply(lines: tuple[Line, ...], given: Any) -> tuple[Check, ...]:
    """Return what the checks find in what their gate is given, in the order of the table."""
    found = ((line, line.find(given)) for line in lines)
    return tuple(Check(name=line.name, decides=line.decides, **vars(one)) for line, one in found if one is not None)


def passed(checks: tuple[Check, ...]) -> bool:
    """Whether checks pass a gate; what nothing decides is not passed."""
    decisive = [check.passed for check in checks if check.decides]
    return bool(decisive) and all(decisive)
