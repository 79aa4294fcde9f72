"""Which runs of the home are copies of a source's run: one, or several where its parts were imported apart."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from pathlib import Path

from touchline.config import Settings
from touchline.migration.source import About
from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.sync import run_ids


def run_id_of(about: About) -> str:
    """The id that a run of a source gets in every home: its start, its track and a digest of its identity."""
    moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(about.started))
    return f"{moment}-{_key(about)}"


class Copies:
    """The imported runs of a home, found by what they are copies of.

    The start in a run's id is that of the earliest folder that was there, so it does not tell whether the run is.
    """

    def __init__(self, settings: Settings) -> None:
        self._by_key: dict[str, list[str]] = defaultdict(list)
        for run_id in run_ids(settings):
            self.add(run_id)

    def add(self, run_id: str) -> None:
        """Take note of a run that is there now."""
        self._by_key[run_id.split("-", 2)[-1]].append(run_id)

    def of(self, about: About) -> list[str]:
        """Ids of the runs that have this one or parts of it; the one that begins as it does comes first."""
        own = run_id_of(about)
        return sorted(self._by_key.get(_key(about), ()), key=lambda run_id: (run_id != own, run_id))


def begins_as(directory: Path, about: About) -> bool:
    """False when the run in ``directory`` was made of parts of the source that begin at another moment.

    Raises TouchlineError when its journal cannot be read.
    """
    with JournalReader(directory / FILE_NAME) as journal:
        start = journal.newest("start")
    return start is not None and start.time == about.started


def _key(about: About) -> str:
    digest = hashlib.sha256(f"{about.track}:{about.identity}".encode()).hexdigest()[:10]
    return f"{about.track}-{digest}"
