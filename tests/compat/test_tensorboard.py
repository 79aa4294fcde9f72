"""``SummaryWriter``: what scripts call, and what a run has of it."""

from __future__ import annotations

import logging
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest
import torch

from touchline.compat.tensorboard import SummaryWriter

from .conftest import events, only_run, points


@pytest.fixture
def runs(journal_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without far sides, and a working directory for what scripts write."""
    monkeypatch.chdir(tmp_path)
    return journal_only


def test_numbers_texts_parameters_and_pictures_are_recorded(runs: Path) -> None:
    with SummaryWriter("runs/Hopper__ppo__1") as writer:
        writer.add_text("hyperparameters", "|param|value|\n|-|-|\n|gamma|0.99|\n|env_id|Hopper-v5|")
        writer.add_text("note", "plain words")
        writer.add_scalar("charts/SPS", np.float32(120), 8)
        writer.add_scalar("no/step", torch.tensor(1.5))
        writer.add_scalar("no/step", 2.5)
        writer.add_scalars("loss", {"actor": 1, "critic": 2.0}, 8)
        writer.add_hparams({"width": 64}, {"best": 3.0})
        writer.add_histogram("weights", np.arange(10.0), 8)
        writer.add_image("image", np.zeros((3, 4, 6)), 8)
        writer.add_image("grey", np.zeros((4, 6), np.uint8), 8, dataformats="HW")
        writer.add_images("batch", torch.zeros(2, 3, 4, 6), 8)
        writer.add_figure("figure", matplotlib.figure.Figure((1, 1)), 8)
        writer.add_video("clip", torch.zeros(2, 3, 3, 16, 16, dtype=torch.uint8), 8, fps=10)
        writer.flush()
        assert Path(writer.get_logdir()).is_dir()  # where scripts put their models
    directory = only_run(runs)
    assert points(directory) == {
        ("charts/SPS", 8, 120.0),
        ("no/step", 0, 1.5),
        ("no/step", 1, 2.5),
        ("loss/actor", 8, 1.0),
        ("loss/critic", 8, 2.0),
    }
    parameters = {name: value for _, _, row in events(directory, "params") for name, value in row.items()}
    assert parameters == {"gamma": "0.99", "env_id": "Hopper-v5", "width": 64}
    results = {name: value for _, _, row in events(directory, "summary") for name, value in row.items()}
    assert results == {"note": "plain words", "best": 3.0}
    images = [payload["name"] for _, _, payload in events(directory, "image")]
    assert images == ["image", "grey", "batch/0", "batch/1", "figure"]
    assert len(events(directory, "histogram")) == len(events(directory, "video")) == 1
    (start,) = (payload for _, _, payload in events(directory, "start"))
    assert (start["job"], start["name"]) == ("Hopper", "Hopper__ppo__1")


def test_episodes_that_end_at_one_step_are_all_kept(runs: Path) -> None:
    with SummaryWriter("runs/x") as writer:
        for value in (1.0, 2.0, 3.0):
            writer.add_scalar("charts/episodic_return", value, 400)
        writer.add_scalar("charts/episodic_return", 4.0, 404)
    assert {(step, value) for _, step, value in points(only_run(runs))} == {
        (400, 1.0),
        (401, 2.0),
        (402, 3.0),
        (404, 4.0),
    }


def test_nothing_raises_and_what_is_not_recorded_is_told_once(runs: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "touchline"), SummaryWriter("runs/x") as writer:
        for step in range(3):
            writer.add_image("odd", np.zeros((2, 2, 2, 2)), step)
            writer.add_graph(object())
            writer.add_scalar("loss", 1.0, step, walltime=12.0)
    told = [record.message for record in caplog.records]
    assert len([one for one in told if "add_image('odd'" in one and "The training goes on" in one]) == 1
    assert len([one for one in told if "add_graph has no like" in one]) == 1
    assert len([one for one in told if "walltime= has no effect" in one]) == 1
    with pytest.raises(AttributeError, match="no attribute 'scalar'"):
        writer.scalar()


def test_an_exception_on_its_way_ends_the_run_as_failed(runs: Path) -> None:
    with pytest.raises(ZeroDivisionError), SummaryWriter("runs/x"):
        1 / 0  # noqa: B018
    assert events(only_run(runs), "end")[-1][2]["status"] == "failed"
