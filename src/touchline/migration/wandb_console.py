"""What a run of W&B printed, from the pieces that its file has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from touchline.migration.source import Row

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

_TEXT_CHARACTERS = 65_536
"""Longest text of an event, about."""


class Console:
    """Puts the pieces in which the SDK hears the console together."""

    def __init__(self) -> None:
        self.characters = 0
        """All that were taken."""
        self._stream, self._text, self._time = "", "", 0.0

    def take(self, record: Any, otherwise: float) -> Iterator[Row]:
        """Take a piece; yields what is complete. ``otherwise``: its time where the record has none."""
        stream = "stdout" if record.output_type == type(record).STDOUT else "stderr"
        if self._text and (stream != self._stream or len(self._text) > _TEXT_CHARACTERS):
            yield from self.rest()
        if not self._text:
            self._stream, self._time = stream, seconds(record.timestamp) or otherwise
        self._text += record.line
        self.characters += len(record.line)

    def rest(self) -> Iterator[Row]:
        """Yield what was taken and not yielded."""
        if self._text:
            yield "console", None, self._time, {"stream": self._stream, "text": self._text}
        self._text = ""


def seconds(timestamp: Timestamp) -> float:
    """Seconds since the epoch; 0 where W&B has set none."""
    return float(timestamp.seconds + timestamp.nanos / 1e9)
