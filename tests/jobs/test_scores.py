"""Where official scores are found, and what they say of pairs, from evidence of gates and evaluations."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from touchline.catalog import Catalog, ModelVersion
from touchline.catalog.about import About
from touchline.catalog.version import DIGEST_TAG
from touchline.config import Settings
from touchline.jobs.scores import difference, recorded

NAME = "club.models.ddpg_finetuned"


def version(number: int, run: str, **tags: str) -> About:
    return About(ModelVersion(NAME, number, run, "", {DIGEST_TAG: f"{number}" * 64, **tags}))


class Store:
    """A catalog over a real MLflow store, in which Runs are made as gates and evaluations make theirs."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.catalog = Catalog.of(Settings(home=home, catalog_prefix="club.models"))
        self.client = self.catalog.client
        self.experiment = self.client.create_experiment("club", (home / "mlartifacts").as_uri())
        self.directory = home

    def run(self, tags: dict[str, str], name: str = "", document: dict[str, Any] | None = None) -> str:
        run_id: str = self.client.create_run(self.experiment, tags=tags).info.run_id
        if document is not None:
            path = self.directory / name
            path.write_text(json.dumps(document))
            self.client.log_artifact(run_id, str(path))
        return run_id

    def gate(self, name: str, document: dict[str, Any], **inputs: int) -> None:
        tags = {
            f"touchline.input.{context.replace('_', '-')}": f"models:/{NAME}/{n}" for context, n in inputs.items()
        }
        self.run({"touchline.job": "gate3", "touchline.run_id": name, **tags}, "evidence.json", document)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("scores") / "home")


def evaluated(number: int, *scores: float, champion: bool = False) -> dict[str, Any]:
    name = f"{'the champion, ' if champion else ''}{NAME} version {number}"
    return {"name": name, "scores": {"goalie": list(scores), "kick": [score + 1 for score in scores]}}


def test_the_gate_in_which_both_played_tells_their_scores_and_the_difference_of_pairs(store: Store) -> None:
    one, other = (version(number, store.run({})) for number in (1, 2))
    alone = {"verdict": {"provisional": True}, "evaluations": [evaluated(2, *[0.0] * 9)]}
    store.gate("alone", alone, Candidate_Finetuned=2)
    both = [evaluated(1, -1.0, -0.8, -0.9), evaluated(2, -2.0, -1.9, -1.8, champion=True)]
    store.gate("both", {"verdict": {"provisional": True}, "evaluations": both}, Candidate_Finetuned=1, Champion=2)

    (first, second), runs = recorded(store.catalog, [one, other])
    assert first is not None
    assert second is not None
    assert first.source == second.source == "gate 3 (provisional), 3 scenarios a task, Run both"
    assert (first.tasks["goalie"].mean, second.tasks["kick"].mean) == pytest.approx((-0.9, -0.9))
    assert first.mean.low < first.mean.mean < first.mean.high
    (run,) = runs
    found = difference(run, one.version.digest or "", other.version.digest or "")
    assert found is not None
    assert found.mean == pytest.approx(1.0)
    assert found.low > 0


def test_the_later_form_of_evidence_is_read_too(store: Store) -> None:
    one = version(3, store.run({}))
    given = {
        "candidate": evaluated(3, -1.0, -0.5),
        "champion": None,
        "baseline": {**evaluated(9, 0.0, 0.0), "name": "stand still"},
        "others": [],
    }
    store.gate("later", {"format": 2, "verdict": {"provisional": False}, "given": given}, Candidate_Finetuned=3)
    (found,), _ = recorded(store.catalog, [one])
    assert found is not None
    assert found.source == "gate 3, 2 scenarios a task, Run later"
    assert found.tasks["goalie"].mean == -0.75


def test_an_evaluation_that_was_tracked_is_found_by_the_files_digest(store: Store) -> None:
    one = version(4, store.run({}))
    digest = one.version.digest or ""
    rows = [{"task": "goalie", "score": score} for score in (-1.0, -0.8)]
    document = {
        "players": [{"name": "walker", "digest": digest}],
        "series": {kind: {"players": {"walker": {"episodes": rows}}} for kind in ("nominal", "perturbed")},
    }
    store.run({"evaluate.digest": digest, "touchline.run_id": "tracked"}, "evaluation.json", document)
    (found,), _ = recorded(store.catalog, [one])
    assert found is not None
    assert found.source == "evaluation, 2 scenarios a task, Run tracked"
    assert found.mean.mean == pytest.approx(-0.9)


def test_without_any_evidence_its_own_run_is_named_and_has_no_interval(store: Store) -> None:
    told = version(5, store.run({}), **{"eval.score": "-1.25"})
    unplayed = replace(told, version=replace(told.version, tags={}))
    (found, nothing), runs = recorded(store.catalog, [told, unplayed])
    assert nothing is None
    assert runs == []
    assert found is not None
    assert (found.mean.mean, found.mean.method) == (-1.25, "none")
    assert "without interval" in found.source
