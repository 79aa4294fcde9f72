"""A loop of one's own, recorded: PPO of Stable-Baselines3 on CartPole. docs/tutorial.md goes through it.

    python train.py                 # with the defaults
    python train.py winner.toml     # with the configuration that a study found
"""

import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

import touchline
from touchline.catalog import Catalog
from touchline.catalog.milestones import Milestone
from touchline.integrations.stable_baselines3 import TouchlineCallback

MILESTONES = {
    "cartpole": Milestone("cartpole", "cartpole", "Candidate", may_register=True),
    "judge": Milestone("judge", "cartpole", "Champion", may_promote=True),
}


@dataclass(frozen=True)
class TrainConfig:
    total_steps: int = 16_384
    """Policy transitions."""
    learning_rate: float = 3e-4
    gamma: float = 0.98
    seed: int = 0


def train(config: TrainConfig, run) -> float:
    """Train, report the score as it goes, and keep the policy; `touchline tune train:train` calls this too."""
    model = PPO(
        "MlpPolicy",
        "CartPole-v1",
        n_steps=512,
        learning_rate=config.learning_rate,
        gamma=config.gamma,
        seed=config.seed,
        device="cpu",
    )
    callback, evaluation_env = TouchlineCallback(run), Monitor(gymnasium.make("CartPole-v1"))
    while model.num_timesteps < config.total_steps:
        model.learn(2_048, callback, reset_num_timesteps=False)
        score, _ = evaluate_policy(model, evaluation_env, n_eval_episodes=10)
        run.report(score, model.num_timesteps)
    with tempfile.TemporaryDirectory() as directory:
        weights = {name.removeprefix("mlp_extractor."): value for name, value in model.policy.state_dict().items()}
        np.savez(Path(directory) / "policy.npz", **weights)
        signature = {"inputs": (-1, 4), "outputs": (-1, 2)}
        run.log_model(directory, code=Path(__file__).with_name("serve.py"), signature=signature)
    return score


if __name__ == "__main__":
    values = tomllib.loads(Path(sys.argv[1]).read_text()) if sys.argv[1:] else {}
    values.pop("lineage", None)
    config = TrainConfig(**values)
    with touchline.start_run("cartpole", config=config) as run:
        train(config, run)
        run.wait_delivered("mlflow", timeout=120)
        print(Catalog.of(run.settings, milestones=MILESTONES).register("cartpole", run.mlflow_run_id))
