"""Sentences that a process tells once, and errors for names that are not offered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from touchline.errors import TouchlineError, nearest

logger = logging.getLogger("touchline")
_told: set[str] = set()


def tell(key: str, sentence: str) -> None:
    """Warn, once in a process for each ``key``."""
    if key not in _told:
        _told.add(key)
        logger.warning("%s", sentence)


def refusal(sentence: str) -> Callable[..., NoReturn]:
    """A function that raises TouchlineError with ``sentence``, whatever it is called with."""

    def refuse(*arguments: Any, **named: Any) -> NoReturn:
        raise TouchlineError(sentence)

    return refuse


def no_attribute(module: str, name: str, known: Iterable[str]) -> AttributeError:
    """Build the error for a name that a module does not offer, with the nearest one and the list."""
    names = sorted(known)
    guess = nearest(name, names)
    hint = f" Did you mean {guess!r}?" if guess else ""
    return AttributeError(f"{module} has no attribute {name!r}.{hint} Known: {', '.join(names)}.")
