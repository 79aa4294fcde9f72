"""``touchline lineage``: the tree, the page and the flowchart of one version in a real store."""

from __future__ import annotations

from pathlib import Path

import pytest

from touchline.catalog import Catalog
from touchline.cli import main
from touchline.config import Settings

MODEL = "club.models.ddpg_finetuned"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose store has one version, made by a Run that read a model which is gone."""
    home = tmp_path_factory.mktemp("lineage") / "home"
    home.mkdir()
    client = Catalog.of(Settings(home=home)).client
    tags = {
        "touchline.job": "finetune",
        "touchline.run_id": "2026-tune",
        "touchline.input.converted": "models:/m-00000000000000000000000000000000",
    }
    run = client.create_run(client.create_experiment("club", (home / "mlartifacts").as_uri()), tags=tags)
    client.create_registered_model(MODEL)
    client.create_model_version(MODEL, (home / "mlartifacts").as_uri(), run.info.run_id)
    return home


def drawn(home: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["lineage", f"{MODEL}/1", "--home", str(home), *options]) == 0
    return capsys.readouterr().out


def test_the_tree_names_what_is_gone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = drawn(home, capsys).splitlines()
    assert lines[0] == f"{MODEL} version 1"
    assert any(line.startswith("└─ finetune 2026-tune") for line in lines)
    assert lines[-1].strip() == "! deleted"


def test_the_page_is_a_file_that_is_not_overwritten_unasked(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "lineage.html"
    assert str(page) in drawn(home, capsys, "--html", str(page))
    assert "finetune 2026-tune" in page.read_text()
    assert main(["lineage", f"{MODEL}/1", "--home", str(home), "--html", str(page)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_the_flowchart_can_be_piped_although_a_page_is_written_too(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = drawn(home, capsys, "--mermaid", "--html", str(tmp_path / "lineage.html"))
    assert text.startswith("flowchart TD\n")
    assert "lineage.html" not in text


def test_a_question_makes_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["lineage", "runner@Champion"], ["compare", "a/1", "b/2"], ["champion"], ["film", "runner/1"]):
        assert main([*words, "--home", str(tmp_path)]) == 2
        assert f"No model is registered in {tmp_path}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_no_model_is_told_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lineage"]) == 2
    assert "touchline lineage ddpg_finetuned@Champion" in capsys.readouterr().err
