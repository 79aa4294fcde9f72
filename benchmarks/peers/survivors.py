"""Which steps a killed logger left on disk, read from its own file."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

PROBE = "victim/value"
_BLOCK = 32_768


def steps_in(name: str, file: Path) -> set[int]:
    """The steps of ``PROBE`` in what a logger wrote; empty when it wrote nothing."""
    if name == "wandb offline":
        return _steps_of_wandb(file)
    if name == "neptune-scale offline":
        return _steps_of_neptune(file)
    queries = {
        "touchline": f"SELECT step FROM events WHERE kind = 'metrics' AND payload LIKE '%{PROBE}%'",
        "MLflow": f"SELECT step FROM metrics WHERE key = '{PROBE}'",
        "trackio": "SELECT step FROM metrics",
    }
    return {int(step) for (step,) in _select(file, queries[name.split()[0]])}


def _select(file: Path, query: str) -> list[tuple[object, ...]]:
    try:
        with sqlite3.connect(file) as connection:  # writable: what lies in the write-ahead log counts
            return connection.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []


def _steps_of_neptune(file: Path) -> set[int]:
    """An operation is a record of its own and steps count from 0, so that their number says which there are."""
    rows = _select(file, "SELECT operation FROM run_operations")
    return set(range(sum(PROBE.encode() in bytes(operation) for (operation,) in rows)))


def _steps_of_wandb(file: Path) -> set[int]:
    from wandb.proto import wandb_internal_pb2

    steps = set()
    for data in _records(file):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            values = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
            if "_step" in values:
                steps.add(int(json.loads(values["_step"])))
    return steps


def _records(file: Path) -> Iterator[bytes]:
    """The whole records of a ``.wandb`` file: LevelDB's log format, 32 KiB blocks after a header of 7 bytes."""
    data = file.read_bytes() if file.exists() else b""
    place, collected = 7, b""
    while place + 7 <= len(data):
        left = _BLOCK - place % _BLOCK
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        piece = data[place + 7 : place + 7 + length]
        if kind not in (1, 2, 3, 4) or len(piece) < length:
            return
        place += 7 + length
        collected = piece if kind in (1, 2) else collected + piece
        if kind in (1, 4):
            yield collected
