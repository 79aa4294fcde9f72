"""Errors that say what happened, show the value that caused it, and name the remedy."""

from __future__ import annotations

import difflib
import math
import numbers
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


def is_number(value: object) -> bool:
    """Whether a value can be compared with numbers, as those of NumPy can; text and None cannot."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def at_least(minimum: float, owner: object, *names: str) -> None:
    """Refuse fields of ``owner`` below ``minimum``; for ``__post_init__`` of configurations.

    Raises:
        UsageError: names the option, its value and what is allowed.
    """
    between(minimum, math.inf, owner, *names)


def between(minimum: float, maximum: float, owner: object, *names: str) -> None:
    """Refuse fields of ``owner`` outside ``minimum`` to ``maximum``, and what is no number.

    Raises:
        UsageError: names the option, its value and what is allowed.
    """
    allowed = f"at least {minimum:g}" if maximum == math.inf else f"{minimum:g} to {maximum:g}"
    for name in names:
        value = getattr(owner, name)
        if not is_number(value) or not minimum <= value <= maximum:
            shown = value if is_number(value) else repr(value)
            raise UsageError(f"{type(owner).__name__}.{name} is {shown}. Give {allowed}.")
