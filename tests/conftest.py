"""What every test starts with: an environment that names no store and no account, whatever ran before."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from touchline.jax_guard import prepare
from touchline.tracking.courier import step_back

# Before any test module imports jax, as every job does.
prepare(os.environ, Path(tempfile.gettempdir()) / "touchline-tests-jax-cache")

PREFIXES = ("MLFLOW_", "WANDB_", "TOUCHLINE_", "DATABRICKS_")


def pytest_configure(config: pytest.Config) -> None:
    """Be as modest as a courier where tests run beside each other, or couriers would wait for a processor."""
    if hasattr(config, "workerinput"):
        step_back()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests, so that none is left for the end, when nothing runs beside it."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow's ``set_tracking_uri`` writes to the environment, so a test could send the next one to its store."""
    for name in list(os.environ):
        if name.startswith(PREFIXES):
            monkeypatch.delenv(name)
    yield
    if "mlflow" in sys.modules:
        import mlflow

        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store with MLflow's tables, which take seconds to create."""
    from touchline.catalog import Catalog

    store = tmp_path_factory.mktemp("store") / "mlflow.db"
    assert Catalog(f"sqlite:///{store}", "club.models").versions("any") == ()
    return store
