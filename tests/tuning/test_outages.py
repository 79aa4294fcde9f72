"""A storage that goes away for a while ends no training and loses no value."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import sqlalchemy

from touchline.tuning import Setup, StudyStorage, TrialReporter, open_study, storage
from touchline.tuning.space import parse_space
from touchline.tuning.storage import StorageAway, patiently


class Database:
    """A database that can be closed to everybody, as a server that restarts is."""

    def __init__(self, server: str) -> None:
        self._engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
        self._run("CREATE DATABASE studies")
        self.url = server.rpartition("/")[0] + "/studies"

    def away(self) -> None:
        self._run("ALTER DATABASE studies WITH ALLOW_CONNECTIONS false")
        self._run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'studies'")

    def back(self) -> None:
        self._run("ALTER DATABASE studies WITH ALLOW_CONNECTIONS true")

    def _run(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.execute(sqlalchemy.text(statement))

    def drop(self) -> None:
        self.away()
        self._run("DROP DATABASE studies")
        self._engine.dispose()


@pytest.fixture
def database(server: str) -> Iterator[Database]:
    found = Database(server)
    yield found
    found.drop()


def test_values_that_a_storage_missed_are_told_with_the_next_and_the_outcome_waits_for_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, _ = open_study(StudyStorage(database.url), "s", Setup(parse_space(["x=0:1"]), pruner="none"))
    trial = study.ask(10)
    assert trial is not None
    reporter = TrialReporter(trial)
    reporter.report(1.0, 1)
    database.away()
    reporter.report(2.0, 2)
    with pytest.raises(StorageAway, match="cannot be reached"), study.locked():
        pass
    database.back()
    reporter.report(3.0, 3)
    assert study.trials()[0].intermediate_values == {1: 1.0, 2: 2.0, 3: 3.0}

    database.away()
    told: list[str] = []
    monkeypatch.setattr(storage, "AGAIN_SECONDS", 0.05)
    threading.Timer(0.3, database.back).start()
    assert patiently(lambda: study.complete(trial.number, 3.0, {}), told.append)
    assert len(told) > 1 and "is away" in told[0]
    assert study.trials()[0].value == 3.0


def test_an_error_that_is_no_outage_is_raised_at_once() -> None:
    with pytest.raises(ZeroDivisionError):
        patiently(lambda: 1 // 0, print)
