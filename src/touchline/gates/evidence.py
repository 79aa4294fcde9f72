"""What is written down about a verdict, so that anyone can check it later."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from touchline import __version__
from touchline.gates.checks import Evaluation, Verdict
from touchline.gates.statistics import RESAMPLES

FORMAT = 1


def evidence(verdict: Verdict, *evaluations: Evaluation | None) -> dict[str, Any]:
    """Return the verdict, its checks and every score as strict JSON values; None among evaluations is left out.

    Bounds that do not exist are null.
    """
    return {
        "format": FORMAT,
        "gate": "gate3",
        "versions": {"touchline": __version__, "numpy": version("numpy"), "scipy": version("scipy")},
        "method": {
            "statistic": "mean over tasks of the mean paired difference of the competition's score",
            "bound": "stratified bootstrap, BCa, one-sided",
            "confidence": verdict.confidence,
            "resamples": RESAMPLES,
            "seed": verdict.seed,
        },
        "verdict": plain(verdict),
        "evaluations": [plain(one) for one in evaluations if one is not None],
    }


def tags(verdict: Verdict) -> dict[str, str]:
    """Return the verdict in short, as text: ``passed``, ``provisional``, ``reason``, ``mean``, ``low`` and so on."""
    decisive = verdict.checks[0]
    found = {
        "passed": str(verdict.passed).lower(),
        "provisional": str(verdict.provisional).lower(),
        "reason": verdict.reason,
        "opponent": verdict.opponent,
        "pairs": ", ".join(f"{task} {n}" for task, n in verdict.pairs.items()),
        "worse_than_standing": ", ".join(verdict.worse_than_standing) or "none",
    }
    if decisive.interval is not None:
        found["mean"] = f"{decisive.interval.mean:.6g}"
        found["low"] = f"{decisive.interval.low:.6g}"
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
