"""Lightning, Accelerate, CleanRL's style and plain loops: their examples, run small."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Example, events, names, only_run, points


def test_lightning_records_metrics_hyperparameters_and_the_best_checkpoint(
    example: Example, journal_only: Path
) -> None:
    example("lightning_clone.py", "--epochs", 4)
    directory = only_run(journal_only)
    assert {"train/loss", "epoch"} <= names(directory)
    assert {"rate": 0.01} in [row for _, _, row in events(directory, "params")]
    (artifact,) = (payload["name"] for _, _, payload in events(directory, "artifact") if "ckpt" in payload["name"])
    assert artifact.startswith("checkpoints/epoch=")
    assert events(directory, "end")[-1][2]["status"] == "finished"


def test_accelerate_records_metrics_and_its_configuration(example: Example, journal_only: Path) -> None:
    example("accelerate_clone.py", "--epochs", 1)
    directory = only_run(journal_only)
    assert {step for name, step, _ in points(directory) if name == "train/loss"} == set(range(1, 17))
    assert {"rate": 0.01, "epochs": 1} in [row for _, _, row in events(directory, "params")]


def test_a_script_in_the_style_of_cleanrl_records_its_charts(example: Example, journal_only: Path) -> None:
    example("cleanrl_reinforce.py", "--total-timesteps", 60)
    directory = only_run(journal_only)
    assert {"charts/episodic_return", "losses/policy_loss", "charts/SPS"} <= names(directory)
    assert events(directory, "params")[0][2]["gamma"] == "0.99"


@pytest.mark.parametrize("name", ["pytorch", "jax"])
def test_a_plain_loop_goes_on_in_its_run_and_repeats_no_step(example: Example, journal_only: Path, name: str) -> None:
    example(f"{name}_clone.py", "--steps", 1_050)
    example(f"{name}_clone.py", "--steps", 1_100)
    directory = only_run(journal_only)
    assert len(events(directory, "rewind")) == 1
    losses = {step: value for metric, step, value in points(directory) if metric == "train/loss"}
    assert sorted(losses) == list(range(1, 1_101))
    assert losses[1_100] < losses[1]
