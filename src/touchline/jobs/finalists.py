"""The second evaluation of a study's finalists, on episodes that chose neither the policy nor the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from touchline.config import Settings

if TYPE_CHECKING:
    from touchline.jobs.finetune import FinetuneConfig
    from touchline.jobs.pretrain import PretrainConfig

FINALISTS_SEED = 3_000_017
"""Selection has 1,000,003 and 2,000,003, reports have 1,000,033, and gates draw their own."""


def pretrained(config: PretrainConfig, run_id: str, settings: Settings) -> float:
    """Mean return of the run's policy in ``evaluation_episodes`` other episodes of the training scene."""
    from touchline.jax_guard import guard_jax

    guard_jax(settings)
    from touchline.jobs.players import find_player
    from touchline.learning.evaluate_vector import evaluate_vector
    from touchline.simulation.backends import make_envs

    world = config.load_world()
    policy = find_player(settings, run_id, world).policy
    envs = make_envs(world, "native", config.evaluation_episodes)
    try:
        return float(evaluate_vector(envs, policy, seed=FINALISTS_SEED).figures["return"])
    finally:
        envs.close()


def finetuned(config: FinetuneConfig, run_id: str, settings: Settings) -> float:
    """Mean score of the run's policy in as many other scenarios as selected it, at least eight a task."""
    from touchline.jobs.judge import Judge
    from touchline.jobs.players import find_player
    from touchline.jobs.worlds import load_world

    world = load_world(config.world)
    policy = find_player(settings, run_id, world).policy
    seeds = range(FINALISTS_SEED, FINALISTS_SEED + max(8, config.selection_episodes))
    with Judge(config.processes, config.world) as judge:
        return float(judge.evaluate(policy, world.scenarios(seeds, config.perturbation)).mean_score)
