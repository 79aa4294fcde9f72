"""A sink for Touchline: every event of a run is one line of ``<directory>/<run id>.jsonl``.

The directory is ``JSONL_SINK_DIRECTORY``, or ``jsonl`` in Touchline's home.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from touchline.config import Settings
from touchline.tracking.journal import Event
from touchline.tracking.sinks.base import RunInfo, SetAside, SinkUnavailable


class JsonlSink:
    """Opens one file for each run."""

    name = "jsonl"
    append_only = True  # a line that was written stays: Touchline then never sends a value a second time

    def __init__(self, settings: Settings) -> None:
        self._directory = Path(self.destination(settings))

    @staticmethod
    def destination(settings: Settings) -> str:
        """Where the runs go: asked for in the training process too, so nothing heavy is imported here."""
        return os.environ.get("JSONL_SINK_DIRECTORY") or str(settings.home / "jsonl")

    def check(self) -> None:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SinkUnavailable(
                f"{self._directory} cannot be made ({error}). Set JSONL_SINK_DIRECTORY to a directory you may write."
            ) from error

    def open(self, run: RunInfo, delivered: int, sent: int) -> JsonlSession:
        self.check()
        return JsonlSession(self._directory / f"{run.id}.jsonl")


class JsonlSession:
    """One run's file; its last line says how far it has come."""

    url = ""

    def __init__(self, path: Path) -> None:
        self.remote_id = str(path)
        self._steps: dict[str, int] = {}
        self._done = 0
        self._file = path.open("a+b")
        self._file.seek(0)
        whole = 0
        for line in self._file:
            if not line.endswith(b"\n"):  # torn by a kill: written again
                break
            whole += len(line)
            self._note(json.loads(line))
        self._file.truncate(whole)
        self.resume_from = self._done

    def send(self, events: Sequence[Event]) -> list[SetAside]:
        for event in events:
            if event.seq > self._done:  # what is sent twice is written once
                self._write(
                    {
                        "seq": event.seq,
                        "kind": event.kind,
                        "step": event.step,
                        "time": event.time,
                        "payload": event.payload,
                    }
                )
        self._file.flush()
        return []

    def acknowledged(self) -> int:
        return self._done

    def high_water(self) -> Mapping[str, int]:
        return self._steps

    def close(self, status: str, reason: str, alert: bool) -> None:
        self._write({"status": status, "reason": reason})
        self.release()

    def release(self) -> None:
        self._file.close()

    def _write(self, line: dict[str, object]) -> None:
        try:
            self._file.write(json.dumps(line).encode() + b"\n")
        except OSError as error:  # the disk is full, say: sent again later
            raise SinkUnavailable(f"{self.remote_id} cannot be written ({error}). Free some space.") from error
        self._note(line)

    def _note(self, line: dict[str, object]) -> None:
        self._done = max(self._done, int(str(line.get("seq", 0))))
        payload, step = line.get("payload"), line.get("step")
        if isinstance(payload, dict) and isinstance(step, int):
            for name in payload if line["kind"] == "metrics" else [payload.get("name", "")]:
                self._steps[str(name)] = max(step, self._steps.get(str(name), step))
