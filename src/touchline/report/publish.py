"""Keeping a report with its run: an artifact and a summary entry in the journal, from where every track gets them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.tracking.delivery import read_cursor
from touchline.tracking.encoding import encode
from touchline.tracking.journal import FILE_NAME, Journal, JournalReader
from touchline.tracking.media import keep
from touchline.tracking.ownership import RunLock
from touchline.tracking.sinks import far_sides
from touchline.tracking.status import REPORT_ARTIFACT, REPORT_SUMMARY
from touchline.tracking.sync import sync

DELIVERY_SECONDS = 60.0


def publish(report: Path, run_id: str, settings: Settings) -> tuple[str, ...]:
    """Log the page as an artifact of a run that has ended, and wait until its sinks have it.

    MLflow gets the file; W&B gets it as the artifact ``RUN-report.html``, and in the run's summary where it is. The
    run stays ended as it was. Returns a sentence for each sink that does not have it yet. Raises TouchlineError when
    the run is still being written.
    """
    directory = settings.run_directory(run_id)
    with JournalReader(directory / FILE_NAME) as reader:
        start = reader.newest("start")
    with _writing(directory) as journal:
        kept = keep(directory, report, "artifacts", REPORT_ARTIFACT)
        now = time.time()
        told = read_cursor(directory, "mlflow").url
        where = f"{told}/artifacts/{REPORT_ARTIFACT}" if told else f"artifact {run_id}-{REPORT_ARTIFACT}"
        journal.append(
            [
                ("artifact", None, now, encode("artifact", {"name": REPORT_ARTIFACT, "path": kept})),
                ("summary", None, now, encode("summary", {REPORT_SUMMARY: where})),
            ]
        )
    begun = start.payload.get("sinks", {}) if start is not None else {}
    sinks = [sink for sink in far_sides(settings.sinks) if sink in begun]
    return tuple(sync(settings, [run_id], sinks, timeout=DELIVERY_SECONDS).gaps)


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[Journal]:
    lock = RunLock(directory)
    if not lock.acquire():
        raise TouchlineError(
            f"The run {directory.name} is still being written, so the report is not kept with it. Make it again when "
            "the run has ended."
        )
    try:
        journal = Journal(directory / FILE_NAME)
        try:
            yield journal
        finally:
            journal.close()
    finally:
        lock.release()
