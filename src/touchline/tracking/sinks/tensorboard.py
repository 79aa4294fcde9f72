"""Delivery to TensorBoard: one event file in the run's own directory, written without TensorFlow or torch."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from touchline.config import Settings
from touchline.tracking.journal import Event
from touchline.tracking.sinks.base import RunInfo, SetAside

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

DIRECTORY = "tensorboard"


class TensorboardSink:
    """Writes ``runs/<id>/tensorboard/``; ``tensorboard --logdir <home>/runs`` shows every run of a home."""

    name = "tensorboard"
    append_only = False

    def __init__(self, settings: Settings) -> None:
        """Nothing is opened yet."""

    def check(self) -> None:
        """A directory of the home can always be written, or ``open`` says why not."""

    def open(self, run: RunInfo, delivered: int, sent: int) -> TensorboardSession:
        """Begin the run's event file anew.

        An event file has no keys by which a replay could be recognised, and the journal is at hand: writing it
        again from the start is the simplest way to have every point exactly once.
        """
        directory = run.directory / DIRECTORY
        directory.mkdir(exist_ok=True)
        for old in directory.glob("events.out.tfevents.*"):
            old.unlink()
        return TensorboardSession(run, directory)


class TensorboardSession:
    """One open event file."""

    url = ""
    resume_from = 0

    def __init__(self, run: RunInfo, directory: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event as Record
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.remote_id = str(directory)
        self._record = Record
        name = f"events.out.tfevents.{int(run.started):010d}.{socket.gethostname()}.{run.id}"
        self._file: IO[bytes] = (directory / name).open("wb")
        self._writer = RecordWriter(self._file)
        self._writer.write(Record(wall_time=run.started, file_version="brain.Event:2").SerializeToString())
        self._done = 0

    def send(self, events: Sequence[Event]) -> list[SetAside]:
        """Write the events and flush them to disk."""
        for event in events:
            summary = _summary(event)
            if summary is not None:
                record = self._record(wall_time=event.time, step=event.step or 0, summary=summary)
                self._writer.write(record.SerializeToString())
            self._done = event.seq
        self._writer.flush()
        self._file.flush()
        return []

    def acknowledged(self) -> int:
        """Newest written sequence number."""
        return self._done

    def high_water(self) -> Mapping[str, int]:
        """Nothing is read back yet."""
        return {}

    def close(self, status: str, reason: str, alert: bool) -> None:
        """Close the file; TensorBoard knows no status."""
        self._file.close()

    def release(self) -> None:
        """Close the file."""
        self._file.close()


def _summary(event: Event) -> Summary | None:
    from tensorboard.compat.proto.summary_pb2 import Summary

    if event.kind == "metrics":
        return Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in event.metrics.items()])
    if event.kind == "params":
        rows = "".join(f"| {name} | {value} |\n" for name, value in event.payload.items())
        return _text(f"params/{event.seq}", "| parameter | value |\n|---|---|\n" + rows)
    if event.kind == "alert":
        return _text("alerts", f"**{event.payload['level']}: {event.payload['title']}** {event.payload['text']}")
    return None


def _text(tag: str, markdown: str) -> Summary:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING

    plugin: Any = SummaryMetadata.PluginData(plugin_name="text")
    tensor = TensorProto(dtype=DT_STRING, string_val=[markdown.encode()])
    return Summary(value=[Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin), tensor=tensor)])
