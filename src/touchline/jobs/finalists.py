"""The second evaluation of a study's finalists, on episodes that chose neither the policy nor the configuration."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from touchline.config import Settings
from touchline.errors import TouchlineError

if TYPE_CHECKING:
    from touchline.jobs.finetune import FinetuneConfig
    from touchline.jobs.pretrain import PretrainConfig
    from touchline.learning.policy import Policy
    from touchline.simulation.world import World

FINALISTS_SEED = 3_000_017
"""Selection has 1,000,003 and 2,000,003, reports have 1,000,033, and gates draw their own."""


def pretrained(config: PretrainConfig, run_id: str, settings: Settings) -> float:
    """Mean return of the run's policy in ``evaluation_episodes`` other episodes of the training scene."""
    from touchline.jax_guard import guard_jax

    guard_jax(settings)
    from touchline.learning.evaluate_vector import evaluate_vector
    from touchline.simulation.backends import make_envs

    world = config.load_world()
    policy = _policy_of(run_id, settings, world)
    envs = make_envs(world, "native", config.evaluation_episodes)
    try:
        return float(evaluate_vector(envs, policy, seed=FINALISTS_SEED).figures["return"])
    finally:
        envs.close()


def finetuned(config: FinetuneConfig, run_id: str, settings: Settings) -> float:
    """Mean score of the run's policy in as many other scenarios as selected it, at least eight a task."""
    from touchline.jobs.judge import Judge
    from touchline.jobs.worlds import load_world

    world = load_world(config.world)
    policy = _policy_of(run_id, settings, world)
    seeds = range(FINALISTS_SEED, FINALISTS_SEED + max(8, config.selection_episodes))
    with Judge(config.processes, config.world) as judge:
        return float(judge.evaluate(policy, world.scenarios(seeds, config.perturbation)).mean_score)


def _policy_of(run_id: str, settings: Settings, world: World) -> Policy:
    """The policy that the run of a trial handed on: from this home, or of a run of another machine from MLflow."""
    from touchline.jobs.players import find_player
    from touchline.tracking.journal import FILE_NAME
    from touchline.tracking.launch import destination

    if (settings.run_directory(run_id) / FILE_NAME).exists():
        return find_player(settings, run_id, world).policy
    from touchline.catalog import Catalog
    from touchline.jobs.deployment import load_deployed
    from touchline.jobs.history import RUN_ID
    from touchline.tracking.mlflow_store import find_experiment

    catalog = Catalog.of(settings)
    experiment = find_experiment(catalog.client, settings)
    runs = experiment and catalog.client.search_runs([experiment.experiment_id], f"tags.`{RUN_ID}` = '{run_id}'")
    if not runs:
        raise TouchlineError(
            f"The run {run_id} is neither in {settings.home} nor in MLflow at {destination('mlflow', settings)}. "
            f"Deliver it from the machine that trained it, with: touchline sync {run_id}"
        )
    with tempfile.TemporaryDirectory(prefix="touchline-") as place:
        return load_deployed(catalog.download(catalog.logged(runs[0].info.run_id), Path(place) / "model"))
