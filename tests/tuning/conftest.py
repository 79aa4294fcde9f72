"""Storages of a test's own: an SQLite file, and databases of one PostgreSQL that the module starts where it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from tests.tracking.conftest import home, no_account  # noqa: F401
from touchline.testing.mlflow_server import lack, postgresql
from touchline.tuning import StudyStorage

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def storage(tmp_path: Path) -> StudyStorage:
    """An SQLite file that is not there yet."""
    return StudyStorage(f"sqlite:///{tmp_path / 'studies' / 'optuna.db'}")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A fresh PostgreSQL."""
    if told := lack():
        pytest.skip(told)
    with postgresql() as url:
        yield url
