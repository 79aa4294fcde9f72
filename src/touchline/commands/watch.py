"""``touchline watch``: the local GPUs and the running runs of the home, live on a terminal."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from touchline.commands.options import Home, parse, settings_of
from touchline.config import Settings
from touchline.errors import UsageError
from touchline.watch import GpuWatch
from touchline.watch.snapshot import Snapshot

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from touchline.tracking.watched import WatchedHome

REFRESH_SECONDS = 1.0
_TERMINATED = 128 + signal.SIGTERM
_FIRST_SECONDS = 0.2
"""Pause between the samples before the only view of --once; the host's first one has no CPU figure."""
_DRIVER_SECONDS = 5.0
"""Longest wait for the driver; a view without its figures says so."""


@dataclass(frozen=True)
class WatchOptions:
    """Watch the GPUs of this machine and the running runs of the home; q or Ctrl-C ends it."""

    once: bool = False
    """Print one view and end, also where there is no terminal."""
    home: Home = None


def watch(arguments: list[str]) -> int:
    """``touchline watch``."""
    options = parse(WatchOptions, arguments, "watch")
    # A home that is named is there; without one the GPUs alone are worth a look.
    settings = settings_of(options.home) if options.home is not None else Settings.load()
    from rich.console import Console

    from touchline.tracking.watched import WatchedHome

    console = Console(highlight=False)
    home = WatchedHome(settings)
    if options.once:
        _once(console, settings, home)
        return 0
    if not console.is_terminal or console.is_dumb_terminal:
        raise UsageError(
            "This is no terminal that a live view could be drawn on. Print one view with: touchline watch --once"
        )
    # Ctrl-C is the ordinary end of a view, not an interruption of work.
    with contextlib.suppress(KeyboardInterrupt):
        _live(console, settings, home)
    return 0


def _once(console: Console, settings: Settings, home: WatchedHome) -> None:
    if not console.is_terminal:
        console.width = 1_000  # nothing is to be folded for a file or a pipe
    with GpuWatch(_FIRST_SECONDS, disk=_disk(settings)) as gpus:
        deadline = time.monotonic() + _DRIVER_SECONDS
        gpus.wait_sample(_DRIVER_SECONDS)
        gpus.wait_sample(max(deadline - time.monotonic(), 0.0))
        console.print(_View(settings, home, gpus).draw(console.width))


def _live(console: Console, settings: Settings, home: WatchedHome) -> None:
    from rich.live import Live

    # Who is told to end leaves by the same door, which gives the terminal back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    with (
        GpuWatch(REFRESH_SECONDS, disk=_disk(settings)) as gpus,
        _keys() as pressed,
        Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live,
    ):
        gpus.wait_sample(REFRESH_SECONDS)
        view = _View(settings, home, gpus)
        while True:
            live.update(view.draw(console.width), refresh=True)
            if pressed.wait("q", REFRESH_SECONDS):
                return


def _disk(settings: Settings) -> Path | None:
    """The disk that matters is that of the home."""
    return settings.home if settings.home.is_dir() else None


class _View:
    """Gathers what one picture shows."""

    def __init__(self, settings: Settings, home: WatchedHome, gpus: GpuWatch) -> None:
        self._settings, self._home, self._gpus = settings, home, gpus

    def draw(self, width: int) -> RenderableType:
        """Draw what is so now, for lines of ``width`` characters."""
        from touchline.commands.watch_gpus import which
        from touchline.commands.watch_picture import picture

        runs, sentences = self._home.look()
        if not self._settings.home.is_dir():
            where = f"The home {self._settings.home} is not there; name the one that holds the runs with --home DIR."
            sentences = (*sentences, where)
        names = self._gpus.device_names
        return picture(newest(self._gpus), names, runs, (*which(names, os.environ), *sentences), width)


def newest(gpus: GpuWatch) -> Snapshot:
    """Return the newest sample without what is no longer true, as when the watch is held up."""
    latest, absent = gpus.latest, gpus.absent
    values = latest.values if latest is not None else {}
    return Snapshot(
        latest.at if latest is not None else time.monotonic(),
        {name: value for name, value in values.items() if name not in absent},
        absent,
    )


class _Keys:
    """The keys that are pressed on a terminal."""

    def wait(self, key: str, seconds: float) -> bool:
        """Wait until ``key`` is pressed; whether it was within ``seconds``."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0.0:
            if not select.select([sys.stdin], [], [], left)[0]:
                return False
            # Past Python's buffer, of which ``select`` would know nothing.
            pressed = os.read(sys.stdin.fileno(), 64).decode(errors="replace")
            if key in pressed.lower():
                return True
            if not pressed:  # the terminal's input has ended, and would be ready for ever
                time.sleep(max(deadline - time.monotonic(), 0.0))
        return False


class _NoKeys(_Keys):
    """Nobody can press a key; Ctrl-C ends the view."""

    def wait(self, key: str, seconds: float) -> bool:
        time.sleep(seconds)
        return False


@contextlib.contextmanager
def _keys() -> Iterator[_Keys]:
    """Let single keys come through in the context, where the input is a terminal."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield _NoKeys()
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield _Keys()
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
