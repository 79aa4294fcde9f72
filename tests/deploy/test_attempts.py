"""A bundle's tasks, played through on machines that are taken back: see ``playing``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from tests.deploy.playing import Workspace, start
from touchline.deploy.bundle import write_bundle
from touchline.deploy.config import DatabricksConfig
from touchline.deploy.databricks import job
from touchline.jobs.history import JOB_DIGEST
from touchline.testing.mlflow_server import lack, mlflow_server
from touchline.testing.unity_catalog import environment_of, unity_catalog

SMALL = """
[pretrain]
total_steps = 9_600
num_envs = 64
evaluation_episodes = 2
[pretrain.recording]
checkpoint_every = 3_200
"""
METRIC = "train/episode_reward"


@pytest.mark.slow
@pytest.mark.skipif(bool(lack()), reason=lack())
def test_a_task_goes_on_where_its_machine_was_taken_back(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    config = DatabricksConfig(recipe="smoke", config=str(tmp_path / "small.toml"))
    write_bundle(tmp_path / "bundle", config)
    tasks = {task["task_key"]: task for task in job(config)["tasks"]}
    with mlflow_server(tmp_path / "server", workers=1) as url, unity_catalog() as catalog:
        variables = {**environment_of(catalog), "MLFLOW_TRACKING_URI": url}
        workspace = Workspace(tmp_path / "bundle", variables, tmp_path)

        taken = start(workspace, tasks["pretrain"], 1)
        taken.until(lambda attempt: known(url) and any(workspace.volume.rglob("manifest.json")))
        taken.take_machine()
        (before,) = known(url)
        assert before.info.status == "RUNNING", "nobody was left to tell of its end"

        second = start(workspace, tasks["pretrain"], 2)
        assert second.wait() == 0, second.said
        assert f"Going on with the run {before.info.run_name} after" in second.said
        (run,) = known(url)
        assert (run.info.run_id, run.info.status) == (before.info.run_id, "FINISHED")
        steps = [metric.step for metric in MlflowClient(url).get_metric_history(run.info.run_id, METRIC)]
        assert len(steps) == len(set(steps)), "each step has one value, although a part was done twice"
        assert max(steps) >= 9_000
        assert catalog.models["booster_soccer.rl_models.mjx_sac"].aliases == {"candidate-pretrain": 1}


def known(url: str) -> list[Any]:
    """The runs that the server knows and can be found by their configuration, the oldest first."""
    client = MlflowClient(url)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, order_by=["attributes.start_time ASC"])
    return [run for run in runs if JOB_DIGEST in run.data.tags]
