"""The records of a ``run-*.wandb`` file: LevelDB's log format under a header of W&B's own.

The file is a header of 7 bytes and blocks of 32 KiB. A record lies in one chunk, or in a first, middle ones and a
last; a chunk has a checksum, a length and a type before its data, and never crosses a block.
Source: https://github.com/google/leveldb/blob/main/doc/log_format.md, but with zlib's CRC-32 as the checksum.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from touchline.errors import TouchlineError

if TYPE_CHECKING:
    from wandb.proto.wandb_internal_pb2 import Record

_HEADER = struct.Struct("<4sHB")
_MAGIC = (b":W&B", 0xBEE1)
_CHUNK = struct.Struct("<IHB")
_BLOCK = 32_768
_COMPARED_BYTES = 1 << 20
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_CRC_OF_TYPE = {kind: zlib.crc32(bytes([kind])) for kind in (_FULL, _FIRST, _MIDDLE, _LAST)}


class WandbFile:
    """Reads one file, as far as it goes; where it is damaged, from the next block on."""

    def __init__(self, path: Path) -> None:
        """Raises TouchlineError when it is no file of W&B's, or one of a format that is not known."""
        self.path = path
        self.lost_bytes = 0
        """Bytes that could not be read, once ``records`` has come to its end."""
        try:
            with path.open("rb") as file:
                header = file.read(_HEADER.size)
        except OSError as error:
            raise TouchlineError(
                f"{path} cannot be read ({error.strerror or error}). Make it readable, or leave it out."
            ) from error
        known = len(header) == _HEADER.size and _HEADER.unpack(header)
        if not known or known[:2] != _MAGIC or known[2] != 0:
            raise TouchlineError(
                f"{path} is no W&B run file of a known format: it begins with {header!r}. Leave it out, or upgrade "
                "Touchline when a newer W&B wrote it."
            )

    def records(self) -> Iterator[Record]:
        """Yield the records, each a protocol buffer of the installed ``wandb``."""
        from google.protobuf.message import DecodeError
        from wandb.proto.wandb_internal_pb2 import Record

        for data in self._whole():
            record = Record()
            try:
                record.ParseFromString(data)
            except DecodeError:
                self.lost_bytes += len(data)
                continue
            yield record

    def _whole(self) -> Iterator[bytes]:
        """Yield the data of the records that are there whole."""
        self.lost_bytes = 0
        parts: list[bytes] = []
        with self.path.open("rb") as file:
            start = _HEADER.size
            file.seek(start)
            # The first block is shorter by the header, which belongs to it.
            while block := file.read(_BLOCK - start):
                start = 0
                for kind, data in self._chunks(block):
                    if kind in (_FULL, _FIRST):
                        self._lose(parts)
                    elif not parts:  # the beginning of this record was damaged
                        self.lost_bytes += len(data)
                        continue
                    parts.append(data)
                    if kind in (_FULL, _LAST):
                        yield b"".join(parts)
                        parts = []
        self._lose(parts)

    def _chunks(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        place = 0
        while place + _CHUNK.size <= len(block):
            checksum, length, kind = _CHUNK.unpack_from(block, place)
            data = block[place + _CHUNK.size : place + _CHUNK.size + length]
            before = _CRC_OF_TYPE.get(kind)
            if before is None or len(data) < length or zlib.crc32(data, before) != checksum:
                if any(block[place:]):  # not the room that was made for what was never written
                    self.lost_bytes += len(block) - place
                return
            yield kind, data
            place += _CHUNK.size + length
        if any(block[place:]):  # a header that is cut off
            self.lost_bytes += len(block) - place

    def _lose(self, parts: list[bytes]) -> None:
        self.lost_bytes += sum(map(len, parts))
        parts.clear()


def without_copies(files: Iterable[WandbFile]) -> tuple[list[WandbFile], list[tuple[Path, Path]]]:
    """The files that have something of their own, and (a copy, the file that has all of it) for the others.

    A session's file only grows: one with which another begins is an earlier copy of it.
    """
    kept: list[WandbFile] = []
    copies: list[tuple[Path, Path]] = []
    for file in sorted(files, key=lambda file: (-file.path.stat().st_size, file.path)):
        original = next((other for other in kept if _begins_with(other.path, file.path)), None)
        if original is None:
            kept.append(file)
        else:
            copies.append((file.path, original.path))
    return kept, copies


def _begins_with(path: Path, other: Path) -> bool:
    with path.open("rb") as file, other.open("rb") as beginning:
        while part := beginning.read(_COMPARED_BYTES):
            if file.read(len(part)) != part:
                return False
    return True
