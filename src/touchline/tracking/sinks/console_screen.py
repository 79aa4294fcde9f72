"""A picture at the bottom of a terminal that is drawn again in its place, below whatever the training prints."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import RenderableType


_screens: weakref.WeakSet[Screen] = weakref.WeakSet()


class Lines:
    """A stream that is no terminal: what is drawn is one more line."""

    redraws = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def draw(self, what: RenderableType, last: bool = False) -> None:
        """Write a line."""
        self._stream.write(f"{what}\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing is held."""


class Screen:
    """A terminal. A print wipes the picture, and the next drawing puts it below what was printed."""

    redraws = True

    def __init__(self, terminal: TextIO) -> None:
        from rich.console import Console

        # A stream of its own: what is drawn here is not the training's output, so nobody who records that gets it.
        self._stream = os.fdopen(os.dup(terminal.fileno()), "w", encoding="utf-8", errors="replace")
        self._console = Console(file=self._stream, force_terminal=True, highlight=False)
        self._lock = threading.RLock()
        self._height = 0
        self._in_a_line = False
        self._replaced = [(name, _Watched(getattr(sys, name), self)) for name in ("stdout", "stderr")]
        for name, watched in self._replaced:
            setattr(sys, name, watched)
        _screens.add(self)

    def draw(self, what: RenderableType, last: bool = False) -> None:
        """Draw ``what`` in the place of the last picture, unless someone is in the middle of a line.

        The ``last`` one is drawn in any case.
        """
        with self._console.capture() as captured:
            self._console.print(what)
        lines = captured.get().splitlines(keepends=True)[: max(self._console.height - 1, 1)]
        with self._lock:
            if last or not self._in_a_line:
                self.wipe()
                self._stream.write("\n" if self._in_a_line else "")
                self._stream.write("".join(lines))
                self._stream.flush()
                self._height = len(lines)

    def wipe(self) -> None:
        """Take the picture away."""
        with self._lock:
            if self._height:
                self._stream.write(f"\x1b[{self._height}A\x1b[0J")
                self._stream.flush()
                self._height = 0

    def print_above(self, stream: Any, text: Any) -> Any:
        """Write to ``stream`` what the training prints."""
        with self._lock:
            self.wipe()
            count = stream.write(text)
            with contextlib.suppress(Exception):
                stream.flush()
            if text:
                self._in_a_line = not str(text).endswith("\n")
        return count

    def forget(self) -> None:
        """Called in a forked child, which may print but not draw; the lock may be held by a thread it lacks."""
        self._lock = threading.RLock()
        self._height = 0

    def close(self) -> None:
        """Leave the last picture and give the streams back."""
        for name, watched in self._replaced:
            if getattr(sys, name) is watched:
                setattr(sys, name, watched._stream)
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._height = 0
            self._stream.close()


class _Watched:
    """A standard stream whose writes go through the screen; in all else it is the stream itself."""

    def __init__(self, stream: Any, screen: Screen) -> None:
        self._stream = stream
        self._screen = screen

    def write(self, text: Any) -> Any:
        return self._screen.print_above(self._stream, text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _after_fork() -> None:
    for screen in list(_screens):
        screen.forget()


os.register_at_fork(after_in_child=_after_fork)
