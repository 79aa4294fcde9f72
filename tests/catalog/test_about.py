from dataclasses import replace

from touchline.catalog.about import about


def test_figures_and_film_are_those_of_the_step_at_which_the_model_was_taken(catalog, log_model):
    run = log_model("finetune")
    for step, score in ((10, -1.0), (20, -2.0)):
        catalog.client.log_metric(run, "eval/score", score, step=step)
        catalog.client.log_metric(run, "eval/goalie/score", score, step=step)
        catalog.client.log_metric(run, "train/loss", score, step=step)
        catalog.client.log_text(run, "film", f"videos/rollout-{step}.mp4")
    catalog.client.log_text(run, "numpy==2.4.6\nbroken\n", "source/packages.txt")
    found = about(catalog, catalog.register("finetune", run, tags={"touchline_step": "10"}))
    assert (found.step, dict(found.metrics)) == (10, {"eval/score": -1.0})
    assert (found.film.path, found.film.step) == ("videos/rollout-10.mp4", 10)
    assert found.film.address.startswith("#/experiments/")
    assert dict(found.packages) == {"numpy": "2.4.6"}
    assert found.parents == ("finetune 3f2a",)


def test_of_a_version_whose_run_is_gone_the_registry_s_part_is_left(catalog, log_model):
    version = catalog.register("finetune", log_model("finetune"))
    for run_id in ("", "0" * 32):
        found = about(catalog, replace(version, mlflow_run_id=run_id))
        assert (found.version.digest, found.metrics, found.film) == (version.digest, {}, None)
