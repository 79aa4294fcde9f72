"""Milestones on both tracks with the real clients: digests, aliases, the champion's move, the card, what was read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from touchline.catalog import Catalog, ModelVersion, directory_digest
from touchline.config import Settings
from touchline.jobs.models import load_policy, log_policy, register, tell_milestone
from touchline.learning.policy import Policy, zero_policy
from touchline.soccer.control import stand_still
from touchline.testing.wandb_backend import API_KEY, WandbBackend, wandb_backend
from touchline.tracking.start import start_run

NAME = "booster_soccer.rl_models.ddpg_finetuned"
STANDING = zero_policy(89, 12, {"controller": stand_still().to_dict()})


@pytest.fixture(scope="module")
def backend() -> Iterator[WandbBackend]:
    with wandb_backend() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_API_KEY", API_KEY)
        yield server


@pytest.fixture(scope="module")
def settings(backend: WandbBackend, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("models") / "home"
    return Settings(home=home, sinks=("mlflow", "wandb"), wandb_base_url=backend.url, capture=())


@pytest.fixture(scope="module")
def versions(settings: Settings) -> tuple[ModelVersion, ModelVersion]:
    """Two candidates, each champion for a while, and the first one again after a rollback."""
    catalog = Catalog.of(settings)
    first = _registered(settings, STANDING)
    _crowned(settings, first)
    second = _registered(settings, replace(STANDING, clip=4.0))
    _crowned(settings, second)
    return catalog.get(NAME, first.version), catalog.get(NAME, second.version)


def _registered(settings: Settings, policy: Policy) -> ModelVersion:
    with start_run("finetune", settings=settings, config={"seed": 3, "total_steps": 64}) as run:
        run.log({"eval/score": -1.5}, 32)
        run.log({"eval/score": -1.9}, 64)
        version = register(run, log_policy(run, policy), 32, {"eval.score": "-1.5"})
    assert run.wait_delivered("wandb")
    return version


def _crowned(settings: Settings, version: ModelVersion) -> None:
    with start_run("gate3", settings=settings) as run:
        load_policy(run, NAME, "Candidate-Finetuned")
        catalog = Catalog.of(settings)
        catalog.set_alias(NAME, "Champion", version.version)
        tell_milestone(run, catalog.get(NAME, version.version))
    assert run.wait_delivered("wandb")


def test_wandb_has_each_version_once_with_digest_and_aliases_and_the_old_champion_has_lost_its_own(
    versions: tuple[ModelVersion, ModelVersion], backend: WandbBackend, settings: Settings, tmp_path: Path
) -> None:
    found = [one for run in backend.runs.values() for one in run.artifacts if one["name"] == NAME]
    assert [one["metadata"]["digest"] for one in found] == [version.digest for version in versions]
    assert [set(one["aliases"]) for one in found] == [set(), {"latest", "Champion", "Candidate-Finetuned"}]
    for name, content in found[1]["files"].items():
        if name != "wandb_manifest.json":
            (tmp_path / name).write_bytes(content)
    assert directory_digest(tmp_path) == versions[1].digest

    with start_run("rollback", settings=settings) as run:
        catalog = Catalog.of(settings)
        catalog.set_alias(NAME, "Champion", versions[0].version)
        tell_milestone(run, catalog.get(NAME, versions[0].version))
    assert run.wait_delivered("wandb")
    assert [set(one["aliases"]) for one in found] == [{"latest", "Champion"}, {"Candidate-Finetuned"}]


def test_a_run_records_what_it_read_natively_and_as_tags(
    versions: tuple[ModelVersion, ModelVersion], settings: Settings, backend: WandbBackend
) -> None:
    first, _ = versions
    client = Catalog.of(settings).client
    experiment = client.get_experiment_by_name(settings.project)
    where = f"tags.`touchline.input.Candidate-Finetuned` = '{first.uri}'"
    (run,) = client.search_runs([experiment.experiment_id], where)
    assert run.data.tags["touchline.input_digest.Candidate-Finetuned"] == first.digest
    assert run.data.tags["touchline.input_run.Candidate-Finetuned"] == first.mlflow_run_id
    assert [model.model_id for model in run.inputs.model_inputs] == [first.model_id] != [""]
    config = backend.runs[run.data.tags["touchline.run_id"]].config
    assert config["input_digest.Candidate-Finetuned"]["value"] == first.digest


def test_the_card_has_the_figures_of_its_step_and_code_that_runs(
    versions: tuple[ModelVersion, ModelVersion], settings: Settings
) -> None:
    version = versions[1]
    text = Catalog.of(settings).client.get_model_version(NAME, str(version.version)).description
    assert "| eval/score | -1.5 |" in text
    assert "| seed | 3 |" in text
    assert version.digest in text
    code = text.partition("```python\n")[2].partition("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint(actions.shape)"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path), "TOUCHLINE_HOME": str(settings.home), "PATH": ""},
    )
    assert done.stdout == "(1, 12)\n", done.stderr
