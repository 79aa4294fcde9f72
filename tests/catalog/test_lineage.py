import pytest

from touchline.catalog import claim_attempt, lineage, promote, render
from touchline.errors import UsageError

PASSED = {"passed": "true", "reason": "It is better."}


@pytest.fixture
def champion(catalog, log_model):
    """A champion with the whole history: pre-train version, convert run, fine-tune run."""
    pretrained = catalog.register("pretrain", log_model("pretrain", run_id="aaaa"))
    converted = catalog.logged(log_model("convert", run_id="bbbb", inputs={"model": pretrained.uri}))
    tuned = log_model("finetune", run_id="cccc", inputs={"actor": converted.uri})
    attempt = claim_attempt(catalog, catalog.register("finetune", tuned), run_id="dddd")
    return promote(catalog, attempt, PASSED).champion


def test_a_champion_leads_back_to_the_pretrained_model(catalog, champion):
    titles = [node.title for node in lineage(catalog, "ddpg_finetuned@Champion").walk()]
    assert titles == [
        "club.models.ddpg_finetuned version 1 @Candidate-Finetuned @Champion",
        "finetune cccc",
        "convert bbbb",
        "club.models.mjx_sac version 1 @Candidate-Pretrain",
        "pretrain aaaa",
    ]


def test_it_is_drawn_as_a_tree(catalog, champion):
    lines = render(lineage(catalog, "ddpg_finetuned@Champion")).splitlines()
    assert [line.index(line.lstrip(" └├│─")[0]) for line in lines] == [0, 3, 6, 9, 12]
    assert champion.digest[:12] in lines[0]
    assert lines[1].startswith("└─ finetune cccc")


def test_a_deleted_ancestor_is_shown_as_missing(catalog, champion):
    catalog.client.delete_model_version("club.models.mjx_sac", "1")
    last = list(lineage(catalog, "ddpg_finetuned@Champion").walk())[-1]
    assert (last.kind, last.detail) == ("missing", "model: deleted")


def test_runs_that_name_each_other_end_the_tree(catalog, log_model):
    run = log_model("finetune", run_id="aaaa")
    version = catalog.register("finetune", run)
    catalog.client.set_tag(run, "touchline.input.model", version.uri)
    nodes = list(lineage(catalog, "ddpg_finetuned/1").walk())
    assert nodes[-1].kind == "missing"
    assert "circle" in nodes[-1].detail


def test_the_lineage_of_nothing_is_refused(catalog):
    with pytest.raises(UsageError, match="no alias 'Champion'"):
        lineage(catalog, "ddpg_finetuned@Champion")
