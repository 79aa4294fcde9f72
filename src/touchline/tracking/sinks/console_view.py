"""The thread of a training process that feeds the console sink from the run's journal."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from touchline.config import Settings
from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.sinks.base import RunInfo
from touchline.tracking.sinks.console import TABLE_SECONDS, ConsoleSession, ConsoleSink

logger = logging.getLogger("touchline")

_EVENTS_A_LOOK = 1_000
"""More than this since the last look are not read: decoding them would take time from the training."""
_END_SECONDS = 2.0


class ConsoleView:
    """Shows a run until it ends; it never raises, and tells once why it cannot go on."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        """Begin to show the run whose journal is in ``directory``."""
        self._directory = directory
        self._settings = settings
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="touchline-console", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Show the end, which the journal has by now, and let go of the terminal."""
        self._ending.set()
        self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        session: ConsoleSession | None = None
        try:
            with JournalReader(self._directory / FILE_NAME) as journal:
                start = journal.newest("start")
                if start is None:
                    return
                info = RunInfo.from_start(start, self._directory)
                session = ConsoleSink(self._settings).open(info, 0, 0)
                position = start.seq
                while True:
                    last_look = self._ending.wait(TABLE_SECONDS)
                    position = self._look(journal, session, position)
                    if last_look:
                        end = journal.newest("end")
                        payload = end.payload if end is not None and end.seq > start.seq else {}
                        session.close(payload.get("status", "killed"), payload.get("reason", ""), False)
                        return
                    session.show()
        except Exception as error:
            logger.warning(
                "The console shows the run no longer (%s: %s). Training goes on.", type(error).__name__, error
            )
            if session is not None:
                session.release()

    @staticmethod
    def _look(journal: JournalReader, session: ConsoleSession, position: int) -> int:
        newest = journal.last_seq()
        session.send(journal.after(max(position, newest - _EVENTS_A_LOOK), _EVENTS_A_LOOK))
        return newest
