import re

import pytest

from touchline.catalog import Node, lineage
from touchline.catalog.version import DIGEST_TAG
from touchline.errors import UsageError


@pytest.fixture
def champion(catalog, log_model):
    """A champion with the whole history: study, pre-train version, convert run, fine-tune run that was cut off."""
    made = log_model("pretrain", run_id="aaaa", tags={"touchline.study": "sac", "touchline.trial": "12"})
    pretrained = catalog.register("pretrain", made)
    converted = catalog.logged(
        log_model(
            "convert",
            run_id="bbbb",
            inputs={"model": pretrained.uri},
            tags={
                "touchline.input_digest.model": pretrained.digest,
                "touchline.input_run.model": pretrained.mlflow_run_id,
                "parity.worst": "1.2e-06",
            },
        )
    )
    tags = {
        "code.commit": "0123456789ab",
        "code.changes": "none",
        "code.touchline": "0.1.0",
        "touchline.job_digest": "f00d",
        "touchline.resumed.000000001024": f"step-000000001024 sha256 {'c' * 64}",
    }
    tuned = log_model("finetune", run_id="cccc", inputs={"actor": converted.uri}, tags=tags)
    catalog.client.log_param(tuned, "seed", "7")
    version = catalog.register("finetune", tuned)
    catalog.set_alias(version.name, "Champion", version.version)
    return catalog.get(version.name, version.version)


def nodes(catalog, reference="ddpg_finetuned@Champion"):
    return list(lineage(catalog, reference).walk())


def test_a_champion_leads_back_to_the_study_of_the_pretrained_model(catalog, champion):
    found = [(node.kind, re.sub(r"m-\w+", "m-…", node.title)) for node in nodes(catalog)]
    assert found == [
        ("version", "club.models.ddpg_finetuned version 1 @Candidate-Finetuned @Champion"),
        ("run", "finetune cccc"),
        ("checkpoint", "checkpoint step-000000001024"),
        ("model", "actor m-…"),
        ("run", "convert bbbb"),
        ("version", "club.models.mjx_sac version 1 @Candidate-Pretrain"),
        ("run", "pretrain aaaa"),
        ("study", "study sac"),
    ]
    assert not any(node.trouble for node in nodes(catalog))


def test_each_part_tells_what_identifies_it(catalog, champion):
    version, run, checkpoint, converted, *_, study = nodes(catalog)
    assert version.facts[0].startswith(f"sha256 {champion.digest[:12]}, registered 2")
    assert run.facts[0].endswith("finished, seed 7, configuration f00d")
    assert run.facts[1] == "code 0123456789ab, touchline 0.1.0"
    assert checkpoint.facts == ("gone on from at step 1,024, sha256 cccccccccccc",)
    assert converted.facts[-1] == "differs from what it was converted from by 1.2e-06 at most"
    assert study.facts == ("configuration of trial 12",)


def test_what_a_run_read_is_known_although_the_version_was_deleted(catalog, champion):
    digest = catalog.get("mjx_sac", 1).digest
    catalog.client.delete_model_version("club.models.mjx_sac", "1")
    gone = next(node for node in nodes(catalog) if node.trouble)
    assert (gone.kind, gone.title, gone.trouble) == ("version", "model club.models.mjx_sac/1", "deleted")
    assert gone.facts == (f"sha256 {digest[:12]}",)
    assert [node.title for node in gone.walk()][1:] == ["pretrain aaaa", "study sac"]


def test_a_version_that_is_not_what_was_read_is_told(catalog, champion):
    catalog.client.set_model_version_tag("club.models.mjx_sac", "1", DIGEST_TAG, "f" * 64)
    changed = next(node for node in nodes(catalog) if node.trouble)
    assert changed.title.startswith("club.models.mjx_sac version 1")
    assert changed.trouble.startswith("not what was read: that had sha256 ")


def test_a_deleted_run_is_shown_as_such_with_what_it_read(catalog, champion):
    catalog.client.delete_run(champion.mlflow_run_id)
    run = nodes(catalog)[1]
    assert run.trouble == "deleted, and still in MLflow's trash"
    assert len(run.parents) == 2


def test_a_run_that_is_gone_ends_the_tree(catalog, champion):
    catalog.client.set_tag(
        champion.mlflow_run_id, "touchline.input.other", "models:/m-00000000000000000000000000000000"
    )
    catalog.client.set_tag(champion.mlflow_run_id, "touchline.input_run.other", "0" * 32)
    gone = [node for node in nodes(catalog) if node.trouble]
    assert [(node.kind, node.trouble) for node in gone] == [("model", "deleted"), ("run", "deleted")]


def test_runs_that_name_each_other_end_the_tree(catalog, log_model):
    run = log_model("finetune", run_id="aaaa")
    version = catalog.register("finetune", run)
    catalog.client.set_tag(run, "touchline.input.model", version.uri)
    assert "circle" in nodes(catalog, "ddpg_finetuned/1")[-1].trouble


def test_a_run_that_no_job_opened_tells_its_steps_back_and_its_commit(catalog, log_model):
    tags = {"touchline.rewinds": "40,80", "git.commit": "0123456789abcdef", "git.dirty": "true"}
    catalog.register("finetune", log_model("finetune", tags=tags))
    _, run, *rewinds = nodes(catalog, "ddpg_finetuned/1")
    assert run.facts[1] == "code 0123456789ab with changes as in source/diff.patch"
    assert [node.title for node in rewinds] == ["checkpoint of step 40", "checkpoint of step 80"]


def test_the_lineage_of_nothing_is_refused(catalog):
    with pytest.raises(UsageError, match="no alias 'Champion'"):
        lineage(catalog, "ddpg_finetuned@Champion")


def test_equal_nodes_are_one():
    assert (
        len({Node("run", "a", parents=(Node("study", "s"),)), Node("run", "a", parents=(Node("study", "s"),))}) == 1
    )
