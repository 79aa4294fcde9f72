"""Worlds are found by name or in a file, and one that is not what it stands for is not trained in."""

from __future__ import annotations

import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from touchline.errors import TouchlineError, UsageError
from touchline.jobs.pretrain import PretrainConfig
from touchline.jobs.worlds import load_world
from touchline.simulation.backends import make_envs
from touchline.simulation.randomisation import LEVELS
from touchline.soccer import observation
from touchline.soccer.rewards import RewardWeights
from touchline.soccer.world import SoccerWorld

POLE = Path(__file__).parents[1] / "simulation" / "pole.py"


@pytest.mark.parametrize("arrays", [np, jnp])
def test_gate_1_passes_with_the_arrays_of_each_backend(arrays) -> None:
    assert set(SoccerWorld().verify(arrays)) == {"gate1.largest_difference"}


def test_a_field_that_differs_stops_the_job_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observation, "to_world", lambda quaternion, vector, xp: vector)
    with pytest.raises(TouchlineError, match=r"ball_velr_rel_robot by .*Nothing was trained"):
        SoccerWorld().verify(np)


@pytest.mark.parametrize("name", ["", ":Pole"])
def test_a_world_of_ones_own_is_found_in_its_file(name: str) -> None:
    world = load_world(f"{POLE}{name}")
    assert world.name == "pole"
    envs = make_envs(world, "native", 3)
    assert envs.reset(seed=0)[0].shape == (3, 5)
    envs.close()


def test_a_configuration_changes_limit_and_randomisation_of_any_world() -> None:
    world = PretrainConfig(world=str(POLE), episode_steps=7, randomisation="mild").load_world()
    assert (world.episode_steps, world.randomisation) == (7, LEVELS["mild"])
    soccer = PretrainConfig(controller="stand_still", weights=RewardWeights(alive=3.0)).load_world()
    assert (soccer.weights["alive"], soccer.episode_steps) == (3.0, 500)


def test_options_of_soccer_are_refused_for_another_world() -> None:
    with pytest.raises(UsageError, match="options of the soccer world"):
        PretrainConfig(world=str(POLE), controller="stand_still").load_world()


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (None, "", "There is no file"),
        ("def broken(:", "", "cannot be imported: SyntaxError"),
        ("x = 1", "", "has 0 worlds"),
        ("POLE", ":Pol", "Pole"),
    ],
)
def test_a_file_without_such_a_world_is_refused(tmp_path: Path, text: str | None, name: str, said: str) -> None:
    file = tmp_path / "mine.py"
    if text == "POLE":
        shutil.copy(POLE, file)
    elif text is not None:
        file.write_text(text)
    with pytest.raises(UsageError, match=said):
        load_world(f"{file}{name}")


@pytest.mark.parametrize("make", [lambda: load_world("socer"), lambda: make_envs(SoccerWorld(), "natve")])
def test_a_mistyped_name_is_answered_with_the_nearest(make) -> None:
    with pytest.raises(UsageError, match="soccer|native"):
        make()
