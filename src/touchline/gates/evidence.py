"""What is written down about a verdict, so that anyone can judge again and compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from touchline import __version__
from touchline.errors import TouchlineError
from touchline.gates.agreement import Agreement
from touchline.gates.contest import Contest, Evaluation
from touchline.gates.table import gate1, gate2, gate3
from touchline.gates.verdict import Verdict

FORMAT = 2


def evidence(verdict: Verdict, given: Agreement | Contest) -> dict[str, Any]:
    """Return a verdict and all that its gate was given as strict JSON values; what is not finite is null."""
    return {
        "format": FORMAT,
        "gate": verdict.gate,
        "versions": {"touchline": __version__, "numpy": version("numpy"), "scipy": version("scipy")},
        "verdict": plain(verdict),
        "given": plain(given),
    }


def rejudge(document: Mapping[str, Any]) -> Verdict:
    """Return the verdict on what evidence holds, reckoned anew; what the document says of a verdict is not looked at.

    Raises TouchlineError when the document is no evidence that this version can read.
    """
    judge = _JUDGES.get(str(document.get("gate")))
    if judge is None or document.get("format") != FORMAT:
        raise TouchlineError(
            f"This is no evidence that Touchline {__version__} can judge: its gate is {document.get('gate')!r} and "
            f"its format {document.get('format')!r}; known is format {FORMAT} of {', '.join(_JUDGES)}. Use the "
            f"version that wrote it ({document.get('versions', {}).get('touchline', 'which it does not tell')})."
        )
    try:
        return judge(document["given"])
    except (KeyError, TypeError, ValueError) as error:
        raise TouchlineError(
            f"The evidence cannot be read ({type(error).__name__}: {error}). Take the file that the gate wrote."
        ) from error


def confirm(document: Mapping[str, Any]) -> Verdict:
    """Judge evidence again and return the verdict; TouchlineError when it is not the one that the document tells."""
    found = rejudge(document)
    told = document.get("verdict", {})
    ours, theirs = _told(plain(found)), _told(told)
    other = {name for name in ours.keys() & theirs.keys() if not _is_same(ours[name], theirs[name])}
    if wrong := sorted(ours.keys() ^ theirs.keys() | other):
        raise TouchlineError(
            f"The evidence tells another verdict than it supports: {', '.join(wrong)} came out otherwise when it was "
            "judged again. Do not rely on it; run the gate again."
        )
    return found


def tags(verdict: Verdict, contest: Contest) -> dict[str, str]:
    """Return a verdict of gate 3 in short, as text: ``verdict``, ``passed``, ``provisional``, ``reason`` and more."""
    first = next(check for check in verdict.checks if check.decides)
    found = {
        "verdict": verdict.word,
        "passed": str(verdict.passed).lower(),
        "provisional": str(verdict.provisional).lower(),
        "reason": verdict.reason,
        "opponent": contest.opponent.name,
        "scenarios": ", ".join(f"{task} {n}" for task, n in contest.scenarios.items()),
        "attempt": str(contest.attempt),
        "error": f"{contest.error:.3g}",
    }
    if first.value is not None:
        found["mean"] = f"{first.value:.6g}"
    if first.intervals:
        found["low"] = f"{max(interval.low for interval in first.intervals.values()):.6g}"
    return found


def plain(value: Any) -> Any:
    """Return dataclasses, mappings, arrays and numbers as strict JSON values; a number that is not finite is None."""
    if is_dataclass(value):
        return {part.name: plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _agreement(given: Mapping[str, Any]) -> Agreement:
    worst = {
        name: {part: math.nan if value is None else float(value) for part, value in row.items()}
        for name, row in given["worst"].items()
    }
    return Agreement(worst, given["observations"], given["tolerance"], tuple(given["ignored"]))


def _contest(given: Mapping[str, Any]) -> Contest:
    return Contest(
        **{
            **given,
            "candidate": Evaluation(**given["candidate"]),
            "baseline": Evaluation(**given["baseline"]),
            "champion": None if given["champion"] is None else Evaluation(**given["champion"]),
            "others": tuple(Evaluation(**other) for other in given["others"]),
        }
    )


_JUDGES: Mapping[str, Callable[[Mapping[str, Any]], Verdict]] = {
    "gate1": lambda given: gate1(_agreement(given)),
    "gate2": lambda given: gate2(_agreement(given)),
    "gate3": lambda given: gate3(_contest(given)),
}


def _told(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """What a verdict says, by what it is of: decisions and figures, not the sentences that repeat them."""
    told = {name: verdict.get(name) for name in ("gate", "passed", "provisional")}
    for check in verdict.get("checks", ()):
        name = f"check {check['name']!r}"
        told |= {name: check["passed"], f"the value of {name}": check["value"]}
        for of, interval in check["intervals"].items():
            told |= {f"the interval of {of!r} of {name} ({part})": value for part, value in interval.items()}
    return told


def _is_same(ours: Any, theirs: Any) -> bool:
    """Whether two values are one; the last digits of figures may differ between machines."""
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-9)
    return bool(ours == theirs)
