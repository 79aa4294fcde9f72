"""Listening to sys.stdout and sys.stderr without replacing them: what holds the stream already is heard too.

Only the ``write`` of the very stream object is wrapped, so ``fileno()``, ``isatty()``, ``encoding`` and ``buffer``
stay what they were, and a handler or progress bar that took the stream earlier is heard. Output that goes around
Python's streams (C libraries, child processes) is not heard: catching it would need a pipe in place of the file
descriptors, which changes ``isatty()``, loses the last words of a crash, and can block a library that prints more
than the pipe holds while it keeps the interpreter lock.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

Listener = Callable[[str, "str | bytes"], None]
"""Takes the stream's name and what was written; must be quick, raise nothing and write nowhere."""

_MISSING = object()
_inside = threading.local()
"""On while a wrapped write runs in this thread: what one stream hands on to another is heard once."""
_lock = threading.Lock()
_taps: dict[int, Tap] = {}


class Tap:
    """The wrapped ``write`` of one stream; shared by all who listen."""

    def __init__(self, name: str, stream: Any) -> None:
        """Wrap; raises AttributeError or TypeError where an object does not allow it."""
        self.name = name
        self.stream = stream
        self.listeners: tuple[Listener, ...] = ()
        self.renew()

    def renew(self) -> None:
        """Wrap again where another one has put back what it found: IPython does so after each cell."""
        self._wrap(self.stream, "write", self._text)
        if (buffer := self._buffer()) is not None:
            # A text stream hands its bytes on in write and in flush; what comes otherwise was written as bytes.
            with contextlib.suppress(AttributeError, TypeError):
                self._wrap(self.stream, "flush", self._quiet)
                self._wrap(buffer, "write", self._bytes)

    def restore(self) -> None:
        """Unwrap what nobody has wrapped again; another one's wrapper goes on over a silent tap."""
        self.listeners = ()
        for owner, attribute in ((self.stream, "write"), (self.stream, "flush"), (self._buffer(), "write")):
            with contextlib.suppress(AttributeError, TypeError, ValueError):
                present = vars(owner).get(attribute)
                if getattr(present, "tap", None) is not self:
                    continue
                if present.before is _MISSING:
                    delattr(owner, attribute)
                else:
                    setattr(owner, attribute, present.before)

    def _buffer(self) -> Any:
        return getattr(self.stream, "buffer", None)

    def _wrap(self, owner: Any, attribute: str, make: Callable[[Any], Any]) -> None:
        before = vars(owner).get(attribute, _MISSING)
        if getattr(before, "tap", None) is not self:
            wrapper = make(getattr(owner, attribute))
            wrapper.tap, wrapper.before = self, before
            setattr(owner, attribute, wrapper)

    def _text(self, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def write(text: Any) -> Any:
            outer = getattr(_inside, "on", False)
            _inside.on = True
            try:
                count = original(text)
            finally:
                _inside.on = outer
            if not outer and isinstance(text, str):
                for listener in self.listeners:
                    listener(self.name, text)
            return count

        return write

    def _quiet(self, original: Callable[[], Any]) -> Callable[[], Any]:
        def flush() -> Any:
            outer = getattr(_inside, "on", False)
            _inside.on = True
            try:
                return original()
            finally:
                _inside.on = outer

        return flush

    def _bytes(self, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def write(data: Any) -> Any:
            count = original(data)
            if self.listeners and not getattr(_inside, "on", False):
                for listener in self.listeners:
                    listener(self.name, bytes(data))
            return count

        return write


def listen(listener: Listener) -> None:
    """Call ``listener`` with all that is written to the present sys.stdout and sys.stderr, and the first ones."""
    streams = (("stdout", sys.stdout), ("stderr", sys.stderr), ("stdout", sys.__stdout__), ("stderr", sys.__stderr__))
    with _lock:
        for name, stream in streams:
            if stream is None:
                continue
            tap = _taps.get(id(stream))
            if tap is None:
                try:
                    tap = Tap(name, stream)
                except (AttributeError, TypeError):  # an object that takes no attributes
                    continue
                _taps[id(stream)] = tap
            if listener not in tap.listeners:
                tap.listeners = (*tap.listeners, listener)


def renew() -> None:
    """Wrap again what another one has unwrapped."""
    with _lock:
        for tap in _taps.values():
            with contextlib.suppress(AttributeError, TypeError, ValueError):
                tap.renew()


def leave(listener: Listener) -> None:
    """Stop calling ``listener``; the last one to leave a stream restores it."""
    with _lock:
        for key, tap in list(_taps.items()):
            tap.listeners = tuple(other for other in tap.listeners if other != listener)
            if not tap.listeners:
                del _taps[key]
                tap.restore()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    for tap in _taps.values():
        tap.listeners = ()


os.register_at_fork(after_in_child=_after_fork)
