"""The tutorial's own loop is recorded, registered, judged and made champion, as its page says."""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, blocks
from touchline.cli import main

EXAMPLE = ROOT / "examples" / "tutorial"


@pytest.fixture
def place(tmp_path: Path, fresh_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example with a training and a gate of seconds, and a home of its own."""
    copy = tmp_path / "tutorial"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("__pycache__", ".touchline"))
    for file, old, new in (("train.py", "16_384", "4_096"), ("judge.py", "SCENARIOS = 200", "SCENARIOS = 20")):
        text = (copy / file).read_text()
        assert old in text
        (copy / file).write_text(text.replace(old, new))
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(fresh_store, home)
    monkeypatch.setenv("TOUCHLINE_HOME", str(home))
    monkeypatch.setenv("TOUCHLINE_SINKS", "mlflow")
    monkeypatch.setenv("TOUCHLINE_CAPTURE", "")
    monkeypatch.chdir(copy)
    monkeypatch.syspath_prepend(copy)
    monkeypatch.delitem(sys.modules, "train", raising=False)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    return copy


def test_a_loop_of_one_s_own_becomes_champion(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path("train.py", run_name="__main__")
    assert "cartpole version 1" in capsys.readouterr().out
    told = runpy.run_path("judge.py")
    assert "provisionally passed: " in capsys.readouterr().out
    assert told["catalog"].resolve("cartpole", "Champion").version == 1
    assert main(["report", "--last", "--file-only", "--output", "judged.html"]) == 0
    page = Path("judged.html").read_text(encoding="utf-8")
    assert "cartpole version 1 is the new champion." in page
    assert '<h2 id="lineage-title">' in page
    with pytest.raises(SystemExit, match=r"cartpole version 1 is the champion already\.$"):
        runpy.run_path("judge.py")
    assert len([*(place.parent / "home" / "runs").iterdir()]) == 2
    sys.modules.pop("train", None)


def test_the_page_shows_what_the_script_says() -> None:
    script = (EXAMPLE / "train.py").read_text(encoding="utf-8")
    shown = [
        block.text for block in blocks(DOCS / "tutorial.md") if block.text.startswith("from touchline.catalog.m")
    ]
    (milestones,) = shown
    assert milestones.partition("\n\n")[2] in script
