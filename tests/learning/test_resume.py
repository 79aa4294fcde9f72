"""A training that is built anew from its checkpoint comes to the same bits as one that never stopped."""

import itertools
import os
import subprocess
import sys

import pytest

from tests.learning.resuming import ddpg_toy, resumed, store, unbroken


def assert_same_end(directory):
    mine, other = (store(directory / name).latest() for name in ("resumed", "unbroken"))
    assert mine.metadata["told"] == other.metadata["told"]
    assert mine.loaded.encoded.description == other.loaded.encoded.description
    assert mine.arrays.keys() == other.arrays.keys()
    different = [
        name
        for name, array in mine.arrays.items()
        if array.dtype != other.arrays[name].dtype or array.tobytes() != other.arrays[name].tobytes()
    ]
    assert different == []


@pytest.mark.parametrize(
    ("name", "at"), [*itertools.product(["sac_toy", "ddpg_toy"], [56, 240, 412]), ("sac_device", 240)]
)
def test_a_training_built_anew_goes_on_as_if_it_had_not_stopped(name, at, tmp_path):
    unbroken(name, at, tmp_path)
    resumed(name, tmp_path)
    assert_same_end(tmp_path)


@pytest.mark.parametrize(
    ("name", "at"), [("sac_native", 260), pytest.param("ddpg_official", 120, marks=pytest.mark.slow)]
)
def test_another_process_goes_on_as_if_the_training_had_not_stopped(name, at, tmp_path):
    unbroken(name, at, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "tests.learning.resuming", name, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert_same_end(tmp_path)


def test_a_training_that_was_at_its_end_yields_nothing(tmp_path):
    unbroken("ddpg_toy", 600, tmp_path)
    assert list(ddpg_toy(store(tmp_path / "stopped").restore_or)) == []
