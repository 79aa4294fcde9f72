"""What docs/checkpoints.md shows works as it is shown."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tracking.conftest import home, no_account, no_trainer_stays, start_script, until  # noqa: F401
from touchline.checkpoint import CheckpointStore, Mismatch, Refused
from touchline.tracking.journal import JournalReader

DOCS = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)


def example(place: str) -> str:
    (found,) = [text for text in EXAMPLES if f'"checkpoints/{place}"' in text]
    return found


def shown(error: Exception) -> str:
    """An error as the page shows it, in lines of its own."""
    return f"{type(error).__name__}: {error}"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("place", ["numpy", "jax", "torch", "sb3"])
def test_an_example_runs_and_is_found_done_when_it_runs_again(place: str) -> None:
    for begins_at in (0, 1_000):
        names: dict[str, Any] = {"__name__": "example"}
        exec(compile(example(place), place, "exec"), names)
        assert names["store"].step == begins_at
        assert names["store"].steps()[-1] == 1_000


def test_an_example_that_was_interrupted_ends_as_an_unbroken_one() -> None:
    unbroken: dict[str, Any] = {}
    exec(example("numpy").replace("checkpoints/numpy", "unbroken"), unbroken)
    with pytest.raises(ZeroDivisionError):
        exec(
            example("numpy").replace("step + 1, state)", "step + 1, state); step == 700 and store.wait() and 1 // 0"),
            {},
        )
    assert CheckpointStore("checkpoints/numpy").steps()
    broken: dict[str, Any] = {}
    exec(example("numpy"), broken)
    assert 0 < broken["store"].step < 1_000
    np.testing.assert_array_equal(broken["state"]["weights"], unbroken["state"]["weights"])


def test_the_loop_that_is_taken_back_goes_on_under_its_id(
    home: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOUCHLINE_HOME", str(home))
    monkeypatch.setenv("TOUCHLINE_SINKS", "")
    steps = []
    for _ in range(2):
        process = start_script(
            example("run").replace("state = store", "print('begins', flush=True); state = store"), tmp_path
        )
        assert process.stdout is not None
        until(lambda reader=process.stdout: "begins" in reader.readline())
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 143
        steps.append(CheckpointStore("checkpoints/run").steps()[-1])
    assert steps[0] < steps[1]
    (directory,) = (home / "runs").iterdir()
    with JournalReader(directory / "journal.db") as journal:
        assert [event.payload["status"] for event in journal.of_kind(["end"])] == ["preempted"] * 2


def test_the_refusals_are_those_that_are_shown() -> None:
    told = " ".join(DOCS.split())
    CheckpointStore("checkpoints", config={"rate": 0.001}).save(200_000, {"policy": torch.nn.Linear(3, 1)})
    with pytest.raises(Mismatch) as mismatch:
        CheckpointStore("checkpoints").restore_or({"policy": torch.nn.Linear(4, 1)})
    assert shown(mismatch.value) in told
    with pytest.raises(Refused) as refused:
        CheckpointStore("checkpoints", config={"rate": 0.0003}).restore_or({"policy": torch.nn.Linear(3, 1)})
    assert shown(refused.value).replace(f"{Path.cwd()}/", "") in told
