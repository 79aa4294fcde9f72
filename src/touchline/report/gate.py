"""The gate for a page, from its evidence: verdict, checks, and the paired differences with their intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchline.errors import TouchlineError
from touchline.gates import differences

ADVANTAGES = "advantages"
"""The check that reports an interval for each opponent and task."""


@dataclass(frozen=True)
class Interval:
    """Bounds of a mean; None where too little was played to tell."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Row:
    """One task, or the mean of all of them."""

    task: str
    values: tuple[float, ...]
    """Score of the candidate minus the opponent's, scenario by scenario; empty for the mean of tasks."""
    interval: Interval


@dataclass(frozen=True)
class Check:
    """One check and what it found."""

    name: str
    passed: bool | None
    decides: bool
    sentence: str


@dataclass(frozen=True)
class Gate:
    """What a gate decided, and on what."""

    passed: bool
    provisional: bool
    reason: str
    candidate: str
    opponent: str
    margin: float
    rows: tuple[Row, ...]
    checks: tuple[Check, ...]

    @property
    def word(self) -> str:
        """The decision in a word or two."""
        word = "passed" if self.passed else "not passed"
        return f"provisionally {word}" if self.provisional else word


def read_gate(path: Path) -> Gate:
    """Read the evidence that a gate of policies wrote. Raises TouchlineError when it is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        given, verdict = document["given"], document["verdict"]
        candidate, opponent = given["candidate"], given["champion"] or given["baseline"]
        paired = differences(candidate["scores"], opponent["scores"])
        checks: Sequence[Mapping[str, Any]] = verdict["checks"]
        intervals: Mapping[str, Any] = next((one["intervals"] for one in checks if one["name"] == ADVANTAGES), {})
        name = str(opponent["name"])
        rows = [_row(task, values.tolist(), intervals.get(f"{name}, {task}")) for task, values in paired.items()]
        if (overall := intervals.get(name)) and len(rows) > 1:
            rows.append(_row("mean of tasks", (), overall))
        return Gate(
            bool(verdict["passed"]),
            bool(verdict["provisional"]),
            str(verdict["reason"]),
            str(candidate["name"]),
            name,
            float(given["margin"]),
            tuple(rows),
            tuple(Check(one["name"], one["passed"], bool(one["decides"]), one["sentence"]) for one in checks),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TouchlineError(
            f"The evidence {path} cannot be read ({type(error).__name__}: {error}). It must be the file that the "
            "gate wrote."
        ) from error


def _row(task: str, values: Sequence[float], told: Mapping[str, Any] | None) -> Row:
    if told is None:
        mean = math.fsum(values) / len(values)
        return Row(task, tuple(values), Interval(mean, None, None))
    return Row(task, tuple(values), Interval(float(told["mean"]), told["low"], told["high"]))
