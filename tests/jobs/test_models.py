"""Milestones on both tracks with the real clients: digests, aliases, the champion's move, the card, what was read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import touchline
from touchline.catalog import Catalog, ModelVersion, directory_digest, tell_milestone
from touchline.config import Settings
from touchline.jobs.base import Interrupted, stopping_with
from touchline.jobs.models import DELIVERY_SECONDS, load_policy, log_policy, register
from touchline.learning.policy import Policy
from touchline.soccer.control import stand_still
from touchline.testing.wandb_backend import API_KEY, WandbBackend, wandb_backend
from touchline.tracking.start import start_run

NAME = "booster_soccer.rl_models.ddpg_finetuned"
SOURCE = Path(touchline.__file__).parents[1]
METADATA = {"controller": stand_still().to_dict()}


def of_jax() -> Policy:
    """A policy as the learner in JAX leaves it."""
    from touchline.learning import sac

    return sac.to_policy(sac.Sac(89, 12, sac.SacConfig(actor_hidden=(8,), critic_hidden=(8,))).init(0), METADATA)


def of_torch() -> Policy:
    """A policy as the learner in PyTorch leaves it."""
    from touchline.learning import convert

    policy = of_jax()
    return convert.policy_of(convert.NormalisedActor(policy).actor, policy, {**METADATA, "job": "finetune"})


@pytest.fixture(scope="module")
def backend() -> Iterator[WandbBackend]:
    with wandb_backend() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_API_KEY", API_KEY)
        yield server


@pytest.fixture(scope="module")
def settings(backend: WandbBackend, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("models") / "home"
    home.mkdir()
    settings = Settings(home=home, sinks=("mlflow", "wandb"), wandb_base_url=backend.url, capture=())
    assert Catalog.of(settings).versions(NAME) == ()  # makes the store, which takes a courier long on a busy machine
    return settings


@pytest.fixture(scope="module")
def versions(settings: Settings) -> tuple[ModelVersion, ModelVersion]:
    """Two candidates, each champion for a while, and the first one again after a rollback."""
    catalog = Catalog.of(settings)
    first = _registered(settings, of_jax())
    _crowned(settings, first)
    second = _registered(settings, of_torch())
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
        tell_milestone(run, catalog, catalog.get(NAME, version.version))
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
        tell_milestone(run, catalog, catalog.get(NAME, versions[0].version))
    assert run.wait_delivered("wandb")
    assert [set(one["aliases"]) for one in found] == [{"latest", "Champion"}, {"Candidate-Finetuned"}]


def test_a_run_records_what_it_read_natively_and_as_tags(
    versions: tuple[ModelVersion, ModelVersion], settings: Settings, backend: WandbBackend
) -> None:
    first, _ = versions
    client = Catalog.of(settings).client
    experiment = client.get_experiment_by_name(settings.project)
    where = f"tags.`touchline.input.Candidate-Finetuned` = '{first.uri}'"
    (found,) = client.search_runs([experiment.experiment_id], where)
    run = client.get_run(found.info.run_id)  # a search leaves the model inputs out
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
    assert _python(settings, f"{code}\nprint(actions.shape)") == "(1, 12)\n"


LOADED = """
import json, sys
import numpy as np
import touchline

observations = np.linspace(-1, 1, 5 * 89, dtype=np.float32).reshape(5, 89)
actions = [
    touchline.load_model(f"booster_soccer.rl_models.ddpg_finetuned/{version}").predict(observations).tolist()
    for version in sys.argv[1:]
]
print(json.dumps({"actions": actions, "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def test_policies_of_jax_and_of_pytorch_act_in_a_process_that_has_loaded_neither(
    versions: tuple[ModelVersion, ModelVersion], settings: Settings
) -> None:
    told = json.loads(_python(settings, LOADED, *(str(version.version) for version in versions)))
    assert {"jax", "flax", "optax", "torch", "mujoco", "gymnasium"}.isdisjoint(told["modules"])
    observations = np.linspace(-1, 1, 5 * 89, dtype=np.float32).reshape(5, 89)
    for actions in told["actions"]:
        np.testing.assert_allclose(actions, of_jax()(observations), atol=1e-6)
    stored = [path.suffix for path in settings.artifact_root.rglob("artifacts/**/*") if path.is_file()]
    assert not {".pkl", ".pickle", ".joblib"} & set(stored)


TAMPERED = """
import sys
import touchline

try:
    touchline.load_model(f"booster_soccer.rl_models.ddpg_finetuned/{sys.argv[1]}")
except touchline.TouchlineError as error:
    print(error)
"""


def test_a_tampered_payload_is_refused_and_mlflows_own_description_is_not_part_of_it(
    versions: tuple[ModelVersion, ModelVersion], settings: Settings
) -> None:
    version = versions[1]
    shutil.rmtree(settings.home / "models", ignore_errors=True)
    (weights,) = settings.artifact_root.rglob(f"{version.model_id}/**/policy.safetensors")
    (description,) = settings.artifact_root.rglob(f"{version.model_id}/**/MLmodel")
    intact = weights.read_bytes()
    with description.open("a") as file:
        file.write("# looked at by hand\n")
    assert _python(settings, TAMPERED, str(version.version)) == ""
    shutil.rmtree(settings.home / "models")
    weights.write_bytes(bytes([*intact[:-1], intact[-1] ^ 1]))
    assert "is not what was registered" in _python(settings, TAMPERED, str(version.version))
    weights.write_bytes(intact)


def _python(settings: Settings, code: str, *arguments: str) -> str:
    """What a process without any of this one's imports prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(SOURCE), "TOUCHLINE_HOME": str(settings.home), "PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Asked:
    """A stop that a person has asked for."""

    requested, reason, told = True, "interrupted", None


def test_a_stop_ends_the_wait_for_the_model(tmp_path: Path) -> None:
    # The port of a server that is not there.
    settings = Settings(
        home=tmp_path / "home", sinks=("mlflow",), mlflow_tracking_uri="http://127.0.0.1:9", capture=()
    )
    with start_run("pretrain", settings=settings) as run, stopping_with(Asked()):
        began = time.monotonic()
        with pytest.raises(Interrupted, match=f"before MLflow had the model of run {run.id}"):
            register(run, log_policy(run, of_jax()), 64, {})
        assert time.monotonic() - began < DELIVERY_SECONDS / 2  # where the wait alone would end, in vain
        run.finish("killed", timeout=0.0)
