"""What every test starts with: an environment that names no store and no account, whatever ran before."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from touchline.jax_guard import prepare

# Before any test module imports jax, as every job does.
prepare(os.environ, Path(tempfile.gettempdir()) / "touchline-tests-jax-cache")

PREFIXES = ("MLFLOW_", "WANDB_", "TOUCHLINE_", "DATABRICKS_")


def pytest_configure(config: pytest.Config) -> None:
    """Forget the machine's configuration, and where tests run beside each other, leave processor time to couriers.

    A worker that is much less modest than the couriers it waits for would starve them.
    """
    forget_configuration()
    # How long an example takes tells how busy the machine is.
    hypothesis.settings.register_profile("touchline", deadline=None)
    hypothesis.settings.load_profile("touchline")
    if hasattr(config, "workerinput"):
        os.nice(15)
        with contextlib.suppress(OSError):  # Linux may weigh sessions first, and niceness only within one
            Path("/proc/self/autogroup").write_text("15")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests, so that none is left for the end, when nothing runs beside it."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def forget_configuration() -> None:
    for name in list(os.environ):
        if name.startswith(PREFIXES):
            del os.environ[name]


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow's setters of URIs write to the environment, so a test could send the next one to its store.

    That is also why the environment is cleaned for good and not by ``monkeypatch``, which puts back what it
    took away: fixtures of a whole module are made before this one and would find it.
    """
    forget_configuration()
    yield
    if "mlflow" in sys.modules:
        import mlflow

        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
    monkeypatch.undo()
    forget_configuration()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium, driven by playwright."""
    from tests import chromium

    with chromium.launched() as found:
        yield found


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store with MLflow's tables, which take seconds to create."""
    from touchline.catalog import Catalog

    store = tmp_path_factory.mktemp("store") / "mlflow.db"
    assert Catalog(f"sqlite:///{store}", "club.models").versions("any") == ()
    return store
