"""A winner's file: what a study writes, a training of one's own reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from touchline.catalog.lineage import STUDY_TAG, TRIAL_TAG
from touchline.errors import UsageError
from touchline.overlay import plain
from touchline.tuning import read_winner
from touchline.tuning.recipe import recipe_text


@dataclass(frozen=True)
class Network:
    width: int = 64


@dataclass(frozen=True)
class Config:
    learning_rate: float = 1e-3
    network: Network = field(default_factory=Network)


def test_a_training_of_ones_own_reads_what_its_study_found_and_where_that_comes_from(tmp_path: Path) -> None:
    found, file = Config(3e-4, Network(128)), tmp_path / "winner.toml"
    file.write_text(recipe_text(plain(found), {"train": {"study": "pole", "trial": 3, "value": 0.5}}, "Trial 3."))
    assert read_winner(file, Config()) == (
        found,
        {STUDY_TAG: "pole", TRIAL_TAG: "3", "touchline.tuned.value": "0.5"},
    )


def test_a_file_without_lineage_is_a_configuration_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("learning_rate = 0.1")
    assert read_winner(file, Config()) == (Config(0.1), {})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[lineage.a]\nstudy = 'x'\n[lineage.b]\nstudy = 'y'", "tells of 2 jobs: a, b"),
        ("learning_rat = 0.1", "learning_rate"),
        ("learning_rate = ", "not valid TOML"),
    ],
)
def test_what_is_no_winners_file_is_refused_with_the_reason(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "winner.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=told):
        read_winner(file, Config())
