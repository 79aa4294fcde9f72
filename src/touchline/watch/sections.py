"""Where the training loop spends its wall time: named sections, and what JAX spends on compiling within them."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Callable
from threading import get_ident
from types import TracebackType
from typing import Any

from touchline.errors import unknown

SECTIONS = ("environment", "transfer", "update", "evaluation", "checkpoint", "logging", "compile")
"""What a loop may be doing; ``transfer`` is drawing a batch and moving it to the device."""

_OUTSIDE = ""
_COMPILE = "compile"
_COMPILED = "/jax/core/compile/backend_compile_duration"
_PREPARED = ("/jax/core/compile/jaxpr_trace_duration", "/jax/core/compile/jaxpr_to_mlir_module_duration")


class Sections:
    """Measures the shares of the loop's wall time; the thread that opens the first section is the loop.

    Inner sections take their time out of the outer one. Sections that other threads open count for nothing: they
    take no time from the loop. ``shares`` and ``compilations`` may be called from any thread::

        sections = Sections()
        with sections("environment"):
            ...
        sections.shares()  # {"environment": 0.71}

    Once jax is imported, what it spends on tracing and compiling in the loop's thread is moved from the section
    around it into ``compile``.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """``clock``: returns seconds and never goes back."""
        self._clock = clock
        self._sections = {name: _Section(self, name) for name in SECTIONS}
        self._lock = threading.Lock()
        self._loop: int | None = None
        self._current = _OUTSIDE
        self._outer: list[str] = []
        self._spent: dict[str, float] = {}
        self._compilations = 0
        self._prepared: list[tuple[float, float]] = []
        self._began = self._since = clock()
        _compilers.hearers.add(self)

    def __call__(self, name: str) -> _Section:
        """Return the context manager of a section, one of SECTIONS.

        Raises:
            UsageError: there is no such section; names the nearest.
        """
        try:
            return self._sections[name]
        except KeyError:
            raise unknown("section", name, SECTIONS) from None

    def shares(self) -> dict[str, float]:
        """Return section → share of the wall time since the last call, 0 to 1, for each that was ever open."""
        is_compiling_timed = _compilers.listen() and self._loop is not None
        with self._lock:
            now = self._charge()
            elapsed = now - self._began
            spent, self._spent = self._spent, dict.fromkeys(self._spent, 0.0)
            self._prepared.clear()
            self._began = now
        spent.pop(_OUTSIDE, None)
        if is_compiling_timed:
            spent.setdefault(_COMPILE, 0.0)
        return {name: seconds / elapsed if elapsed > 0.0 else 0.0 for name, seconds in spent.items()}

    def compilations(self) -> int | None:
        """Return how many programs JAX compiled or loaded since the last call, in all threads; None without jax."""
        if not _compilers.listen():
            return None
        with self._lock:
            count, self._compilations = self._compilations, 0
        return count

    def _enter(self, name: str) -> None:
        if get_ident() != self._loop and not self._is_first_to_open():
            return
        if not _compilers.listening and "jax" in sys.modules:
            _compilers.listen()
        with self._lock:
            self._charge()
            self._outer.append(self._current)
            self._current = name

    def _leave(self) -> None:
        if get_ident() == self._loop:
            with self._lock:
                self._charge()
                self._current = self._outer.pop()

    def _is_first_to_open(self) -> bool:
        if self._loop is None:
            self._loop = get_ident()
        return get_ident() == self._loop

    def _charge(self) -> float:
        """Charge the time since the last charge to what is current; return the time. The caller holds the lock."""
        now = self._clock()
        self._spent[self._current] = self._spent.get(self._current, 0.0) + now - self._since
        self._since = now
        return now

    def _hear(self, event: str, seconds: float) -> None:
        """Take in that JAX has just finished a step of a compilation; called in the thread that compiled."""
        with self._lock:
            self._compilations += event == _COMPILED
            if get_ident() != self._loop or self._current == _COMPILE:
                return
            now = self._charge()
            began = max(now - seconds, self._began)
            # A function that is traced within another is reported first, and again as part of the other.
            inner = 0.0
            while self._prepared and self._prepared[-1][0] >= began:
                inner += self._prepared.pop()[1]
            moved = min(now - began - inner, self._spent[self._current])
            self._prepared.append((began, now - began))
            self._spent[self._current] -= max(0.0, moved)
            self._spent[_COMPILE] = self._spent.get(_COMPILE, 0.0) + max(0.0, moved)


class _Section:
    """One named section; may be entered again while it is open."""

    __slots__ = ("_name", "_sections")

    def __init__(self, sections: Sections, name: str) -> None:
        self._sections = sections
        self._name = name

    def __enter__(self) -> None:
        self._sections._enter(self._name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sections._leave()


class _Compilers:
    """Passes JAX's reports on to every Sections; one listener a process, because JAX keeps it for good."""

    def __init__(self) -> None:
        self.listening = False
        self.hearers: weakref.WeakSet[Sections] = weakref.WeakSet()

    def listen(self) -> bool:
        """Begin to listen if jax has been imported by now; whether reports come."""
        monitoring = getattr(sys.modules.get("jax"), "monitoring", None)
        if not self.listening and monitoring is not None:
            monitoring.register_event_duration_secs_listener(self._hear)
            self.listening = True
        return self.listening

    def _hear(self, event: str, seconds: float, **_: Any) -> None:
        if event == _COMPILED or event in _PREPARED:
            for sections in list(self.hearers):
                sections._hear(event, seconds)


_compilers = _Compilers()
