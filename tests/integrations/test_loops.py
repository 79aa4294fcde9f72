"""Lightning, Accelerate, CleanRL's style and plain loops: their examples, run small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import touchline
from touchline.integrations.accelerate import TouchlineTracker
from touchline.integrations.lightning import TouchlineLogger

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


class Counted(lightning.LightningModule):
    """Each loss is another one, so that it tells which attempt logged it."""

    def __init__(self, first: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.told = first

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        self.told += 1.0
        self.log("train/told", self.told)
        return (self.weight * batch[0]).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_lightning_goes_on_from_its_checkpoint_and_what_it_logs_again_is_left_out(
    journal_only: Path, tmp_path: Path
) -> None:
    def attempt(first: float, steps: int, checkpoint: str | None = None) -> Path:
        with touchline.start_run("lightning", run_id="clone") as run:
            trainer = lightning.Trainer(
                max_steps=steps,
                accelerator="cpu",
                logger=TouchlineLogger(run),
                log_every_n_steps=1,
                callbacks=[ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=4, save_top_k=-1)],
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            data = DataLoader(TensorDataset(torch.ones(20, 1)), batch_size=1, shuffle=False)
            trainer.fit(Counted(first), data, ckpt_path=checkpoint)
        return run.directory

    attempt(100.0, 7)
    directory = attempt(200.0, 12, str(tmp_path / "step=4.ckpt"))
    told = sorted((step, value) for name, step, value in points(directory) if name == "train/told")
    earlier = [(step, 101.0 + step) for step in range(7)]
    assert told == [*earlier, *((step, 197.0 + step) for step in range(7, 12))]
    assert not events(directory, "duplicate")
    assert not events(directory, "problem")


def test_accelerate_logs_again_what_the_run_has_and_only_a_step_given_twice_is_told(journal_only: Path) -> None:
    with touchline.start_run("accelerate", run_id="clone") as run:
        tracker = TouchlineTracker(run)
        for step in range(5):
            tracker.log({"loss": 1.0}, step)
    with touchline.start_run("accelerate", run_id="clone") as run:
        tracker = TouchlineTracker(run)
        for step in (3, 4, 5, 6):
            tracker.log({"loss": 2.0, "rate": {"head": 0.5}}, step)
        tracker.log({"rate": {"head": 0.7}}, 4)
    values = {step: value for name, step, value in points(run.directory) if name == "loss"}
    assert values == {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0, 5: 2.0, 6: 2.0}
    assert {step for name, step, _ in points(run.directory) if name == "rate/head"} == {3, 4, 5, 6}
    assert [(step, payload) for _, step, payload in events(run.directory, "duplicate")] == [(4, {"rate/head": 0.7})]


@pytest.mark.parametrize("name", ["pytorch", "jax"])
def test_a_plain_loop_goes_on_in_its_run_and_repeats_no_step(example: Example, journal_only: Path, name: str) -> None:
    example(f"{name}_clone.py", "--steps", 1_050)
    example(f"{name}_clone.py", "--steps", 1_100)
    directory = only_run(journal_only)
    assert len(events(directory, "rewind")) == 1
    losses = {step: value for metric, step, value in points(directory) if metric == "train/loss"}
    assert sorted(losses) == list(range(1, 1_101))
    assert losses[1_100] < losses[1]
