"""What Unity Catalog refuses is told with its remedy, and a promotion that is cut off is undone or done."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.catalog.conftest import log_to, written_policy
from touchline.catalog import Catalog, claim_attempt, promote
from touchline.catalog.ledger import history
from touchline.catalog.tickets import Lease
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.jobs.trial import try_registry
from touchline.testing.unity_catalog import UnityCatalog, environment_of, unity_catalog
from touchline.tracking.mlflow_store import find_experiment

MODEL = "ddpg_finetuned"
PASSED = {
    "passed": "true",
    "reason": "It is better.",
    "evidence": "runs:/1/evidence.json",
    "evidence_digest": "e" * 64,
}
WRITES = ("model-versions/create", "model-versions/finalize", "model-versions/set-tag", "registered-models/alias")
"""The calls of a promotion that change something."""


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory, fresh_store: Path) -> Iterator[tuple[Settings, list[str]]]:
    """A store of runs with two models."""
    place = tmp_path_factory.mktemp("unity")
    (home := place / "home").mkdir()
    (home / "mlflow.db").write_bytes(fresh_store.read_bytes())
    settings = replace(Settings(), home=home, catalog_prefix="club.models")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        runs = [log_to(Catalog.of(settings), written_policy(place / f"p{i}", gain=float(i))) for i in range(2)]
    yield replace(settings, mlflow_registry_uri="databricks-uc"), runs


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UnityCatalog]:
    monkeypatch.chdir(tmp_path)  # where MLflow's client begins a store of its own when it looks for a run
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with unity_catalog() as server:
        for name, value in environment_of(server).items():
            monkeypatch.setenv(name, value)
        yield server


def test_a_model_is_registered_found_by_alias_tagged_and_loaded(workspace, logged) -> None:
    settings, (run, _) = logged
    catalog = Catalog.of(settings)
    made = catalog.register("finetune", run, tags={"score": "0.5"})
    found = catalog.find(f"{MODEL}@CANDIDATE-finetuned")
    assert (found.version, found.digest, found.tags["score"]) == (made.version, made.digest, "0.5")
    assert catalog.load(found).predict(np.zeros((1, 3), np.float32)).tolist() == [[0.0, 0.0]]


def test_the_doctors_trial_of_the_registry_leaves_nothing(workspace, logged) -> None:
    settings, _ = logged
    assert try_registry(Catalog.of(settings).client, settings, "trial") > 0.0
    assert any("registered-models/set-tag" in request for request in workspace.requests)
    assert workspace.models == {}


@pytest.mark.parametrize(
    ("call", "privilege"),
    [
        ("registered-models/create", "CREATE MODEL on Schema 'club.models'"),
        ("model-versions/create", "CREATE MODEL VERSION"),
        ("registered-models/alias", "MANAGE"),
    ],
)
def test_a_missing_right_is_named_with_who_can_give_it_and_once_given_the_same_command_goes_on(
    workspace, logged, call: str, privilege: str
) -> None:
    settings, (run, _) = logged
    workspace.deny(call, privilege)
    with pytest.raises(TouchlineError) as refused:
        Catalog.of(settings).register("finetune", run)
    for word in (workspace.url, "denies this user", privilege, "Let the owner grant it", "give the command again"):
        assert word in str(refused.value)
    workspace.denied.clear()
    assert Catalog.of(settings).register("finetune", run).version == 1, "what was there is taken up, not made twice"


@pytest.mark.parametrize("message", ["Invalid access token.", "The token is not the stand-in's."])
def test_a_token_that_has_ended_is_told_with_the_way_to_a_new_one(
    workspace, logged, monkeypatch, message: str
) -> None:
    settings, (run, _) = logged
    if message.startswith("Invalid"):
        workspace.expire()
    else:
        monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-of-another")
    with pytest.raises(TouchlineError) as refused:
        Catalog.of(settings).register("finetune", run)
    for word in (workspace.url, message, "has expired or was revoked", "set DATABRICKS_TOKEN", "put-secret"):
        assert word in str(refused.value)
    assert "dapi-of-another" not in str(refused.value)


def test_a_promotion_whose_token_ends_at_any_write_is_undone_or_done_and_the_same_command_ends_it(
    workspace, logged
) -> None:
    settings, (first, second) = logged
    catalog = Catalog.of(settings)
    promote(catalog, claim_attempt(catalog, catalog.register("finetune", first), run_id="gate1"), PASSED)
    attempt = claim_attempt(catalog, catalog.register("finetune", second), run_id="gate2")
    models, files, already = copy.deepcopy(workspace.models), dict(workspace.files), len(workspace.requests)
    assert promote(catalog, attempt, PASSED).champion.version == 2
    requests = workspace.requests[already:]
    pairs = enumerate(pairwise(["", *requests]))
    writes = [number for number, (before, request) in pairs if request != before and request.endswith(WRITES)]
    assert {requests[number].rpartition("unity-catalog/")[2] for number in writes} == set(WRITES)
    again = Catalog.of(settings)
    # Nobody else is there, so a ticket that could not be given back need not be waited for.
    again.lease = Lease(seconds=0.0, margin=-60.0, poll=0.01)
    for allowed in writes:
        workspace.models, workspace.files = copy.deepcopy(models), dict(files)
        workspace.expire(after=allowed)
        with pytest.raises(TouchlineError, match="set DATABRICKS_TOKEN"):
            promote(catalog, attempt, PASSED)
        workspace.renew()
        assert champion_and_ledger(again) in ((1, [1]), (2, [1, 2])), requests[allowed]
        promote(again, attempt, PASSED)
        assert champion_and_ledger(again) == (2, [1, 2]), requests[allowed]


def champion_and_ledger(catalog: Catalog) -> tuple[int, list[int]]:
    """The champion's version, and those that the ledger tells of as promoted in effect."""
    champion = catalog.resolve(MODEL, "Champion")
    assert champion is not None
    entries = history(catalog, MODEL, "Champion")
    return champion.version, [entry.version for entry in entries if entry.kind == "promoted" and entry.effective]


def test_a_project_becomes_an_experiment_in_a_folder_that_every_workspace_has() -> None:
    asked: list[str] = []

    class Client:
        def get_experiment_by_name(self, name: str) -> None:
            asked.append(name)

    here = Settings()
    there = replace(here, mlflow_tracking_uri="databricks")
    for settings, project in ((here, None), (there, None), (there, "/Users/anna/soccer")):
        find_experiment(Client(), settings, project)  # type: ignore[arg-type]
    assert asked == ["booster-soccer", "/Shared/booster-soccer", "/Users/anna/soccer"]
