"""What lies beyond a network: W&B, MLflow with its registry and storage, and the clock."""

from __future__ import annotations

import contextlib
import email.utils
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.jobs import connections
from touchline.jobs.setup import Report
from touchline.jobs.trial import try_registry, try_storage
from touchline.testing.wandb_backend import API_KEY, wandb_backend

from ..tracking.test_mlflow_server import server as server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(home=tmp_path / "home", sinks=("mlflow",))


def test_a_server_that_accepts_and_never_answers_costs_the_bound_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        check = connections.wandb(Settings.load(home=tmp_path, wandb_base_url=url), 1.0)
    assert time.monotonic() - began < 3.0
    assert check.level == "degraded"
    assert "touchline sync" in check.remedy
    assert "0" * 40 not in check.found


def test_a_wandb_server_that_answers_is_told_with_its_round_trip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wandb_backend() as server:
        monkeypatch.setenv("WANDB_API_KEY", API_KEY)
        check = connections.wandb(Settings(home=tmp_path, wandb_base_url=server.url), 5.0)
    assert check.level == "ok" and "round trip" in check.found
    assert 0.0 < check.figures["round_trip_seconds"] < 5.0


def test_a_damaged_page_of_the_store_is_found(settings: Settings) -> None:
    store = settings.ensure_home() / "mlflow.db"
    with sqlite3.connect(store) as connection:
        connection.execute("CREATE TABLE t (x TEXT)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 900,)] * 200)
    connection.close()
    content = bytearray(store.read_bytes())
    content[4096:8192] = os.urandom(4096)
    store.write_bytes(content)
    checks = connections.mlflow(settings, 60.0)
    assert [check.level for check in checks] == ["missing"] * 3
    assert "mv " in checks[0].remedy or "mv " in checks[0].found


def test_a_store_that_the_first_training_begins_is_not_begun_by_a_look(settings: Settings) -> None:
    home = settings.ensure_home()
    assert [check.level for check in connections.mlflow(settings, 60.0)] == ["ok"] * 3
    assert list(home.iterdir()) == []


def test_a_server_that_does_not_answer_keeps_no_training_from_starting_and_the_pipeline_from_ending(
    tmp_path: Path,
) -> None:
    checks = connections.mlflow(Settings(home=tmp_path, mlflow_tracking_uri="http://127.0.0.1:9"), 60.0)
    assert [(check.name, check.level) for check in checks] == [
        ("mlflow store", "degraded"),
        ("registry", "degraded"),
        ("storage", "degraded"),
    ]
    assert "http://127.0.0.1:9/health cannot be reached" in checks[0].found
    assert "A training starts all the same: its history waits in the journal" in checks[0].remedy
    assert "convert, finetune, gate3 and submit" in checks[0].remedy
    assert Report(checks).usable


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (
            "htp:/bad",
            "begins with 'htp', which MLflow does not know. Did you mean 'http'? Correct MLFLOW_TRACKING_URI",
        ),
        ("postgres://user:pass@far/db", "postgres://far/db begins with 'postgres'"),
    ],
)
def test_a_store_of_no_known_kind_is_told_with_how_one_begins(tmp_path: Path, uri: str, said: str) -> None:
    store, registry, storage = connections.mlflow(Settings(home=tmp_path, mlflow_tracking_uri=uri), 60.0)
    assert store.level == registry.level == storage.level == "degraded"
    assert said in store.found
    assert "pass" not in store.found


@pytest.mark.parametrize("uri", ["postgresql+psycopg2://far/db", "databricks", "databricks-uc://profile", "mlruns"])
def test_a_store_that_is_not_asked_has_no_round_trip(tmp_path: Path, uri: str) -> None:
    check = connections.mlflow_store(Settings(home=tmp_path, mlflow_tracking_uri=uri))
    assert (check.level, check.found, check.figures) == ("ok", uri, {})


def test_a_trial_whose_store_does_not_open_says_why_in_a_sentence(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, mlflow_tracking_uri="mysql+nothing://127.0.0.1:9/db")
    registry, storage = connections.try_out(settings, 120.0)
    assert registry.found == storage.found
    assert registry.found.startswith("The MLflow store mysql+nothing://127.0.0.1:9/db fails")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with an MLflow store in it."""
    from touchline.tracking.mlflow_store import connect

    settings = Settings(home=tmp_path_factory.mktemp("home"), sinks=("mlflow",))
    connect(settings)
    return settings


def rows_and_files(settings: Settings) -> tuple[Mapping[str, int], set[str]]:
    """How many rows each table of the store has, and which files and directories the home."""
    with contextlib.closing(sqlite3.connect(settings.home / "mlflow.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        counts = {table: connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for table in tables}
    names = {str(path.relative_to(settings.home)) for path in settings.home.rglob("*")}
    return counts, {name for name in names if not name.endswith(("-wal", "-shm"))}


def test_the_trial_of_registry_and_storage_leaves_nothing_behind(store: Settings) -> None:
    before = rows_and_files(store)
    registry, storage = connections.try_out(store, 120.0)
    assert (registry.level, storage.level) == ("ok", "ok"), (registry, storage)
    assert "was registered and removed" in registry.found
    assert registry.figures["round_trip_seconds"] > 0.0 and storage.figures["round_trip_seconds"] > 0.0
    assert rows_and_files(store) == before


def test_a_registry_that_refuses_is_told_with_its_words_and_the_remedy(store: Settings) -> None:
    registry, storage = connections.try_out(replace(store, catalog_prefix="not/allowed"), 120.0)
    assert (registry.level, storage.level) == ("degraded", "ok")
    assert "could not register a model such as not/allowed.touchline_doctor" in registry.found
    assert "TOUCHLINE_CATALOG_PREFIX" in registry.remedy


def test_the_trial_s_model_is_removed_also_when_it_cannot_be_tagged(store: Settings) -> None:
    from mlflow.exceptions import MlflowException

    from touchline.catalog.store import open_client

    client = open_client(store)
    before = rows_and_files(store)

    def refuse(*_: Any) -> None:
        raise MlflowException("no right to tag")

    client.set_registered_model_tag = refuse  # type: ignore[method-assign]
    with pytest.raises(TouchlineError, match="could not tag a model.*no right to tag"):
        try_registry(client, store, "touchline_doctor_x")
    assert rows_and_files(store) == before


def test_a_storage_that_cannot_be_written_is_told(store: Settings) -> None:
    from touchline.catalog.store import open_client

    client = open_client(store)
    client.create_experiment("elsewhere", artifact_location="nowhere://bucket/files")
    with pytest.raises(TouchlineError, match="could not store a file in nowhere://bucket/files/trial"):
        try_storage(client, replace(store, project="elsewhere"), "trial")


@pytest.mark.parametrize(
    ("uri", "place", "level"),
    [
        ("http://far:5000", "file:///srv/mlruns/0", "degraded"),
        ("http://far:5000", "mlflow-artifacts:/0", "ok"),
        ("sqlite:////home/me/mlflow.db", "file:///home/me", "ok"),
    ],
)
def test_a_server_that_leaves_artifacts_to_each_client_s_own_disk_is_told(uri: str, place: str, level: str) -> None:
    check = connections.judge_storage(Settings(mlflow_tracking_uri=uri), {"seconds": 0.1, "place": place})
    assert check.level == level
    assert ("--serve-artifacts" in check.remedy) == (level == "degraded")


def test_a_storage_that_only_runs_may_write_is_not_tried() -> None:
    check = connections.judge_storage(Settings(mlflow_tracking_uri="databricks"), None)
    assert (check.level, check.figures) == ("ok", {})
    assert "only a run may write" in check.found


def test_a_trial_that_gets_no_answer_names_what_may_be_left(store: Settings) -> None:
    registry, storage = connections.try_out(store, 0.01)
    assert (registry.level, storage.level) == ("degraded", "degraded")
    assert "Should touchline_doctor_" in registry.remedy


@pytest.fixture
def clock_server() -> Iterator[tuple[str, dict[str, float]]]:
    """URL of a server and, under "ahead", how many seconds its clock is ahead of ours."""
    known = {"ahead": 0.0}

    class Handler(BaseHTTPRequestHandler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            return email.utils.formatdate(time.time() + known["ahead"], usegmt=True)

        def do_HEAD(self) -> None:
            self.send_response(401)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", known
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("ahead", "level", "direction"), [(0.0, "ok", ""), (90, "degraded", "behind"), (-90, "degraded", "ahead of")]
)
def test_the_clock_is_held_against_a_server_that_answers_even_if_it_refuses(
    clock_server: tuple[str, dict[str, float]], tmp_path: Path, ahead: float, level: str, direction: str
) -> None:
    url, known = clock_server
    known["ahead"] = ahead
    check = connections.clock(Settings(home=tmp_path, sinks=(), mlflow_tracking_uri=url), 5.0)
    assert check.level == level
    assert direction in check.found and url in check.found
    skew, uncertain = check.figures["skew_seconds"], check.figures["uncertainty_seconds"]
    assert abs(skew + ahead) <= uncertain + 0.01
    assert ("timedatectl" in check.remedy) == (level == "degraded")


def test_without_a_server_the_kernel_is_asked_about_its_clock(tmp_path: Path) -> None:
    check = connections.clock(Settings(home=tmp_path, sinks=()), 1.0)
    assert check == connections.judge_kernel(connections.kernel_is_synchronised())
    assert check.found.startswith("no tracking server to compare with; the kernel")


@pytest.mark.parametrize(("word", "level"), [(True, "ok"), (None, "ok"), (False, "degraded")])
def test_a_clock_that_nothing_keeps_right_is_not_well(word: bool | None, level: str) -> None:
    check = connections.judge_kernel(word)
    assert check.level == level
    assert ("timedatectl" in check.remedy) == (level == "degraded")


def test_a_password_of_the_server_is_not_told(clock_server: tuple[str, dict[str, float]], tmp_path: Path) -> None:
    url = clock_server[0].replace("http://", "http://user:secret@")
    check = connections.clock(Settings(home=tmp_path, sinks=(), mlflow_tracking_uri=url), 5.0)
    assert "skew_seconds" in check.figures
    assert "secret" not in check.found


@pytest.mark.slow
def test_the_trial_passes_through_a_server_and_leaves_nothing_there(server: int, tmp_path: Path) -> None:
    there = Settings(home=tmp_path / "server")
    settings = Settings(home=tmp_path / "home", mlflow_tracking_uri=f"http://127.0.0.1:{server}")
    before = rows_and_files(there)
    checks = connections.mlflow(settings, 120.0)
    assert [(check.name, check.level) for check in checks] == [
        ("mlflow store", "ok"),
        ("registry", "ok"),
        ("storage", "ok"),
    ], checks
    counts, files = rows_and_files(there)
    assert counts == before[0]
    assert {name for name in files - before[1] if (there.home / name).is_file()} == set()
