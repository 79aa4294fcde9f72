"""The tutorial's own loop is recorded, tuned, registered, judged and made champion, as its page says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

EXAMPLE = ROOT / "examples" / "tutorial"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A copy of the example with a training and a gate of seconds."""
    copy = tmp_path / "tutorial"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("__pycache__", ".touchline"))
    for file, old, new in (("train.py", "32_768", "4_096"), ("judge.py", "SCENARIOS = 200", "SCENARIOS = 20")):
        text = (copy / file).read_text()
        assert old in text
        (copy / file).write_text(text.replace(old, new))
    return copy


def call(place: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "TOUCHLINE_SINKS": "mlflow", "TOUCHLINE_CAPTURE": ""},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_loop_of_one_s_own_becomes_champion(place: Path) -> None:
    assert "cartpole version 1" in call(place, "train.py")
    assert call(place, "judge.py").startswith("provisionally passed: ")
    assert "cartpole version 1 @Candidate @Champion" in call(place, "-m", "touchline.cli", "lineage", "cartpole@Champion")
