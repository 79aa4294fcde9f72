"""The example notebook runs in a real kernel, and its cards say what they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples" / "notebooks" / "first_steps.ipynb"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    place = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOUCHLINE_HOME", str(place / "home"))
        patch.setenv("TOUCHLINE_SINKS", "")
        patch.setenv("IPYTHONDIR", str(place))
        notebook: Any = nbformat.read(NOTEBOOK, as_version=4)
        done = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(place)}}).execute()
    return [cell for cell in done.cells if cell.cell_type == "code"]


def shown(cells: list[Any], last_line: str) -> list[str]:
    """The HTML of the cells that end with a line."""
    return [
        output.data["text/html"]
        for cell in cells
        if cell.source.splitlines()[-1] == last_line
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]


def test_a_run_shows_its_state_and_its_curves(cells: list[Any]) -> None:
    running, finished = shown(cells, "run")
    assert "notebook, running, step 500" in running and "notebook, finished, step 500" in finished
    assert finished.count("<polyline") == 2
    assert "train/episode_reward" in finished and 'aria-label="train/loss over 500 points"' in finished


def test_a_study_shows_how_far_it_is_and_its_best_trial(cells: list[Any]) -> None:
    (study,) = shown(cells, "study")
    assert "Study hill" in study and "8 finished; 8 complete" in study and "best: trial" in study


def test_a_verdict_shows_its_word_and_its_checks(cells: list[Any]) -> None:
    (verdict,) = shown(cells, "verdict")
    assert "gate3: passed" in verdict and "better than the champion" in verdict


def test_the_notebook_is_kept_without_its_outputs() -> None:
    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(
        not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code"
    )
