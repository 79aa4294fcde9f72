"""The doctor: what it finds here, and what it advises where something is missing."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import pytest

from touchline.config import Settings
from touchline.jobs import probes
from touchline.jobs.base import find_job
from touchline.jobs.execute import execute
from touchline.jobs.setup import Check, Report, SetupConfig, examine, print_report


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(home=tmp_path / "home", sinks=("mlflow",))


def test_this_machine_can_run_the_pipeline(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    report = examine(SetupConfig(), settings)
    found = {check.name: check for check in report.checks}
    assert report.usable, report.sentences
    assert "cpu" in found["accelerator"].found or found["accelerator"].level == "ok"
    assert found["mujoco"].found.startswith("3.3.")
    print_report(report)
    assert "The pipeline can run here." in capsys.readouterr().out


def test_the_job_records_what_it_found(settings: Settings) -> None:
    settings.ensure_home()
    outcome = execute(find_job("setup"), SetupConfig(), settings, {})
    checks = json.loads((settings.run_directory(outcome.run_id) / "machine.json").read_text())
    assert {check["name"] for check in checks} >= {
        "python",
        "disk",
        "accelerator",
        "renderer",
        "wandb server",
        "mlflow store",
    }
    assert "mujoco" in outcome.result.summary


def test_something_missing_makes_the_machine_unusable_and_says_the_remedy() -> None:
    report = Report(
        (Check("a", "ok", "there"), Check("b", "missing", "gone", "Fetch it."), Check("c", "degraded", "so so"))
    )
    assert not report.usable
    assert report.sentences == ("b: gone. Fetch it.", "c: so so.")


@pytest.mark.parametrize(
    ("complaint", "remedy"),
    [
        ("ImportError: libGL.so.1: cannot open shared object file", "apt-get install libgl1"),
        ("ImportError: libgthread-2.0.so.0: cannot open shared object file", "apt-get install libglib2.0-0"),
        ("OSError: libfoo.so.3: cannot open shared object file", "apt-file search libfoo.so.3"),
        ("ModuleNotFoundError: No module named 'jax'", "pip install 'touchline[all]'"),
    ],
)
def test_a_missing_library_is_named_with_its_package(complaint: str, remedy: str) -> None:
    assert remedy in probes.remedy_for(complaint)


def test_a_jax_that_does_not_load_is_missing_not_a_crash(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "no_such_platform")
    check = probes.accelerator(settings, 60.0)
    assert check.level == "missing"
    assert "no_such_platform" in check.found


def test_a_server_that_accepts_and_never_answers_costs_the_bound_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        check = probes.wandb(Settings.load(home=tmp_path, wandb_base_url=url), 1.0)
    assert time.monotonic() - began < 3.0
    assert check.level == "degraded"
    assert "touchline sync" in check.remedy
    assert "0" * 40 not in check.found


def test_a_damaged_page_of_the_store_is_found(settings: Settings) -> None:
    import sqlite3

    store = settings.ensure_home() / "mlflow.db"
    with sqlite3.connect(store) as connection:
        connection.execute("CREATE TABLE t (x TEXT)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 900,)] * 200)
    connection.close()
    content = bytearray(store.read_bytes())
    content[4096:8192] = os.urandom(4096)
    store.write_bytes(content)
    check = probes.mlflow(settings)
    assert check.level == "missing"
    assert "mv " in check.remedy or "mv " in check.found
