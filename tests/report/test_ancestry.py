"""Whose model it is, and what the champion to compare with was given: asked of a real registry."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from touchline.catalog import Catalog
from touchline.catalog.version import JOB_TAG, RUN_TAG
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.report.ancestry import read_ancestry
from touchline.report.facts import read_facts

from .conftest import begin

NAME = "club.models.policies"


@pytest.fixture
def catalog(tmp_path: Path, fresh_store: Path) -> Catalog:
    """Two versions, made by the runs ``old`` and ``new``, whose journals are in the home; the second is champion."""
    shutil.copy(fresh_store, tmp_path / "mlflow.db")
    catalog = Catalog.of(Settings(home=tmp_path, sinks=(), catalog_prefix="club.models"))
    client = catalog.client
    client.create_registered_model(NAME)
    experiment = client.create_experiment("club")
    for version, (run_id, rate) in enumerate((("old", 0.1), ("new", 0.2)), start=1):
        with begin(tmp_path, run_id, "finetune", config={"lr": rate}) as run:
            run.log_decision(
                "promoted",
                model=NAME,
                alias="Champion",
                version=version,
                previous=version - 1 or None,
                reason="Better.",
            )
        made = client.create_run(experiment, tags={RUN_TAG: run_id, JOB_TAG: "finetune"})
        client.create_model_version(NAME, str(tmp_path), made.info.run_id)
    client.set_registered_model_alias(NAME, "Champion", "2")
    return catalog


def test_a_champion_is_compared_with_the_one_before_and_a_challenger_with_the_champion(catalog: Catalog) -> None:
    settings = catalog.settings
    new, old = (read_facts(settings.run_directory(run)) for run in ("new", "old"))
    found = read_ancestry([new], settings)
    assert found is not None and found.is_champion
    assert [node.title for node in found.node.walk()] == [f"{NAME} version 2 @Champion", "finetune new"]
    assert (found.champion, found.params) == (f"{NAME} version 1", {"finetune": {"lr": 0.1}})
    challenger = read_ancestry([old], settings)
    assert challenger is not None and not challenger.is_champion
    assert (challenger.champion, challenger.params) == (f"{NAME} version 2", {"finetune": {"lr": 0.2}})
    catalog.client.delete_model_version(NAME, "1")
    found = read_ancestry([new], settings)
    assert found is not None and (found.champion, found.params) == (f"{NAME} version 1", {})
    with pytest.raises(TouchlineError, match="version '?1"):
        read_ancestry([old], settings)


def test_where_nothing_was_registered_nobody_is_asked(tmp_path: Path) -> None:
    with begin(tmp_path, "r1") as run:
        pass
    assert read_ancestry([read_facts(run.directory)], Settings(home=tmp_path)) is None
