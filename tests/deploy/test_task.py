"""The file that each task runs: what the command says is seen, and it fails where the command fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TASK = Path(__file__).parents[2] / "src" / "touchline" / "deploy" / "files" / "task.py"


def start(*arguments: str, at: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "BUNDLE_FILES": str(at), "TOUCHLINE_HOME": str(at / "home")}
    return subprocess.Popen(
        [sys.executable, str(TASK), *arguments],
        stdout=-1,
        stderr=-1,
        text=True,
        env=environment,
        start_new_session=True,
    )


def test_what_the_command_says_is_seen(tmp_path: Path) -> None:
    said, complained = start("recipes", at=tmp_path).communicate(timeout=300)
    assert "laptop" in said
    assert complained == ""


def test_a_command_that_fails_raises_with_its_last_line(tmp_path: Path) -> None:
    task = start("run", "pretain", at=tmp_path)
    said, complained = task.communicate(timeout=300)
    assert "Did you mean 'pretrain'" in said
    assert complained.strip().splitlines()[-1].startswith("RuntimeError: touchline run pretain ended with 2. ")
    assert task.returncode == 1


def test_it_works_where_a_kernel_executes_it_without_a_file_and_in_a_thread(tmp_path: Path) -> None:
    """As Databricks does, which compiles the text and has handlers of its own."""
    (tmp_path / "here").write_text("")
    code = (
        "import sys, threading\n"
        f"text = open({str(TASK)!r}).read()\n"
        "sys.argv = ['task.py', 'recipes']\n"
        "kernel = {'__name__': '__main__'}\n"
        "thread = threading.Thread(target=lambda: exec(compile(text, '<command>', 'exec'), kernel))\n"
        "thread.start(); thread.join()\n"
        "import os; print(os.path.exists('here'))"
    )
    environment = {**os.environ, "BUNDLE_FILES": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "laptop" in done.stdout
    assert done.stdout.endswith("True\n"), "it works where the bundle's files are"
    assert done.stderr == ""


WAITING = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
print("at work", flush=True)
signal.pause()
"""


def test_a_request_to_stop_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (command := tmp_path / "touchline").mkdir()
    (command / "__init__.py").touch()
    (command / "__main__.py").write_text(WAITING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    task = start("run", "pretrain", at=tmp_path)
    assert task.stdout is not None
    assert task.stdout.readline() == "at work\n"
    task.send_signal(signal.SIGTERM)
    _, complained = task.communicate(timeout=300)
    assert "RuntimeError: touchline run pretrain ended with 143" in complained
