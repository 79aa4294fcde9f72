"""How the process ends: an ``atexit`` function is not told of ``sys.exit(1)``, so that call is listened to."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from typing import NoReturn

_original: Callable[..., NoReturn] | None = None
_code: object = None


def listen() -> None:
    """Remember what ``sys.exit`` is called with, from now on.

    For the import of a module: in ``sys.exit(main())`` the function is looked up before ``main`` begins.
    """
    global _original
    # Once: another library may have put its own function before this one, which calls this one.
    if _original is None:
        _original, sys.exit = sys.exit, _exit


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
    assert _original is not None
    _original(code)
