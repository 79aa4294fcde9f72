"""The lean copy of an official model has all that collides or is sensed, and starts where the official reset ends."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from touchline.soccer import official_model as module
from touchline.soccer.official_model import official_model
from touchline.soccer.tasks import TASKS


@pytest.mark.parametrize("task", TASKS)
def test_every_array_of_a_started_simulation_is_the_official_one(task: str) -> None:
    source = official_model(task)
    model, data = source.simulation()
    for seed in (1, 2):
        source.official.reset(seed=seed)
        source.start(model, data)
        for name in (
            "qpos",
            "qvel",
            "qacc",
            "qacc_warmstart",
            "sensordata",
            "site_xpos",
            "xpos",
            "cdof",
            "efc_force",
        ):
            assert np.array_equal(getattr(data, name), getattr(source.data, name)), name
        assert np.array_equal(data.contact.dist, source.data.contact.dist)
        assert module._differences(source.visual, model, source._kept) == []


@pytest.mark.parametrize("task", TASKS)
def test_it_is_lean(task: str) -> None:
    source = official_model(task)
    model, _ = source.simulation()
    assert model.nbuffer < source.visual.nbuffer / 8
    assert model.nbvh < source.visual.nbvh / 4


def _heavier(spec: Any) -> Any:
    spec.body("robot_0:Trunk").mass = 20.0
    return spec.compile()


def _impossible(spec: Any) -> Any:
    raise ValueError("MjSpec has no geoms")


@pytest.mark.parametrize(("compiled", "told"), [(_heavier, "body_mass"), (_impossible, "MjSpec has no geoms")])
def test_a_model_that_comes_out_otherwise_is_not_used_and_that_is_told(
    compiled: Callable[[Any], Any], told: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = official_model("kick_to_target")
    monkeypatch.setattr(module, "_compiled_lean", compiled)
    with caplog.at_level(logging.WARNING):
        model, kept = module._lean_copy(source.official, source._kept)
    assert model is source.visual
    assert len(kept) == model.ngeom
    assert told in caplog.text
