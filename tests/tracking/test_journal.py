"""The journal keeps exactly what it was given."""

from __future__ import annotations

import json
import math
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchline.errors import TouchlineError
from touchline.tracking.encoding import encode
from touchline.tracking.journal import SCHEMA_VERSION, Journal, JournalReader

number = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(2**60), 2**60)
rows = st.lists(st.tuples(st.dictionaries(st.text(min_size=1), number), st.integers(0, 2**40)), max_size=300)


@given(batches=st.lists(rows, max_size=3))
@settings(max_examples=30)
def test_every_number_comes_back_exactly_and_in_order(
    batches: list[list[tuple[dict[str, float], int]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    journal = Journal(path)
    for batch in batches:
        journal.append([("metrics", step, 1.5, encode("metrics", values)) for values, step in batch])
    journal.close()
    with JournalReader(path) as reader:
        events = reader.after(0, limit=10_000)
    given_rows = [row for batch in batches for row in batch]
    assert [event.seq for event in events] == list(range(1, len(given_rows) + 1))
    for event, (values, step) in zip(events, given_rows, strict=True):
        assert event.step == step
        for name, value in values.items():
            kept = float(event.payload[name])
            assert kept == float(value) or (math.isnan(kept) and math.isnan(value))


def test_payloads_are_strict_json_with_named_non_finite_numbers() -> None:
    text = encode("metrics", {"a": math.nan, "b": [math.inf, -math.inf], "c": 0.1})
    assert json.loads(text, parse_constant=pytest.fail) == {"a": "NaN", "b": ["Infinity", "-Infinity"], "c": 0.1}


def test_a_journal_is_readable_with_plain_sqlite(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.append([("metrics", 3, 1.0, encode("metrics", {"loss": 0.5}))])
    query = "SELECT step, json_extract(payload, '$.loss') FROM events WHERE kind = 'metrics'"
    assert sqlite3.connect(tmp_path / "journal.db").execute(query).fetchall() == [(3, 0.5)]


def test_a_journal_of_a_newer_schema_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "journal.db").close()
    connection = sqlite3.connect(tmp_path / "journal.db")
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.commit()
    connection.close()
    with pytest.raises(TouchlineError, match="Upgrade Touchline"):
        Journal(tmp_path / "journal.db")
    with pytest.raises(TouchlineError, match="Upgrade Touchline"):
        JournalReader(tmp_path / "journal.db")


def test_a_batch_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.append([("metrics", 0, 1.0, "{}")])
    too_much = [("metrics", 0, 1.0, "{}")] * 200 + [("metrics", 0, None, "{}")]
    with pytest.raises(sqlite3.IntegrityError):
        journal.append(too_much)  # type: ignore[arg-type]
    assert journal.append([("metrics", 1, 1.0, "{}")]) == 2


def test_a_damaged_file_is_named_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(TouchlineError, match="damaged"):
        Journal(tmp_path / "journal.db")


def test_rare_events_are_found_without_reading_the_metrics(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.append([("start", None, 0.0, "{}"), *[("metrics", step, 0.0, '{"x": 1}') for step in range(1_000)]])
    with JournalReader(journal.path) as reader:
        statements: list[str] = []
        reader._connection.set_trace_callback(statements.append)
        assert reader.newest("end") is None
        assert [event.seq for event in reader.of_kind(["start", "rewind"])] == [1]
        reader._connection.set_trace_callback(None)
        for statement in statements:
            plan = reader._connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            assert "USING INDEX rare" in str(plan), plan
