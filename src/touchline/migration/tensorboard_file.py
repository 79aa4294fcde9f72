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


def unread(file: Path, records: int) -> str:
    """What is lost of a file whose first ``records`` were read, empty when nothing is; the reader is silent on it."""
    size, place, left = file.stat().st_size, 0, 0
    for number, (begins, length) in enumerate(_frames(file)):
        if number < records:
            place = begins + length + _AROUND
        else:
            left += 1
    if place == size:
        return ""
    if not left and _is_torn(file, place):
        return f"{size - place:,} bytes at its end are torn; what comes before is read"
    return (
        f"reading stops at a damaged record, after {records:,} that are read: the last {size - place:,} of its "
        f"{size:,} bytes, this record and whatever comes after it, cannot be read"
    )


def _is_torn(file: Path, place: int) -> bool:
    """True when the record that begins at ``place`` has no damage but that its end is missing."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    with file.open("rb") as stream:
        stream.seek(place)
        head, checksum = stream.read(_HEAD), stream.read(_CHECKSUM)
    return len(checksum) < _CHECKSUM or int(masked_crc32c(head)) == int.from_bytes(checksum, "little")


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
