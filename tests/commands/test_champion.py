"""``touchline champion``, ``rollback``, ``promote`` on a real store."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tests.catalog.conftest import plain_version
from touchline import gates
from touchline.catalog import Catalog, Milestone, ModelVersion, claim_attempt, promote
from touchline.cli import main
from touchline.config import Settings
from touchline.tracking.journal import JournalReader

MODEL = "ddpg_finetuned"


def call(*arguments: str) -> int:
    try:
        return main(list(arguments))
    except SystemExit as error:
        return int(error.code or 0)


@pytest.fixture
def catalog(home: Path, fresh_store: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    (home / "mlflow.db").write_bytes(fresh_store.read_bytes())
    monkeypatch.setenv("TOUCHLINE_SINKS", "")
    monkeypatch.setenv("TOUCHLINE_CAPTURE", "")
    return Catalog.of(Settings.load())


@pytest.fixture
def versions(catalog: Catalog) -> list[ModelVersion]:
    return [plain_version(catalog, letter) for letter in "abc"]


def crown(catalog: Catalog, version: ModelVersion) -> None:
    attempt = claim_attempt(catalog, version, run_id=f"gate{version.version}")
    promote(catalog, attempt, {"passed": "true", "provisional": "true", "reason": f"Better, says {version.version}."})


def test_the_champion_and_its_history_are_shown(catalog, versions, capsys):
    assert call("champion") == 0
    assert "has no champion yet, after 0 attempts" in capsys.readouterr().out
    crown(catalog, versions[0])
    crown(catalog, versions[1])
    claim_attempt(catalog, versions[2], run_id="next")
    assert call("champion", MODEL) == 0
    told = capsys.readouterr().out
    assert "version 2 is champion, provisional; 1 attempt to replace it so far." in told
    assert "Better, says 2." in told
    assert versions[1].digest in told
    assert "promoted: version 2, after version 1, attempt 1, passed, provisional  (" in told
    assert "attempt 1: version 3 against version 2" in told
    assert call("champion", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["champion"]["version"], len(found["history"])) == (2, 5)
    assert call("champion", "mjx_sac") == 2


def test_a_rollback_moves_the_alias_and_tells_a_run(catalog, versions, home, capsys):
    crown(catalog, versions[0])
    crown(catalog, versions[1])
    assert call("rollback", MODEL, "--reason", "Falls on wet grass.") == 0
    assert "version 1 is champion, provisional: rolled back from version 2" in capsys.readouterr().out
    assert call("champion") == 0
    assert "version 1 is champion, provisional; " in capsys.readouterr().out
    assert catalog.resolve(MODEL, "champion").version == 1
    (directory,) = (home / "runs").glob("*rollback*")
    with JournalReader(directory / "journal.db") as journal:
        (decision,) = [event.payload for event in journal.of_kind(["decision"])]
        tags = {key: value for event in journal.of_kind(["tags"]) for key, value in event.payload.items()}
        assert journal.newest("end").payload["status"] == "finished"
    assert (decision["decision"], decision["version"], decision["previous"]) == ("rolled back", 1, 2)
    assert (decision["reason"], decision["details"]["digest"]) == ("Falls on wet grass.", versions[0].digest)
    assert (tags["decision.kind"], tags["decision.model"]) == ("rolled back", catalog.full_name(MODEL))
    assert call("rollback", MODEL, "--reason", "And again.") == 2
    assert "name one with --to VERSION" in capsys.readouterr().err
    assert len(list((home / "runs").iterdir())) == 1, "what was refused is no run"
    assert call("rollback", MODEL) == 2, "without a reason"
    assert call("rollback", MODEL, "--reason", "To the wet one.", "--to", "2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["champion"]["version"] == 2


def test_a_model_of_ones_own_project_has_its_champion_too(catalog, capsys):
    rows = {"judge": Milestone("judge", "walker", "Champion", may_promote=True)}
    own = Catalog.of(catalog.settings, milestones=rows)
    for word in "de":
        version = plain_version(own, word, "walker")
        attempt = claim_attempt(own, version, run_id=f"judge-{word}", job="judge")
        promote(own, attempt, {"passed": "true", "provisional": "false", "reason": f"Better, says {word}."})
    assert call("champion", "walker") == 0
    assert "version 2 is champion; 0 attempts to replace it so far." in capsys.readouterr().out
    assert call("rollback", "walker", "--reason", "It limps.") == 0
    assert "version 1 is champion: rolled back from version 2" in capsys.readouterr().out
    assert own.resolve("walker", "Champion").version == 1
    assert call("rollback", "runner", "--reason", "It is not there.") == 2
    assert "No model booster_soccer.rl_models.runner is registered at sqlite:///" in capsys.readouterr().err


def test_a_gate_that_did_not_come_to_its_promotion_is_promoted_on_its_evidence(
    catalog, versions, home, tmp_path, capsys
):
    claim_attempt(catalog, versions[0], run_id="gate")
    evidence = tmp_path / "evidence.json"
    scores = {"kick": np.linspace(0.5, 1.0, 8)}, {"kick": np.zeros(8)}
    contest = gates.Contest(
        *(gates.Evaluation(name, each) for name, each in zip(("ours", "rest"), scores, strict=True))
    )
    document = gates.evidence(gates.gate3(contest), contest)
    evidence.write_text(json.dumps(document))
    digest = hashlib.sha256(evidence.read_bytes()).hexdigest()
    client = catalog.client
    experiment = client.create_experiment(catalog.settings.project, (home / "mlartifacts").as_uri())
    told = {"passed": "true", "reason": "It is better.", "evidence_digest": digest}
    tags = {"touchline.run_id": "gate"} | {f"gate3.{key}": value for key, value in told.items()}
    mlflow_run = client.create_run(experiment, tags=tags).info.run_id
    client.log_artifact(mlflow_run, str(evidence))
    assert call("promote", "nobody") == 2
    assert call("promote", "gate") == 0
    assert "version 1 is champion, provisional: promoted on the evidence of run" in capsys.readouterr().out
    tags = catalog.resolve(MODEL, "Champion").tags
    assert tags["gate3_evidence"] == f"runs:/{mlflow_run}/evidence.json"
    stored = next((home / "mlartifacts").rglob("evidence.json"))
    stored.write_text("[]")
    assert call("promote", "gate") == 1
    assert "Do not promote on it" in capsys.readouterr().err
    document["given"]["candidate"]["scores"]["kick"] = [0.0] * 8
    stored.write_text(json.dumps(document))
    client.set_tag(mlflow_run, "gate3.evidence_digest", hashlib.sha256(stored.read_bytes()).hexdigest())
    assert call("promote", "gate") == 1
    assert "tells another verdict than it supports" in capsys.readouterr().err
