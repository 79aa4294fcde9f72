"""A journal in other formats: CSV and Parquet in long form, or every event as a line of JSON; always streamed."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from touchline.errors import TouchlineError
from touchline.filesystem import whole_file
from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.rewind import Timeline

Format = Literal["csv", "parquet", "jsonl"]
FORMATS: tuple[Format, ...] = ("csv", "parquet", "jsonl")
COLUMNS = ("metric", "step", "time", "value", "seq")
_CHUNK = 50_000
"""Rows of a Parquet row group."""


class Point(NamedTuple):
    """One value of one metric."""

    metric: str
    step: int | None
    time: float
    """Seconds since the epoch."""
    value: float | int
    seq: int
    attempt: int
    """1 before the first rewind."""


def export(directory: Path, form: Format, target: Path | IO[bytes], all_attempts: bool = False) -> int:
    """Write the run in ``directory`` to ``target`` and return the number of rows.

    A file is there whole or not at all. ``csv`` and ``parquet`` hold one row a value (COLUMNS) of the newest attempt;
    ``all_attempts`` adds what rewinds superseded, and a column ``attempt``. ``jsonl`` holds every event as it is in
    the journal. Raises UsageError when ``target`` cannot be a file, TouchlineError when it cannot be written or when
    a package is missing.
    """
    write = {"csv": _write_csv, "parquet": _write_parquet, "jsonl": _write_jsonl}[form]
    if form == "parquet":
        _pyarrow()
    with JournalReader(directory / FILE_NAME) as journal:
        if not isinstance(target, Path):
            return write(journal, target, all_attempts)
        with whole_file(target) as file:
            return write(journal, file, all_attempts)


def points(journal: JournalReader, all_attempts: bool = False) -> Iterator[Point]:
    """Yield every value of the newest attempt (or of all), in the order of the journal."""
    timeline = Timeline.of(journal.of_kind(["rewind"]))
    attempt = 1
    for event in journal.all():
        if event.kind == "rewind":
            attempt += 1
        elif event.kind == "metrics" and (all_attempts or timeline.is_current(event)):
            for name, value in event.payload.items():
                exact = float(value) if isinstance(value, str) else value
                yield Point(name, event.step, event.time, exact, event.seq, attempt)


def _write_csv(journal: JournalReader, file: IO[bytes], all_attempts: bool) -> int:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
    try:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*COLUMNS, "attempt"] if all_attempts else COLUMNS)
        count = 0
        for point in points(journal, all_attempts):
            count += 1
            row = (point.metric, point.step, repr(point.time), _exact(point.value), point.seq)
            writer.writerow((*row, point.attempt) if all_attempts else row)
        text.flush()
        return count
    finally:
        text.detach()


def _exact(value: float | int) -> str:
    """The shortest text that reads back as the same number: ``float`` and pandas know these names."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)


def _write_jsonl(journal: JournalReader, file: IO[bytes], all_attempts: bool) -> int:
    count = 0
    for event in journal.all():
        count += 1
        fields: dict[str, Any] = {
            "seq": event.seq,
            "kind": event.kind,
            "step": event.step,
            "time": event.time,
            "payload": event.payload,
        }
        file.write(json.dumps(fields, allow_nan=False, ensure_ascii=False).encode() + b"\n")
    return count


def _write_parquet(journal: JournalReader, file: IO[bytes], all_attempts: bool) -> int:
    pyarrow, parquet = _pyarrow()
    fields = [
        ("metric", pyarrow.string()),
        ("step", pyarrow.int64()),
        ("time", pyarrow.float64()),
        ("value", pyarrow.float64()),
        ("seq", pyarrow.int64()),
    ]
    schema = pyarrow.schema([*fields, ("attempt", pyarrow.int32())] if all_attempts else fields)
    count, rows = 0, points(journal, all_attempts)
    with parquet.ParquetWriter(file, schema, use_dictionary=["metric"]) as writer:
        while chunk := list(itertools.islice(rows, _CHUNK)):
            columns = [[getattr(point, name) for point in chunk] for name in schema.names]
            columns[3] = [float(value) for value in columns[3]]
            arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_batch(pyarrow.record_batch(arrays, schema=schema))
            count += len(chunk)
    return count


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise TouchlineError(
            "Parquet needs the package pyarrow, which is not installed here. It comes with MLflow: "
            "pip install 'touchline[mlflow]'. Or export with --format csv."
        ) from error
    return pyarrow, pyarrow.parquet
