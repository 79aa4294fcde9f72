"""stdout and stderr of a run, as they come: batches of lines into the journal, up to a number of bytes."""

from __future__ import annotations

import codecs
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from touchline.tracking.capture.lines import Lines
from touchline.tracking.capture.notebook import shell
from touchline.tracking.capture.streams import leave, listen, renew

LOOK_SECONDS = 1.0

Put = Callable[[str, Mapping[str, Any]], None]


class ConsoleCapture:
    """Hears what the process prints; whoever prints only pays for an append."""

    def __init__(self, put: Put, limit: int) -> None:
        """``put`` takes an event's kind and payload; ``limit`` in bytes of UTF-8, both streams together."""
        self._put = put
        self._limit = limit
        self._left = limit
        self._heard: deque[tuple[str, str | bytes]] = deque()
        self._waiting = 0
        self._missed = False
        self._lines = {"stdout": Lines(), "stderr": Lines()}
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in self._lines}
        self._next = time.monotonic() + LOOK_SECONDS
        self._over = False
        # Both the journal's thread and the one that ends the run deliver.
        self._delivering = threading.Lock()
        self._hear_method, self._renew_method = self._hear, self._renew
        listen(self._hear_method)
        if (notebook := shell()) is not None:
            notebook.events.register("pre_run_cell", self._renew_method)

    def look(self) -> None:
        """Put what is new, at most once a second; called by the journal's thread."""
        if time.monotonic() >= self._next:
            self._deliver(final=False)

    def stop(self) -> None:
        """Leave the streams and put the rest."""
        leave(self._hear_method)
        if (notebook := shell()) is not None:
            with contextlib.suppress(ValueError):
                notebook.events.unregister("pre_run_cell", self._renew_method)
        self._deliver(final=True)

    def tell(self, text: str) -> None:
        """Add to stderr what the process is about to print after the run's end: a traceback."""
        self._hear("stderr", text)

    def _renew(self, *cell: object) -> None:
        renew()

    def _hear(self, stream: str, text: str | bytes) -> None:
        if self._over:
            return
        # Between two looks no more can matter than is ever kept, apart from what is redrawn.
        if self._waiting > self._limit:
            self._missed = True
            return
        self._waiting += len(text)
        self._heard.append((stream, text))

    def _deliver(self, final: bool) -> None:
        with self._delivering:
            self._take(final)

    def _take(self, final: bool) -> None:
        now = time.monotonic()
        self._next = now + LOOK_SECONDS
        if self._over:
            return
        if not final:
            renew()
        heard, self._waiting = len(self._heard), 0
        for _ in range(heard):
            stream, text = self._heard.popleft()
            self._lines[stream].feed(text if isinstance(text, str) else self._decoders[stream].decode(text), now)
        for stream, lines in self._lines.items():
            new = [*lines.settled(now), *(lines.rest() if final else ())]
            if new and not self._over:
                self._keep(stream, "\n".join(new) + "\n")
        if self._missed and not self._over:
            self._missed = False
            self._keep("stderr", "touchline: the output came faster than it could be kept, so a part is missing\n")

    def _keep(self, stream: str, text: str) -> None:
        data = text.encode("utf-8", "replace")
        if len(data) > self._left:
            self._over = True
            leave(self._hear_method)
            self._heard.clear()
            kept = data[: self._left].decode("utf-8", "ignore").rpartition("\n")[0]
            text = (kept and kept + "\n") + (
                f"touchline: {self._limit:,} bytes of output are kept, and the rest of it is not; "
                "keep more with TOUCHLINE_CONSOLE_BYTES=…\n"
            )
        self._left -= len(data)
        # A lone surrogate, which a far side could not encode, is replaced.
        self._put("console", {"stream": stream, "text": text.encode("utf-8", "replace").decode("utf-8")})
