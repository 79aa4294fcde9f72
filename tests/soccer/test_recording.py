"""The packaged recording is what the installed official environments show."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.soccer.record_observations import PHASES, record, record_goalkeeper
from touchline.soccer.goalkeeper import VELOCITY_PATH
from touchline.soccer.recording import PATH, Recording, load_recording
from touchline.soccer.tasks import TASKS

ROUNDING = 2.0**-26
"""Another machine's last bits may round a number to the neighbouring multiple."""


def assert_same(one: Recording, other: Recording, rounding: float = ROUNDING) -> None:
    for field in dataclasses.fields(Recording):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, np.ndarray):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=rounding, err_msg=field.name)


def part_of(recording: Recording, rows: np.ndarray) -> Recording:
    arrays = {name: value[rows] for name, value in vars(recording).items() if isinstance(value, np.ndarray)}
    return dataclasses.replace(recording, **arrays)


@pytest.mark.parametrize("task", TASKS)
def test_the_installed_environment_still_shows_what_was_recorded(task: str) -> None:
    kept = load_recording()
    thrown = [phase for phase in PHASES if phase.name == "random torques"]
    rows = (kept.task == TASKS.index(task)) & (kept.phase == PHASES.index(thrown[0]))
    assert_same(record((task,), thrown), part_of(kept, rows))


@pytest.mark.slow
def test_recording_anew_gives_the_packaged_files(tmp_path: Path) -> None:
    anew, kept = record(), load_recording()
    assert_same(anew, kept)
    assert (anew.columns, anew.phases, anew.versions) == (kept.columns, kept.phases, kept.versions)
    np.testing.assert_allclose(record_goalkeeper(), np.load(VELOCITY_PATH), rtol=0, atol=1e-7)


def test_a_recording_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    kept = load_recording()
    kept.save(tmp_path / "again.npz")
    again = load_recording(tmp_path / "again.npz")
    assert_same(again, kept, rounding=0.0)
    assert (again.columns, again.phases, again.versions) == (kept.columns, kept.phases, kept.versions)


def test_the_packaged_files_are_small() -> None:
    assert PATH.stat().st_size + VELOCITY_PATH.stat().st_size < 250_000
