"""Promotion and rollback: one suite for SQLite, an MLflow server on PostgreSQL, and Unity Catalog's stand-in."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.catalog.conftest import log_to, written_policy
from touchline.catalog import (
    Catalog,
    ChampionChanged,
    ModelVersion,
    attempt_of,
    claim_attempt,
    directory_digest,
    promote,
    refuse,
    rollback,
)
from touchline.catalog.ledger import history
from touchline.catalog.tickets import Lease, LeaseLost, holding
from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError
from touchline.testing.mlflow_server import lack, mlflow_server
from touchline.testing.unity_catalog import environment_of, unity_catalog

MODEL = "ddpg_finetuned"
PASSED = {
    "passed": "true",
    "reason": "It is better. " * 100,
    "low": "0.1",
    "provisional": "true",
    "evidence": "runs:/3f2a/evidence.json",
    "evidence_digest": "e" * 64,
}
FAILED = PASSED | {"passed": "false", "reason": "It is not better."}
SCHEMAS = itertools.count()
RUNS = ("run0", "run1", "run2")


on_sqlite = pytest.mark.parametrize("registry", ["sqlite"], indirect=True)
"""What does not depend on the registry is tried on the fastest."""


@dataclass(frozen=True)
class Registry:
    """A store with three logged models."""

    settings: Settings
    environment: dict[str, str]
    mlflow_runs: tuple[str, ...]


@pytest.fixture(
    scope="module",
    params=[
        "sqlite",
        "unity catalog",
        pytest.param("server", marks=[pytest.mark.slow, pytest.mark.skipif(bool(lack()), reason=lack())]),
    ],
)
def registry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, fresh_store: Path
) -> Iterator[Registry]:
    place, environment = tmp_path_factory.mktemp("registry"), {}
    home = place / "home"
    home.mkdir()
    settings = replace(Settings(), home=home)
    (home / "mlflow.db").write_bytes(fresh_store.read_bytes())
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        if request.param == "server":
            settings = replace(settings, mlflow_tracking_uri=stack.enter_context(mlflow_server(place / "server")))
        if request.param == "unity catalog":
            patch.setattr("touchline.testing.unity_catalog.PAGE", 3)
            environment = environment_of(stack.enter_context(unity_catalog()))
            settings = replace(settings, mlflow_registry_uri=environment.pop("MLFLOW_REGISTRY_URI"))
        patch.chdir(place)
        for name, value in environment.items():
            patch.setenv(name, value)
        logged = [
            log_to(Catalog.of(settings), written_policy(place / f"policy{i}", gain=float(i)), run_id=run_id)
            for i, run_id in enumerate(RUNS)
        ]
        yield Registry(settings, environment, tuple(logged))


@pytest.fixture
def settings(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The registry with a schema of this test's own."""
    for name, value in registry.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return replace(registry.settings, catalog_prefix=f"club.models{next(SCHEMAS)}")


@pytest.fixture
def candidates(catalog: Catalog, registry: Registry) -> list[ModelVersion]:
    return [catalog.register("finetune", run) for run in registry.mlflow_runs]


def crown(catalog: Catalog, candidate: ModelVersion, run_id: str = "gate") -> ModelVersion:
    return promote(catalog, claim_attempt(catalog, candidate, run_id=run_id), PASSED).champion


def told(catalog: Catalog) -> list[tuple[object, ...]]:
    return [(e.kind, e.version, e.previous, e.attempt, e.effective) for e in history(catalog, MODEL, "Champion")]


def test_a_promoted_candidate_is_champion_with_its_evidence_and_an_entry(catalog, candidates):
    attempt = claim_attempt(catalog, candidates[0], run_id="gate")
    assert (attempt.number, attempt.reign, attempt.champion) == (1, "none", None)
    done = promote(catalog, attempt, PASSED)
    for alias in ("Champion", "champion", "CHAMPION"):
        assert catalog.resolve(MODEL, alias) == done.champion
    assert [alias.casefold() for alias in done.champion.aliases] == ["champion"]
    assert (done.champion.version, done.champion.digest) == (1, candidates[0].digest)
    assert done.champion.tags["gate3_low"] == "0.1"
    assert done.champion.tags["gate3_previous_champion"] == "none"
    assert done.champion.run_id == "run0"
    claimed, entry = history(catalog, MODEL, "Champion")
    assert (claimed.kind, claimed.attempt, claimed.reign) == ("attempt", 1, "none")
    assert entry == done.entry
    assert (entry.kind, entry.attempt, entry.verdict, entry.provisional) == ("promoted", 1, "passed", True)
    assert (entry.evidence, entry.evidence_digest) == ("runs:/3f2a/evidence.json", "e" * 64)
    assert entry.reason == PASSED["reason"]
    assert "@" in entry.by
    assert entry.at.startswith("20")
    assert promote(catalog, attempt, PASSED).entry == entry, "a repeated call does nothing"


def test_the_other_spelling_of_an_alias_is_the_same_alias(catalog, candidates):
    crown(catalog, candidates[0])
    catalog.client.set_registered_model_alias(catalog.full_name(MODEL), "CHAMPION", "1")
    assert crown(catalog, candidates[1]).version == 2
    assert catalog.find(f"{MODEL}@cHAMPION").version == 2
    assert [alias.casefold() for alias in catalog.get(MODEL, 2).aliases].count("champion") == 1
    assert "champion" not in [alias.casefold() for alias in catalog.get(MODEL, 1).aliases]


def test_attempts_are_counted_in_a_reign_and_a_run_keeps_its_own(catalog, candidates):
    first = claim_attempt(catalog, candidates[0], run_id="a")
    assert claim_attempt(catalog, candidates[0], run_id="a") == first
    assert claim_attempt(catalog, candidates[1], run_id="b").number == 2
    refuse(catalog, first, FAILED)
    found = attempt_of(catalog, "a")
    assert (found.number, found.reign, found.champion, found.candidate.version) == (1, "none", None, 1)
    champion = crown(catalog, candidates[0], "c")
    assert attempt_of(catalog, "c").number == 3
    second = claim_attempt(catalog, candidates[1], run_id="b")
    assert (second.number, second.reign, second.champion.version) == (1, champion.digest, 1)
    with pytest.raises(TouchlineError, match="is the champion already"):
        claim_attempt(catalog, champion, run_id="d")
    with pytest.raises(UsageError, match="has claimed no attempt"):
        attempt_of(catalog, "nobody")
    claim_attempt(catalog, candidates[2], run_id="bee")
    assert [attempt_of(catalog, word).run_id for word in ("last", "be", "bee")] == ["bee"] * 3
    assert attempt_of(catalog, "b").run_id == "b"  # whole, although another begins so
    claim_attempt(catalog, candidates[2], run_id="bell")
    with pytest.raises(UsageError, match="The ids of 2 runs begin with 'be'. Name one of bee, bell"):
        attempt_of(catalog, "be")


@on_sqlite
def test_a_refusal_is_an_entry_and_leaves_the_champion(catalog, candidates):
    champion = crown(catalog, candidates[0])
    entry = refuse(catalog, claim_attempt(catalog, candidates[1], run_id="b"), FAILED)
    assert (entry.kind, entry.verdict, entry.reason) == ("refused", "failed", "It is not better.")
    assert catalog.resolve(MODEL, "Champion") == champion
    assert catalog.get(MODEL, 2).tags["gate3_passed"] == "false"


def test_a_candidate_judged_against_another_champion_is_refused_and_the_ledger_says_so(catalog, candidates):
    stale = claim_attempt(catalog, candidates[2], run_id="slow")
    champion = crown(catalog, candidates[0])
    with pytest.raises(ChampionChanged, match=r"no champion, but @Champion is version 1 now.*Evaluate it again"):
        promote(catalog, stale, PASSED)
    assert catalog.resolve(MODEL, "Champion") == champion
    last = history(catalog, MODEL, "Champion")[-1]
    assert (last.kind, last.version, last.verdict) == ("refused", 3, "passed")
    assert "Evaluate it again" in last.reason


def test_rollbacks_go_back_one_champion_after_the_other(catalog, candidates):
    with pytest.raises(UsageError, match="has no champion"):
        rollback(catalog, MODEL, reason="x", run_id="r")
    champions = [crown(catalog, candidate) for candidate in candidates]
    done = rollback(catalog, MODEL, reason="It falls in the rain.", run_id="r", seen=champions[2])
    assert (done.champion.version, done.previous.version) == (2, 3)
    with pytest.raises(ChampionChanged, match=r"was to be rolled back, but @Champion is version 2 now"):
        rollback(catalog, MODEL, reason="It falls in the rain.", run_id="s", seen=champions[2])
    assert rollback(catalog, MODEL, reason="So does this one.", run_id="r").champion.version == 1
    with pytest.raises(UsageError, match="no champion before .* Others that were, later: 2, 3; name one with --to"):
        rollback(catalog, MODEL, reason="x", run_id="r")
    assert rollback(catalog, MODEL, reason="No.", to=3, run_id="r").champion.version == 3
    assert [row[:3] for row in told(catalog) if row[0] != "attempt"] == [
        ("promoted", 1, None),
        ("promoted", 2, 1),
        ("promoted", 3, 2),
        ("rolled back", 2, 3),
        ("rolled back", 1, 2),
        ("rolled back", 3, 1),
    ]
    assert all(row[-1] for row in told(catalog))
    assert history(catalog, MODEL, "Champion")[-1].reason == "No."


@on_sqlite
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": 2}, "never was champion. Others that were: none"),
        ({"to": 1}, "already"),
        ({"reason": " "}, "a reason"),
    ],
)
def test_a_rollback_to_nowhere_or_without_a_reason_is_refused(catalog, candidates, options, message):
    crown(catalog, candidates[0])
    with pytest.raises(UsageError, match=message):
        rollback(catalog, MODEL, run_id="r", **({"reason": "x"} | options))
    assert catalog.resolve(MODEL, "Champion").version == 1


def test_of_many_that_promote_at_once_against_the_same_champion_one_wins(catalog, candidates, settings):
    crown(catalog, candidates[0])
    attempts = [claim_attempt(catalog, c, run_id=f"r{i}") for i, c in enumerate(candidates[1:] * 2)]
    outcomes = []

    def try_it(attempt):
        try:
            outcomes.append(promote(Catalog.of(settings), attempt, PASSED).champion.version)
        except ChampionChanged:
            outcomes.append("refused")

    threads = [threading.Thread(target=try_it, args=(attempt,)) for attempt in attempts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("refused") == 3
    (winner,) = (outcome for outcome in outcomes if outcome != "refused")
    assert catalog.resolve(MODEL, "Champion").version == winner
    kinds = [row[0] for row in told(catalog)]
    assert (kinds.count("promoted"), kinds.count("refused")) == (2, 3)


def test_a_holder_that_was_paused_past_its_lease_stops_before_the_alias(catalog, candidates, settings, monkeypatch):
    crown(catalog, candidates[0])
    paused, other = claim_attempt(catalog, candidates[1], run_id="a"), Catalog.of(settings)
    others = claim_attempt(other, candidates[2], run_id="b")
    other.lease = Lease(seconds=0.5, margin=-60.0, poll=0.05)
    write = catalog.client.set_model_version_tag

    def pause_before_the_ledger(name, version, key, value):
        if key == "kind":
            assert promote(other, others, PASSED).champion.version == 3, "it takes the lock over"
        write(name, version, key, value)

    monkeypatch.setattr(catalog.client, "set_model_version_tag", pause_before_the_ledger)
    with pytest.raises(ChampionChanged):
        promote(catalog, paused, PASSED)
    assert catalog.resolve(MODEL, "Champion").version == 3
    assert [row for row in told(catalog) if row[0] == "promoted"] == [
        ("promoted", 1, None, 1, True),
        ("promoted", 2, 1, 1, False),
        ("promoted", 3, 1, 2, True),
    ]


@on_sqlite
def test_a_holder_whose_ticket_others_closed_changes_nothing(catalog, settings):
    waiting = Catalog.of(settings)
    waiting.lease = Lease(seconds=0.2, margin=-60.0, poll=0.05)
    with pytest.raises(LeaseLost, match="marked 'expired'"), holding(catalog, MODEL) as ticket:
        ticket.must_hold()
        with holding(waiting, MODEL):
            ticket.must_hold()


@on_sqlite
def test_a_holder_that_nobody_waits_for_stops_when_its_own_clock_says_so(catalog):
    catalog.lease = Lease(seconds=5.0, margin=5.0)
    with (
        pytest.raises(LeaseLost, match=r"too long: \d\.\d s of 5 s are left, and it stops at 5 s"),
        holding(catalog, MODEL) as ticket,
    ):
        ticket.must_hold()


@on_sqlite
def test_a_lock_that_somebody_holds_is_given_up_after_a_while(catalog, candidates, settings):
    with holding(catalog, MODEL):
        waiting = Catalog.of(settings)
        waiting.lease = Lease(poll=0.05, patience=0.3)
        with pytest.raises(TouchlineError, match=r"could not be had in 0 s. Ticket \d+ holds it, made by .*@"):
            crown(waiting, candidates[0])
    assert crown(catalog, candidates[0]).version == 1, "the abandoned ticket is in nobody's way"


@on_sqlite
@pytest.mark.parametrize("evidence", [{}, FAILED])
def test_nothing_is_promoted_without_a_passed_gate(catalog, candidates, evidence):
    attempt = claim_attempt(catalog, candidates[0], run_id="a")
    with pytest.raises(TouchlineError, match="does not say that the gate was passed"):
        promote(catalog, attempt, evidence)
    assert catalog.resolve(MODEL, "Champion") is None


@on_sqlite
@pytest.mark.parametrize("job", ["pretrain", "convert", "finetune"])
def test_a_job_whose_row_does_not_allow_it_moves_no_champion(catalog, candidates, job):
    with pytest.raises(TouchlineError, match=r"may not promote.*gate3"):
        claim_attempt(catalog, candidates[0], run_id="a", job=job)
    with pytest.raises(TouchlineError, match=r"may not promote.*rollback"):
        rollback(catalog, MODEL, reason="x", run_id="r", job=job)


@on_sqlite
def test_a_model_of_another_kind_cannot_become_champion(catalog, candidates):
    pretrained = replace(candidates[0], name=catalog.full_name("mjx_sac"))
    with pytest.raises(TouchlineError, match=r"cannot become champion of club\.models\d+\.ddpg_finetuned"):
        claim_attempt(catalog, pretrained, run_id="a")


@on_sqlite
def test_a_version_without_a_digest_cannot_become_champion(catalog, candidates):
    with pytest.raises(TouchlineError, match="carries no digest"):
        claim_attempt(catalog, replace(candidates[0], tags={}), run_id="a")


def test_a_version_is_downloaded_and_registered_once_and_refused_when_it_is_not_itself(
    catalog, candidates, registry, tmp_path
):
    assert catalog.register("finetune", registry.mlflow_runs[0]).version == 1
    assert len(catalog.versions(MODEL)) == 3
    payload = catalog.download(candidates[1], tmp_path / "copy")
    assert directory_digest(payload) == candidates[1].digest
    forged = replace(candidates[1], tags={**candidates[1].tags, "touchline_digest": "0" * 64})
    with pytest.raises(TouchlineError, match="is not what was registered"):
        catalog.download(forged, tmp_path / "other")
