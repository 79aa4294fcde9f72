"""A loop of one's own, recorded: PPO of Stable-Baselines3 on CartPole. docs/tutorial.md goes through it.

python train.py                 # with the defaults
python train.py winner.toml     # with the configuration that a study found
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

import touchline
from touchline.catalog import Catalog, tell_milestone
from touchline.catalog.milestones import Milestone
from touchline.integrations.stable_baselines3 import TouchlineCallback
from touchline.tuning import read_winner

MILESTONES = {
    "cartpole": Milestone("cartpole", "cartpole", "Candidate", may_register=True),
    "judge": Milestone("judge", "cartpole", "Champion", may_promote=True),
}


@dataclass(frozen=True)
class TrainConfig:
    total_steps: int = 16_384
    """Policy transitions."""
    learning_rate: float = 1e-4
    """A first guess, and too careful a one: the tutorial's study finds a better one."""
    gamma: float = 0.98
    seed: int = 0


def train(config: TrainConfig, run) -> float:
    """Train, report the score as it goes, and keep the policy; `touchline tune train:train` calls this too."""
    torch.set_num_threads(1)  # for networks as small as these
    model = PPO(
        "MlpPolicy",
        make_vec_env("CartPole-v1", 8, seed=config.seed),
        n_steps=128,
        batch_size=256,
        learning_rate=config.learning_rate,
        gamma=config.gamma,
        seed=config.seed,
        device="cpu",
    )
    callback, evaluation = TouchlineCallback(run), make_vec_env("CartPole-v1", 8, seed=1_000)
    while model.num_timesteps < config.total_steps:
        model.learn(4_096, callback, reset_num_timesteps=False)
        score, _ = evaluate_policy(model, evaluation, n_eval_episodes=16)
        run.report(score, model.num_timesteps)
    with tempfile.TemporaryDirectory() as directory:
        weights = {name.removeprefix("mlp_extractor."): value for name, value in model.policy.state_dict().items()}
        np.savez(Path(directory) / "policy.npz", **weights)
        signature = {"inputs": (-1, 4), "outputs": (-1, 2)}
        run.log_model(directory, code=Path(__file__).with_name("serve.py"), signature=signature)
    return score


if __name__ == "__main__":
    config, tags = read_winner(Path(sys.argv[1]), TrainConfig()) if sys.argv[1:] else (TrainConfig(), {})
    with touchline.start_run("cartpole", config=config, tags=tags) as run:
        train(config, run)
        run.wait_delivered("mlflow", timeout=120, slow=1_800)
        catalog = Catalog.of(run.settings, milestones=MILESTONES)
        version = catalog.register("cartpole", run.mlflow_run_id)
        tell_milestone(run, catalog, version)
        print(version)
