"""The records of an event file, through TensorBoard's own reader, and what of a file it does not read.

A record is a length of 8 bytes, its checksum of 4, the data and theirs of 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_HEAD, _CHECKSUM = 8, 4
_AROUND = _HEAD + 2 * _CHECKSUM


def load(file: Path) -> Iterator[Any]:
    """The events of a file in TensorBoard's newest form, as far as it goes."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    yield from EventFileLoader(str(file)).Load()


def load_unchecked(files: Iterable[Path]) -> Iterator[Any]:
    """The events of files as they were written, without a look at their checksums, which takes most of the time."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    for file in files:
        with file.open("rb") as stream:
            for place, size in _frames(file):
                stream.seek(place + _HEAD + _CHECKSUM)
                try:
                    event = Event.FromString(stream.read(size))
                except DecodeError:
                    break
                yield event


def framed(file: Path) -> tuple[int, int]:
    """Number of whole records by their lengths alone, and of bytes after them; TensorBoard's reader tells neither."""
    records, end = 0, 0
    for place, size in _frames(file):
        records, end = records + 1, place + size + _AROUND
    return records, file.stat().st_size - end


def _frames(file: Path) -> Iterator[tuple[int, int]]:
    """Where each record that is there whole begins, and how long its data is, by the lengths alone."""
    size, place = file.stat().st_size, 0
    with file.open("rb") as stream:
        while len(head := stream.read(_HEAD)) == _HEAD:
            length = int.from_bytes(head, "little")
            after = place + length + _AROUND
            if after > size:
                break
            yield place, length
            place = stream.seek(after)
