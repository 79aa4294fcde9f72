import threading

import numpy as np
import pytest
from mlflow.models import ModelSignature

from tests.catalog.conftest import array
from touchline.catalog import Catalog, directory_digest, load_model
from touchline.catalog.milestones import MILESTONES, Milestone
from touchline.errors import TouchlineError, UsageError


def test_a_registered_model_is_found_by_its_job_s_alias(catalog, log_model, policy):
    version = catalog.register("pretrain", log_model("pretrain"), digest=directory_digest(policy))
    assert str(version) == "club.models.mjx_sac version 1"
    assert version.aliases == ("Candidate-Pretrain",)
    assert (version.run_id, version.digest) == ("3f2a", directory_digest(policy))
    assert catalog.resolve("mjx_sac", "Candidate-Pretrain") == version
    assert catalog.find("club.models.mjx_sac@Candidate-Pretrain") == version
    assert catalog.find("mjx_sac/1") == version


@pytest.mark.parametrize("alias", ["candidate-finetuned", "CANDIDATE-FINETUNED"])
def test_the_case_of_an_alias_does_not_matter(catalog, log_model, alias):
    version = catalog.register("finetune", log_model())
    assert catalog.resolve("ddpg_finetuned", alias) == version


def test_a_second_spelling_of_an_alias_that_means_another_version_is_told(catalog, log_model):
    catalog.register("finetune", log_model(gain=1.0))
    catalog.register("finetune", log_model(gain=2.0))
    catalog.client.set_registered_model_alias("club.models.ddpg_finetuned", "candidate-FINETUNED", "1")
    with pytest.raises(TouchlineError, match="ambiguous"):
        catalog.resolve("ddpg_finetuned", "Candidate-Finetuned")


def test_setting_an_alias_leaves_one_spelling(catalog, log_model):
    catalog.register("finetune", log_model(gain=1.0))
    catalog.client.set_registered_model_alias("club.models.ddpg_finetuned", "candidate-FINETUNED", "1")
    second = catalog.register("finetune", log_model(gain=2.0))
    assert catalog.resolve("ddpg_finetuned", "Candidate-Finetuned") == second
    assert catalog.get("ddpg_finetuned", 1).aliases == ()


def test_registering_again_returns_the_same_version(catalog, log_model):
    run = log_model()
    first = catalog.register("finetune", run)
    assert catalog.register("finetune", run) == first
    assert len(catalog.versions("ddpg_finetuned")) == 1


def test_registering_an_old_run_again_leaves_the_alias_with_the_newer_one(catalog, log_model):
    old, new = log_model(gain=1.0), log_model(gain=2.0)
    catalog.register("finetune", old)
    newest = catalog.register("finetune", new)
    catalog.register("finetune", old)
    assert catalog.resolve("ddpg_finetuned", "Candidate-Finetuned") == newest


def test_two_at_once_register_one_version(catalog, log_model, settings):
    run = log_model()
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(Catalog.of(settings).register("finetune", run)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [version.version for version in found] == [1, 1, 1, 1]


@pytest.mark.parametrize("job", ["convert", "gate3", "setup", "submit"])
def test_a_job_whose_row_does_not_allow_it_registers_nothing(catalog, log_model, job):
    run = log_model(job)
    with pytest.raises(TouchlineError, match=f"{job!r} may not register.*pretrain, finetune"):
        catalog.register(job, run)
    assert catalog.client.search_registered_models() == []


def test_a_misspelt_job_is_told_the_nearest(catalog):
    with pytest.raises(UsageError, match="Did you mean 'pretrain'"):
        catalog.register("pretrian", "x")


@pytest.mark.parametrize("signature", [None, ModelSignature(inputs=array(3))], ids=["none", "inputs only"])
def test_a_model_without_a_whole_signature_is_refused(catalog, log_model, signature):
    with pytest.raises(TouchlineError, match="signature with inputs and outputs"):
        catalog.register("finetune", log_model(signature=signature))
    assert catalog.versions("ddpg_finetuned") == ()


def test_a_model_that_is_not_what_the_job_logged_is_refused(catalog, log_model):
    with pytest.raises(TouchlineError, match=f"{'0' * 64} was expected"):
        catalog.register("finetune", log_model(), digest="0" * 64)


def test_a_run_without_the_model_is_told_what_it_has(catalog, log_model):
    with pytest.raises(TouchlineError, match=r"no model 'actor' \(logged: model\).*wait_delivered"):
        catalog.register("finetune", log_model(), model_name="actor")


def test_what_does_not_exist_resolves_to_none(catalog, log_model):
    assert catalog.resolve("ddpg_finetuned", "Champion") is None
    catalog.register("finetune", log_model())
    assert catalog.resolve("ddpg_finetuned", "Champion") is None


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("ddpg_finetuned@Champion", "no alias 'Champion'. Its aliases: @Candidate-Finetuned"),
        ("ddpg_finetuned/7", "no version 7. Its versions: 1"),
        ("ddpg_finetuned", "names no version"),
    ],
)
def test_a_reference_to_nothing_is_told_what_there_is(catalog, log_model, reference, message):
    catalog.register("finetune", log_model())
    with pytest.raises(UsageError, match=message):
        catalog.find(reference)


def test_a_download_is_the_payload_that_was_logged(catalog, log_model, policy, tmp_path):
    version = catalog.register("finetune", log_model())
    payload = catalog.download(version, tmp_path / "copy")
    assert directory_digest(payload) == directory_digest(policy) == version.digest
    assert catalog.download(version, tmp_path / "copy") == payload


def test_a_logged_model_is_downloaded_without_being_registered(catalog, log_model, policy, tmp_path):
    digest = directory_digest(policy)
    logged = catalog.logged(log_model("convert", metadata={"touchline_digest": digest}))
    assert directory_digest(catalog.download(logged, tmp_path / "copy")) == digest


def test_a_model_without_a_digest_is_not_downloaded(catalog, log_model, tmp_path):
    with pytest.raises(TouchlineError, match="has no digest"):
        catalog.download(catalog.logged(log_model("convert")), tmp_path / "copy")


def test_a_loaded_model_acts(catalog, log_model, settings):
    catalog.register("finetune", log_model(gain=0.25))
    model = load_model("ddpg_finetuned@candidate-finetuned", settings)
    np.testing.assert_array_equal(model.predict(np.zeros((4, 3), np.float32)), np.full((4, 2), 0.25, np.float32))


def test_a_damaged_local_copy_is_replaced_by_what_the_store_has(catalog, log_model, settings):
    version = catalog.register("finetune", log_model(gain=0.25))
    catalog.load(version)
    copy = settings.home / "models" / "club.models.ddpg_finetuned" / "1" / "artifacts" / "policy" / "policy.json"
    copy.write_text('{"gain": 9}')
    assert catalog.load(version).predict(np.zeros((1, 3), np.float32))[0, 0] == 0.25


def test_a_damaged_store_is_told_with_a_remedy(catalog, settings):
    (settings.home / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(TouchlineError, match=r"mlflow\.db"):
        catalog.versions("ddpg_finetuned")


def test_a_job_of_ones_own_registers_by_its_row(settings, log_model):
    rows = {**MILESTONES, "walk": Milestone("walk", "walker", "Candidate", may_register=True)}
    version = Catalog.of(settings, milestones=rows).register("walk", log_model("walk"))
    assert (version.name, version.aliases) == ("club.models.walker", ("Candidate",))
    with pytest.raises(UsageError, match="milestone of a job called"):
        Catalog.of(settings).register("walk", version.mlflow_run_id)
