"""Errors that say what happened, show the value that caused it, and name the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TouchlineError(Exception):
    """Base of every error a user may meet; ``str(error)`` is one or two complete sentences."""


class UsageError(TouchlineError):
    """The caller asked for something that does not exist or is malformed; the command line exits with 2."""


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the choice most like ``name`` (case-insensitively), or None when nothing is close."""
    by_folded = {choice.casefold(): choice for choice in choices}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return by_folded[matches[0]] if matches else None


def unknown(kind: str, name: str, choices: Iterable[str]) -> UsageError:
    """Build the error for an unknown recipe, job, option or key, with the nearest name and all names."""
    names = sorted(choices)
    guess = nearest(name, names)
    hint = f" Did you mean {guess!r}?" if guess else ""
    return UsageError(f"There is no {kind} {name!r}.{hint} Known: {', '.join(names)}.")


def at_least(minimum: float, owner: object, *names: str) -> None:
    """Refuse fields of ``owner`` below ``minimum``; for ``__post_init__`` of configurations.

    Raises:
        UsageError: names the option, its value and what is allowed.
    """
    for name in names:
        value = getattr(owner, name)
        if not value >= minimum:
            raise UsageError(f"{type(owner).__name__}.{name} is {value}. Give at least {minimum:g}.")
