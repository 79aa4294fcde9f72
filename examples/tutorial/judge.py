"""Judge cartpole@Candidate in scenarios of this attempt; if it is better, it becomes champion (docs/tutorial.md)."""

import json
import sys
import tempfile
from pathlib import Path

import gymnasium
import numpy as np
from train import MILESTONES

import touchline
from touchline import gates
from touchline.catalog import Catalog, claim_attempt, decide

SCENARIOS = 200
TASK = "balance"


def play(policy, seeds):
    """How long the pole stays up, as a share of 500 steps: an episode a seed, all side by side."""
    envs = gymnasium.make_vec("CartPole-v1", num_envs=len(seeds), vectorization_mode="sync")
    observations, _ = envs.reset(seed=list(seeds))
    scores, upright = np.zeros(len(seeds)), np.ones(len(seeds), bool)
    while upright.any():
        observations, rewards, fallen, ended, _ = envs.step(policy(observations))
        scores += rewards * upright
        upright &= ~(fallen | ended)
    return scores / 500


def evaluated(name, policy, seeds):
    scenarios = {TASK: tuple(str(seed) for seed in seeds)}
    return gates.Evaluation(name, {TASK: play(policy, seeds)}, scenarios=scenarios)


def loaded(version):
    model = touchline.load_model(f"{version.name}/{version.version}")
    return lambda observations: model.predict(observations).argmax(axis=1)


catalog = Catalog.of(touchline.Settings.load(), milestones=MILESTONES)
candidate = catalog.find("cartpole@Candidate")
if "Champion" in candidate.aliases:
    sys.exit(f"{candidate} is the champion already.")

with touchline.start_run("judge") as run:
    attempt = claim_attempt(catalog, candidate, run_id=run.id, job="judge")
    seeds = gates.scenario_seeds(attempt.reign, attempt.number, TASK, SCENARIOS)
    contest = gates.Contest(
        evaluated(str(candidate), loaded(candidate), seeds),
        evaluated("pushing left", lambda observations: np.zeros(len(observations), int), seeds),
        evaluated("the champion", loaded(attempt.champion), seeds) if attempt.champion else None,
        attempt=attempt.number,
    )
    verdict = gates.gate3(contest)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "evidence.json"
        file.write_text(json.dumps(gates.evidence(verdict, contest)))
        run.log_artifact(file)
    run.wait_delivered("mlflow", timeout=120, slow=1_800)
    told = gates.tags(verdict, contest) | {"evidence": f"runs:/{run.mlflow_run_id}/evidence.json"}
    decide(run, catalog, attempt, told)
    print(f"{verdict.word}: {verdict.reason}")
