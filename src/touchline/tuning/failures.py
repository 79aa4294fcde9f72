"""Why trials fail, in kinds that can be counted, and when so many failures are one cause."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState

FAILURE = "failure"
"""Attribute of a trial that failed: its kind and reason, and whether another trial goes on from it."""
LIMIT = 3
"""Failures of one kind in a row that are no chance any more."""
_CRASHES = {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS"}
_NO_MEMORY = ("RESOURCE_EXHAUSTED", "out of memory", "Out of memory", "OutOfMemory", "bad_alloc")


@dataclass(frozen=True)
class Failure:
    """Why a trial failed."""

    kind: str
    """``not finite``, ``out of memory``, ``killed``, ``lost``, ``crashed``, ``exit code N`` or an exception."""
    reason: str
    """A sentence for people."""

    def __str__(self) -> str:
        """Kind and reason in one line; an exception's reason begins with its kind."""
        told = self.reason.splitlines()[0].rstrip(".")
        return f"{told}." if told.startswith(f"{self.kind}:") else f"{self.kind}. {told}."

    @property
    def is_accident(self) -> bool:
        """Whether the same configuration may do well in another attempt: nothing that it did ended it."""
        return self.kind in ("killed", "lost")


LOST = Failure("lost", "Its machine gave no sign of life, and nobody knows why.")


def of_exception(error: BaseException) -> Failure:
    """The failure behind an exception, or behind what that was raised from."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    told = f"{type(error).__name__}: {error}"[:1_000]
    for each in chain:
        if isinstance(each, MemoryError) or any(word in f"{type(each).__name__}: {each}" for word in _NO_MEMORY):
            return Failure("out of memory", told)
        if isinstance(each, FloatingPointError):
            return Failure("not finite", told)
    return Failure(type(error).__name__, told)


def of_exit(code: int) -> Failure:
    """The failure of a process that ended without a word; ``code`` is below 0 for a signal."""
    if code >= 0:
        return Failure(f"exit code {code}", f"Its process ended with the exit code {code} and without a result.")
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name in _CRASHES:
        return Failure("crashed", f"Its process crashed ({name}): in a native library, or in the environment.")
    perhaps = ", by a person or by the kernel for want of memory" if name == "SIGKILL" else ""
    return Failure("killed", f"Its process was killed ({name}){perhaps}.")


def failure_of(trial: optuna.trial.FrozenTrial) -> Failure | None:
    """Why a trial failed; None while another trial goes on from it, and where it did not fail."""
    told: dict[str, Any] = trial.user_attrs.get(FAILURE, {"kind": "unknown", "reason": "Nobody told why."})
    if trial.state != TrialState.FAIL or told.get("retried"):
        return None
    return Failure(told["kind"], told["reason"])


def in_a_row(trials: Iterable[optuna.trial.FrozenTrial]) -> tuple[Failure, ...]:
    """The last failures of one kind with no trial between them that ended well or failed otherwise."""
    ended = [trial for trial in trials if trial.state.is_finished() and trial.datetime_complete is not None]
    found: list[Failure] = []
    for trial in sorted(ended, key=lambda trial: (trial.datetime_complete, trial.number), reverse=True):
        failure = failure_of(trial)
        if failure is None and trial.state == TrialState.FAIL:
            continue
        if failure is None or (found and failure.kind != found[0].kind):
            break
        found.append(failure)
    return tuple(found)
