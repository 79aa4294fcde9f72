import threading

import pytest

from touchline.catalog import Catalog
from touchline.catalog.ledger import history
from touchline.catalog.promotion import ChampionChanged
from touchline.errors import TouchlineError

PASSED = {"passed": "true", "reason": "It is better.", "low": "0.1"}
MODEL = "ddpg_finetuned"


@pytest.fixture
def candidates(catalog, log_model):
    return [catalog.register("finetune", log_model(gain=float(i), run_id=f"run{i}")) for i in range(3)]


def test_a_promoted_candidate_is_champion_with_its_evidence(catalog, candidates):
    done = catalog.promote(candidates[0], None, PASSED)
    champion = catalog.resolve(MODEL, "Champion")
    assert champion == done.champion
    assert champion.version == 1
    assert champion.tags["gate3.low"] == "0.1"
    assert champion.tags["gate3.previous_champion"] == "none"
    assert champion.digest == candidates[0].digest


def test_the_previous_champion_stays_on_record(catalog, candidates):
    first = catalog.promote(candidates[0], None, PASSED).champion
    second = catalog.promote(candidates[1], first, PASSED)
    assert second.previous == first
    assert second.champion.tags["gate3.previous_champion"] == "1"
    assert [(e.number, e.version, e.previous, e.effective) for e in history(catalog, MODEL, "Champion")] == [
        (1, 1, None, True),
        (2, 2, 1, True),
    ]


@pytest.mark.parametrize("expected", [None, 1], ids=["none expected", "another expected"])
def test_a_candidate_judged_against_another_champion_is_refused(catalog, candidates, expected):
    first = catalog.promote(candidates[0], None, PASSED).champion
    champion = catalog.promote(candidates[1], first, PASSED).champion
    with pytest.raises(ChampionChanged, match=r"@Champion is version 2 now.*Evaluate it again"):
        catalog.promote(candidates[2], first if expected else None, PASSED)
    assert catalog.resolve(MODEL, "Champion") == champion
    assert len(history(catalog, MODEL, "Champion")) == 2


def test_of_many_that_promote_at_once_against_the_same_champion_one_wins(catalog, candidates, settings):
    first = catalog.promote(candidates[0], None, PASSED).champion
    outcomes = []

    def promote(candidate):
        try:
            outcomes.append(Catalog.of(settings).promote(candidate, first, PASSED).champion.version)
        except ChampionChanged:
            outcomes.append("refused")

    threads = [threading.Thread(target=promote, args=(c,)) for c in candidates[1:] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("refused") == 3
    (winner,) = (outcome for outcome in outcomes if outcome != "refused")
    assert catalog.resolve(MODEL, "Champion").version == winner
    assert [entry.version for entry in history(catalog, MODEL, "Champion")] == [1, winner]


@pytest.mark.parametrize("evidence", [{}, {"passed": "false"}])
def test_nothing_is_promoted_without_a_passed_gate(catalog, candidates, evidence):
    with pytest.raises(TouchlineError, match="does not say that the gate was passed"):
        catalog.promote(candidates[0], None, evidence)
    assert catalog.resolve(MODEL, "Champion") is None


@pytest.mark.parametrize("job", ["pretrain", "convert", "finetune"])
def test_a_job_whose_row_does_not_allow_it_promotes_nothing(catalog, candidates, job):
    with pytest.raises(TouchlineError, match=r"may not promote.*gate3"):
        catalog.promote(candidates[0], None, PASSED, job=job)


def test_a_model_of_another_kind_cannot_become_champion(catalog, log_model):
    pretrained = catalog.register("pretrain", log_model("pretrain"))
    with pytest.raises(TouchlineError, match=r"cannot become champion of club\.models\.ddpg_finetuned"):
        catalog.promote(pretrained, None, PASSED)


def test_a_version_that_something_else_registered_cannot_become_champion(catalog, candidates):
    made = catalog.client.create_model_version("club.models.ddpg_finetuned", candidates[0].source)
    with pytest.raises(TouchlineError, match="carries no digest"):
        catalog.promote(catalog.get(MODEL, int(made.version)), None, PASSED)


def test_a_promotion_that_died_before_the_alias_left_the_old_champion_and_shows(catalog, candidates, monkeypatch):
    first = catalog.promote(candidates[0], None, PASSED).champion
    with monkeypatch.context() as dying:
        dying.setattr(catalog, "set_alias", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            catalog.promote(candidates[1], first, PASSED)
    assert catalog.resolve(MODEL, "Champion") == first
    assert [entry.effective for entry in history(catalog, MODEL, "Champion")] == [True, False]
    assert catalog.promote(candidates[1], first, PASSED).champion.version == 2
    assert [entry.effective for entry in history(catalog, MODEL, "Champion")] == [True, False, True]
