"""Several devices share a training and come to what one comes to."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from touchline.errors import UsageError
from touchline.learning.devices import Devices


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    done = subprocess.run(
        [sys.executable, "-m", "tests.learning.spreading", str(tmp_path_factory.mktemp("checkpoints"))],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["device", "host"])
def test_four_devices_come_to_what_one_comes_to(trainings, where):
    one, four = trainings[f"{where}, 1"], trainings[f"{where}, 4"]
    assert (one["devices"], four["devices"]) == (1, 4)
    assert (one["rows"], four["rows"]) == ([8], [2])
    np.testing.assert_allclose(four["actor"], one["actor"], atol=1e-4)
    assert four["metrics"] == pytest.approx(one["metrics"], rel=1e-3, abs=1e-4)
    assert max(map(abs, one["actor"])) > 0.1


@pytest.mark.slow
def test_a_training_goes_on_on_another_number_of_devices(trainings):
    resumed = trainings["device, 4 then 1"]
    assert resumed["devices"] == 1
    np.testing.assert_allclose(resumed["actor"], trainings["device, 1"]["actor"], atol=1e-4)


@pytest.mark.slow
def test_batches_stay_cut_where_a_program_is_compiled(trainings):
    assert trainings["batches"] == [None, "rows"]


def test_one_device_changes_nothing():
    tree = {"a": np.zeros((4, 2))}
    devices = Devices.of(1, num_envs=4, batch_size=3)
    assert devices.rows(tree) is devices.everywhere(tree) is devices.batches(tree) is tree


def test_more_devices_than_there_are_are_refused():
    count = len(jax.local_devices())
    with pytest.raises(UsageError, match=rf"{count + 1} devices were asked for, and jax has {count} here"):
        Devices.of(count + 1, num_envs=8, batch_size=8)


def test_what_devices_cannot_share_evenly_is_refused_with_the_nearest_numbers(monkeypatch):
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices() * 4)
    with pytest.raises(UsageError, match=r"num_envs is 10, which 4 devices cannot share evenly. Give 8 or 12"):
        Devices.of(4, num_envs=10, batch_size=8)
    with pytest.raises(UsageError, match=r"batch_size is 3, which 4 devices cannot share evenly. Give 4."):
        Devices.of(0, num_envs=8, batch_size=3)
