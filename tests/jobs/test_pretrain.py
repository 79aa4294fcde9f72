"""The real pre-training, killed in the middle: it goes on and comes to the very policy of an unbroken one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from touchline.config import Settings
from touchline.tracking.mlflow_store import connect

COMMAND = [
    *("run", "pretrain", "--recipe", "smoke", "--pretrain.total-steps", "6400", "--pretrain.num-envs", "16"),
    *("--pretrain.sac.warmup-steps", "800", "--pretrain.evaluation-every", "1600"),
    *("--pretrain.evaluation-episodes", "4", "--pretrain.recording.checkpoint-every", "800"),
    *("--pretrain.recording.checkpoint-minimum-seconds", "0"),
]


def start(home: Path, cache: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "TOUCHLINE_SINKS": "mlflow", "JAX_COMPILATION_CACHE_DIR": str(cache)}
    command = [str(Path(sys.executable).parent / "touchline"), *COMMAND, "--home", str(home)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def policy_of(settings: Settings) -> bytes:
    """The weights of the best policy."""
    (run_directory,) = settings.runs.iterdir()
    (policy,) = run_directory.glob("media/models/*/model/policy.safetensors")
    return policy.read_bytes()


def evaluations(settings: Settings) -> list[tuple[int, float]]:
    client = connect(settings)
    experiment = client.get_experiment_by_name(settings.project)
    (run,) = client.search_runs([experiment.experiment_id])
    return [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "eval/return")]


@pytest.mark.slow
def test_a_killed_pretraining_comes_to_the_policy_of_an_unbroken_one(tmp_path: Path) -> None:
    cache = tmp_path / "jax-cache"
    unbroken, killed = (Settings.load(home=tmp_path / name, sinks=("mlflow",)) for name in ("unbroken", "killed"))
    said, _ = (process := start(unbroken.home, cache)).communicate(timeout=300)
    assert process.returncode == 0, said

    process = start(killed.home, cache)
    deadline = time.monotonic() + 300
    while not list(killed.runs.glob("*/checkpoints/step-00000000[2-4]*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    said, _ = (process := start(killed.home, cache)).communicate(timeout=300)
    assert process.returncode == 0, said
    assert "Going on with the run" in said

    assert policy_of(killed) == policy_of(unbroken)
    assert evaluations(killed) == evaluations(unbroken)
    assert [step for step, _ in evaluations(killed)] == [0, 1_600, 3_200, 4_800, 6_400]
