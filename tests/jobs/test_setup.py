"""The job setup: what it records, and that no look can end another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.jobs import probes
from touchline.jobs.base import find_job
from touchline.jobs.execute import execute
from touchline.jobs.setup import Check, Report, SetupConfig, examine, look_at
from touchline.jobs.trying import given_up_with, is_silence, remedy_for, try_code


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(home=tmp_path / "home", sinks=("mlflow",))


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_job_records_what_it_found(settings: Settings) -> None:
    settings.ensure_home()
    outcome = execute(find_job("setup"), SetupConfig(), settings, {})
    checks = json.loads((settings.run_directory(outcome.run_id) / "machine.json").read_text())
    found = {check["name"]: check for check in checks}
    assert set(found) >= {
        "python", "disk", "driver", "accelerator", "torch devices", "same device", "official environments",
        "renderer", "wandb server", "mlflow store", "registry", "storage", "clock",
    }  # fmt: skip
    assert found["mujoco"]["found"].startswith("3.3.")
    assert found["disk"]["figures"]["free_bytes"] > 0
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
    assert remedy in remedy_for(complaint)


def test_code_that_does_not_end_is_killed_at_its_bound() -> None:
    began = time.monotonic()
    assert try_code("import time; time.sleep(60)", 0.5, os.environ) == ("", "no answer within 0 s")
    assert time.monotonic() - began < 30


CHILD = "import subprocess, sys; child = subprocess.Popen(['sleep', '600']); print(child.pid, file=open({!r}, 'w'))"


def is_alive(pid: Path) -> bool:
    return psutil.pid_exists(int(pid.read_text())) and psutil.Process(int(pid.read_text())).status() != "zombie"


def test_code_that_is_killed_takes_its_children_with_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    _, complaint = try_code(CHILD.format(str(pid)) + "; child.wait()", 5.0, os.environ)
    assert is_silence(complaint)
    assert not is_alive(pid)


def test_code_that_is_tried_does_not_outlive_the_one_who_tries_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"{CHILD.format(str(pid))}; child.wait()"
    tries = f"import os; from touchline.jobs.trying import try_code; try_code({code!r}, 600.0, os.environ)"
    owner = subprocess.Popen([sys.executable, "-c", tries])
    wait_until(lambda: pid.exists() and pid.read_text().strip() != "")
    owner.kill()
    owner.wait()
    wait_until(lambda: not is_alive(pid))


def test_what_is_tried_is_given_up_with_the_work_it_is_for(tmp_path: Path) -> None:
    complaints: list[str | None] = []
    trying = threading.Thread(
        target=lambda: complaints.append(
            try_code(f"open({str(tmp_path / 'here')!r}, 'w'); import time; time.sleep(600)", 600.0, os.environ)[1]
        )
    )
    with pytest.raises(KeyboardInterrupt), given_up_with():
        trying.start()
        wait_until((tmp_path / "here").exists)
        raise KeyboardInterrupt
    trying.join(60)
    assert complaints and complaints[0] is not None
    assert is_silence(try_code("import time; time.sleep(600)", 600.0, os.environ)[1])
    with given_up_with():
        assert try_code("print(1)", 60.0, os.environ) == ("1\n", None)


def test_code_hears_what_it_is_told() -> None:
    told = "secret " * 20_000
    code = "import sys; text = sys.stdin.read(); print(len(text), text[:6])"
    assert try_code(code, 60.0, os.environ, told) == (f"{len(told)} secret\n", None)


def test_whoever_waits_is_told_which_looks_are_still_out(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ensure_home()
    heard: list[tuple[str, ...]] = []
    monkeypatch.setattr("touchline.jobs.setup.look_at", lambda name, look, seconds: (Check(name, "ok", "well"),))
    report = examine(SetupConfig(), settings, lambda names: heard.append(tuple(names)))
    assert heard[0] == tuple(check.name for check in report.checks)
    assert heard[-1] == ()


def test_a_look_that_fails_or_hangs_is_a_finding_and_ends_no_other() -> None:
    def fails() -> tuple[Check, ...]:
        raise TouchlineError("The home is away. Mount it.")

    def breaks() -> tuple[Check, ...]:
        raise ZeroDivisionError("x")

    def hangs() -> tuple[Check, ...]:
        threading.Event().wait(60)
        return ()

    (failed,) = look_at("disk", fails, 5.0)
    assert (failed.name, failed.level, failed.found) == ("disk", "missing", "The home is away. Mount it.")
    (broken,) = look_at("clock", breaks, 5.0)
    assert (broken.level, broken.found) == ("degraded", "could not be looked at (ZeroDivisionError: x)")
    (late,) = look_at("disk", hangs, 0.1)
    assert late.level == "missing" and "no answer" in late.found


def test_a_disk_that_the_videos_of_one_run_would_fill_is_told(tmp_path: Path) -> None:
    assert probes.disk(Settings(home=tmp_path)).level == "ok"
    check = probes.disk(Settings(home=tmp_path, video_bytes=10**18))
    assert check.level == "degraded" and "videos of one run" in check.found
