"""``touchline evaluate``: real episodes, figures that add up, and one sentence for what it refuses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.catalog.conftest import log_to
from touchline.catalog import Catalog
from touchline.cli import main
from touchline.commands.evaluate_picture import number, percent, share
from touchline.config import Settings
from touchline.gates import exact_share
from touchline.learning.policy import zero_policy
from touchline.soccer.control import soft_ankles, stand_still
from touchline.soccer.scenario import Scenario
from touchline.tracking.journal import JournalReader

from .conftest import TOUCHLINE, environment

WORLD = """
from tests.simulation.pole import Pole

class Told(Pole):
    def outcomes(self, physics, episode, xp):
        return {"right": physics.qpos[:, 0] > 0.0}
"""


def call(*arguments: str) -> int:
    try:
        return main(["evaluate", *arguments])
    except SystemExit as error:
        return int(error.code or 0)


def test_a_policy_is_scored_on_every_kind_of_start_and_compared_on_the_same_scenarios(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOUCHLINE_SINKS", "")
    falls = zero_policy(89, 12, {"controller": soft_ankles().to_dict()}).save(tmp_path / "falls")
    options = ("--task", "kick", "goalie", "--episodes", "3", "--nominal", "2", "--seed", "4", "--processes", "2")
    assert call(str(falls), *options, "-o", "found.json", "--track") == 0
    told = capsys.readouterr().out
    found = json.loads(Path("found.json").read_text())

    assert [player["name"] for player in found["players"]] == ["falls", "stand-still"]
    assert len({player["digest"] for player in found["players"]}) == 2
    perturbed, nominal = found["series"]["perturbed"], found["series"]["nominal"]
    scenarios = [Scenario.from_dict(one) for one in perturbed["scenarios"]]
    assert [one.seed for one in scenarios] == [4, 5, 6] * 2
    assert [one.digest for one in scenarios] == [one["digest"] for one in perturbed["scenarios"]]
    assert [(one["task"], one["seed"]) for one in nominal["scenarios"]] == [
        ("goalie_penalty_kick", 4),  # one: it starts alike for every seed
        ("kick_to_target", 4),
        ("kick_to_target", 5),
    ]

    for series in (perturbed, nominal):
        for name, player in series["players"].items():
            for task, figures in player["tasks"].items():
                rows = [row for row in player["episodes"] if row["task"] == task]
                assert figures["episodes"] == len(rows)
                assert figures["score"]["mean"] == pytest.approx(np.mean([row["score"] for row in rows]))
                added = sum(term["mean"] for term in figures["terms"].values())
                assert added == pytest.approx(figures["score"]["mean"], abs=1e-9)
                fallen = sum(row["fall"] for row in rows)
                assert fallen == (len(rows) if name == "falls" else 0) == sum(row["end"] == "fallen" for row in rows)
                assert figures["shares"]["fall"]["mean"] == fallen / len(rows)
    goalie = perturbed["against"]["stand-still"]["tasks"]["goalie_penalty_kick"]
    ours, theirs = (
        np.array([row["score"] for row in player["episodes"] if row["task"] == "goalie_penalty_kick"])
        for player in perturbed["players"].values()
    )
    assert goalie["mean"] == pytest.approx((ours - theirs).mean())
    assert goalie["low"] < goalie["mean"] < goalie["high"] < -1.4
    assert perturbed["players"]["falls"]["tasks"]["goalie_penalty_kick"]["terms"]["robot_fallen"] == {
        "mean": -1.5,
        "share": 1.0,
    }

    assert "goalie_penalty_kick starts alike for every seed" in told and "(no interval)" in told
    assert re.search(r"Minus stand-still on the same scenarios: −0\.\d+ \[−0\.\d+, −0\.\d+\]: worse than", told)
    assert "Of 6 episodes it falls in 6, touches the ball in" in told
    with JournalReader(next((home / "runs").iterdir()) / "journal.db") as journal:
        logged = {name: value for one in journal.of_kind(["metrics"]) for name, value in one.payload.items()}
        artifacts = {one.payload["name"] for one in journal.of_kind(["artifact"])}
    assert logged["perturbed/goalie_penalty_kick/fall_share"] == 1.0
    assert "evaluation.json" in artifacts


def test_a_recorded_evaluation_tells_which_version_it_read(
    home: Path, fresh_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOUCHLINE_SINKS", "")
    (home / "mlflow.db").write_bytes(fresh_store.read_bytes())
    catalog = Catalog.of(Settings.load())
    policy = zero_policy(89, 12, {"controller": stand_still().to_dict()}).save(tmp_path / "policy")
    version = catalog.register("finetune", log_to(catalog, policy))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):  # which logging has set
        monkeypatch.delenv(name, raising=False)
    options = ("--task", "kick", "--episodes", "1", "--nominal", "0", "--processes", "1", "--against", "none")
    assert call("ddpg_finetuned@candidate-finetuned", *options, "--track") == 0
    with JournalReader(next((home / "runs").iterdir()) / "journal.db") as journal:
        (read,) = [event.payload for event in journal.of_kind(["input"])]
    assert (read["context"], read["model"]) == ("evaluated", version.uri)
    assert (read["digest"], read["run"]) == (version.digest, version.mlflow_run_id)


def test_a_world_of_ones_own_is_scored_by_its_return(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "told.py").write_text(WORLD)
    options = ("--world", "told.py:Told", "--episodes", "4", "--processes", "2", "--json", "--against", "soft-ankles")
    assert call("stand-still", *options) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert "soft-ankles has the digest of stand-still, so it is not played again." in said.err
    (player,) = found["series"]["seeded"]["players"].values()
    assert all(row["score"] == pytest.approx(row["dense_return"]) for row in player["episodes"])
    for figures in player["tasks"].values():
        assert set(figures["shares"]) == {"fall", "right"}
        assert sum(term["mean"] for term in figures["terms"].values()) == pytest.approx(figures["score"]["mean"])


def test_the_same_policy_scores_the_same_and_says_so(home: Path, tmp_path: Path, capsys: Any) -> None:
    metadata = {"controller": stand_still().to_dict(), "note": "another file, the same actions"}
    stands = zero_policy(89, 12, metadata).save(tmp_path / "stands")
    namesake = zero_policy(89, 12, metadata | {"note": "a third"}).save(tmp_path / "other" / "stands")
    options = ("--task", "kick", "--episodes", "2", "--nominal", "0", "--processes", "1", "--against")
    assert call(str(stands), *options, "stand-still", str(namesake)) == 0
    told = capsys.readouterr().out
    assert "It scores exactly what stand-still scores, in every scenario." in told
    assert re.search(r"It scores exactly what stands \([0-9a-f]{8}\) scores", told)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Try: touchline evaluate stand-still"),
        (["stand-stil"], "Did you mean 'stand-still'?"),
        (["stand-still", "--task", "golie"], "Did you mean 'goalie'?"),
        (["stand-still", "--task", ""], "Known: all, goalie, kick, obstacle"),
        (["stand-still", "--episodes", "-1"], "Give 0 to 10000"),
        (["stand-still", "--episodes", "0", "--nominal", "0"], "nothing to play"),
        (["stand-still", "--processes", "0"], "Give 1 to 1024"),
        (["stand-still", "--seed", "-1"], "Give 0 to"),
        (["stand-still", "--against", "champion"], "has no champion"),
        (["stand-still", "--against", "none", "soft-ankles"], "Give none alone"),
        (["stand-still", "--against", "nobody/here"], "There is no directory nobody/here"),
        (["stand-still", "--perturbation.pushes", "200"], "do not fit into an episode"),
        (["stand-still", "--world", "nowhere.py"], "There is no file nowhere.py"),
        (["stand-still", "-o", "absent/found.json"], "There is no directory"),
        (["stand-still", "-o", "there.json"], "--overwrite"),
    ],
)
def test_what_cannot_be_evaluated_is_one_sentence_and_leaves_nothing(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    (tmp_path / "there.json").write_text("mine")
    assert call(*arguments) == 2
    said = capsys.readouterr()
    assert words in said.err and said.out == ""
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["home", "there.json"]
    assert (tmp_path / "there.json").read_text() == "mine" and not list(home.iterdir())


def test_ctrl_c_leaves_the_old_file_and_no_half_of_a_new_one(home: Path, tmp_path: Path) -> None:
    (tmp_path / "found.json").write_text("mine")
    command = [str(TOUCHLINE), "evaluate", "stand-still", "--task", "kick", "--episodes", "500", "--against", "none"]
    process = subprocess.Popen(
        [*command, "--processes", "1", "-o", "found.json", "--overwrite"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "/520 episodes" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=300)
    assert process.returncode == 130, told
    assert "Stopped after an episode of kick_to_target" in told
    assert (tmp_path / "found.json").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["found.json", "home"]


def test_figures_are_told_as_people_read_them() -> None:
    assert [number(value, signed=True) for value in (0.0, -1e-5, 0.25)] == ["0.000", "0.000", "+0.250"]
    assert number(-1234.5, 0) == "−1,234"
    assert [percent(value) for value in (0.0, 0.004, 0.5, 0.996, 1.0)] == ["0 %", "0.4 %", "50 %", "99.6 %", "100 %"]
    assert share(exact_share(0, 10, 0.975)) == "0 % [0, 31 %]"
