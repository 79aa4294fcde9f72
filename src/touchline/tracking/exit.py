"""How the process ends: an ``atexit`` function is not told of ``sys.exit(1)``, so that call is listened to."""

from __future__ import annotations

import builtins
import sys
from typing import NoReturn

_original = sys.exit
_code: object = None


def listen() -> None:
    """Remember what ``sys.exit`` is called with, from now on."""
    global _original
    if sys.exit is not _exit:
        _original = sys.exit
        sys.exit = _exit


def last_error() -> BaseException | None:
    """The unhandled exception, or the exit with a code other than 0, that ends the process; None when all is well.

    For ``atexit`` functions: a SystemExit that was caught counts only there, where nothing came after it.
    """
    # In a notebook a cell that failed is not the end: others came after it.
    error: BaseException | None = None if hasattr(builtins, "__IPYTHON__") else getattr(sys, "last_value", None)
    return error if error is not None else (SystemExit(_code) if _code not in (None, 0) else None)


def _exit(code: object = None, /) -> NoReturn:
    global _code
    _code = code
    _original(code)  # type: ignore[arg-type]
