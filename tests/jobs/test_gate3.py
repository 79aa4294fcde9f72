"""Gate 3 and submit on real policies in the official environments, with a real catalog on SQLite."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from touchline import gates
from touchline.catalog import Catalog, load_model
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.jobs import competition
from touchline.jobs.gate3 import Gate3Config, gate3
from touchline.jobs.models import load_converted, log_policy, register
from touchline.jobs.submit import SubmitConfig, submit
from touchline.learning.policy import zero_policy
from touchline.soccer.control import soft_ankles, stand_still
from touchline.soccer.scenario import Scenario
from touchline.soccer.world import SoccerWorld
from touchline.tracking.start import start_run

CONFIG = Gate3Config(scenarios=8, official_episodes=1)
FALLING = zero_policy(89, 12, {"controller": soft_ankles().to_dict()})
STANDING = zero_policy(89, 12, {"controller": stand_still().to_dict()})


def milestone(settings, job, policy):
    """Register a policy as a job does, the untrained one beside it."""
    with start_run(job, settings=settings) as run:
        log_policy(run, FALLING, "untrained")
        return register(run, log_policy(run, policy), 0, {})


def judge(settings):
    with start_run("gate3", settings=settings) as run:
        result = gate3(CONFIG, run)
    return result, run


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(home=tmp_path_factory.mktemp("gate3") / "home", sinks=("mlflow",))


@pytest.mark.slow
def test_the_champion_is_crowned_kept_and_packed(settings, monkeypatch):
    """One story, because every chapter needs the catalog that the one before left.

    The baseline here is one that falls, so that eight scenarios are enough to beat it.
    """
    monkeypatch.setattr(SoccerWorld, "at_rest", lambda world: world)
    catalog = Catalog.of(settings)
    with start_run("gate3", settings=settings) as run, pytest.raises(TouchlineError, match="Candidate-Finetuned"):
        gate3(CONFIG, run)

    milestone(settings, "pretrain", FALLING)
    milestone(settings, "finetune", FALLING)
    refused, _ = judge(settings)
    assert refused.summary["passed"] is False
    assert refused.summary["champion"] is None
    assert catalog.resolve("ddpg_finetuned", "Champion") is None
    with start_run("submit", settings=settings) as run:
        assert "no champion yet" in submit(SubmitConfig(), run).sentences[0]

    better = milestone(settings, "finetune", STANDING)
    passed, run = judge(settings)
    assert passed.summary["passed"] and passed.summary["provisional"]
    assert passed.summary["champion"] == str(better)
    for task in ("goalie_penalty_kick", "obstacle_penalty_kick"):
        assert passed.summary["scores"][task]["candidate"] == pytest.approx(-0.993, abs=0.02)
        assert passed.summary["scores"][task]["untrained"] < -2.4
    evidence = json.loads((run.directory / "evidence.json").read_text())
    assert gates.confirm(evidence).passed
    assert evidence["given"]["champion"] is None
    assert set(evidence["files"]) == {"candidate", "stand still", "untrained"}
    replayable = [Scenario.from_dict(scenario) for scenario in evidence["scenarios"]]
    assert len(set(replayable)) == 3 * CONFIG.scenarios
    assert {scenario.perturbation for scenario in replayable} == {CONFIG.perturbation}
    champion = catalog.resolve("ddpg_finetuned", "champion")
    assert champion.version == better.version
    assert champion.tags["gate3_passed"] == "true"
    assert champion.tags["gate3_verdict"] == "provisionally passed"

    again, _ = judge(settings)
    assert "champion already" in again.sentences[0]

    worse = milestone(settings, "finetune", replace(FALLING, clip=4.0))
    kept, _ = judge(settings)
    assert kept.summary["passed"] is False
    assert kept.summary["scores"]["goalie_penalty_kick"]["champion"] == pytest.approx(-0.993, abs=0.02)
    assert catalog.resolve("ddpg_finetuned", "Champion").version == better.version != worse.version

    with start_run("submit", settings=settings) as run:
        packed = submit(SubmitConfig(), run)
    assert packed.summary["model"] == str(better)
    assert packed.summary["scores"]["goalie_penalty_kick"] == pytest.approx(-0.993, abs=0.02)
    assert packed.summary["file"] == evidence["files"]["candidate"] == champion.tag("gate3.file")
    assert packed.summary["sai_rl"] == ("equal" if competition.is_installed() else "not played")
    file = next((run.directory / "media").rglob("submission/model.pt"))
    assert hashlib.sha256(file.read_bytes()).hexdigest() == packed.summary["file"]

    actions = load_model("ddpg_finetuned@Champion", settings).predict(np.zeros((1, 89), np.float32))
    assert actions.shape == (1, 12)


@pytest.mark.slow
def test_a_version_that_was_not_converted_is_told_with_the_command(tmp_path):
    settings = Settings(home=tmp_path / "home", sinks=("mlflow",))
    milestone(settings, "pretrain", FALLING)
    with (
        start_run("finetune", settings=settings) as run,
        pytest.raises(TouchlineError, match="touchline run convert"),
    ):
        load_converted(run)
