"""A DDPG loop that speaks to MLflow; one import line sends it through Touchline to both tracks.

    python examples/compat_mlflow_ddpg.py --timesteps 2000

Deep deterministic policy gradient (Lillicrap et al., 2016) on Gymnasium's pendulum. The tracking is what such scripts
usually have: a progress bar, a few numbers an episode, and the saved model as an artifact. Needs torch, gymnasium
and tqdm.
"""

from __future__ import annotations

import argparse
import copy
import random
from collections import deque
from pathlib import Path

import gymnasium
import numpy as np
import torch
from torch import nn
from tqdm import tqdm

import touchline.compat.mlflow as mlflow  # the one line that changes: it was ``import mlflow``

DISCOUNT, SOFTNESS, BATCH = 0.99, 0.005, 64


def network(inputs: int, outputs: int, *last: nn.Module) -> nn.Sequential:
    """Two hidden layers of 64."""
    return nn.Sequential(
        nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, outputs), *last
    )


class Agent:
    """Actor and critic, their targets and their optimisers."""

    def __init__(self, observations: int, actions: int, rate: float) -> None:
        self.actor = network(observations, actions, nn.Tanh())
        self.critic = network(observations + actions, 1)
        self.targets = copy.deepcopy(self.actor), copy.deepcopy(self.critic)
        self.optimisers = [torch.optim.Adam(part.parameters(), lr=rate) for part in (self.actor, self.critic)]

    def train(self, batch: list[tuple[np.ndarray, np.ndarray, float, np.ndarray, bool]]) -> tuple[float, float]:
        """One gradient step; returns the critic's and the actor's loss."""
        state, action, reward, following, ended = (
            torch.as_tensor(np.array(part), dtype=torch.float32) for part in zip(*batch, strict=True)
        )
        target_actor, target_critic = self.targets
        with torch.no_grad():
            value = target_critic(torch.cat([following, target_actor(following)], 1)).squeeze(1)
            wanted = reward + DISCOUNT * (1 - ended) * value
        critic_loss = nn.functional.mse_loss(self.critic(torch.cat([state, action], 1)).squeeze(1), wanted)
        actor_loss = -self.critic(torch.cat([state, self.actor(state)], 1)).mean()
        for loss, optimiser in ((actor_loss, self.optimisers[0]), (critic_loss, self.optimisers[1])):
            optimiser.zero_grad()
            loss.backward(retain_graph=loss is actor_loss)
        for optimiser in self.optimisers:
            optimiser.step()
        for target, part in zip(self.targets, (self.actor, self.critic), strict=True):
            for old, new in zip(target.parameters(), part.parameters(), strict=True):
                old.data.lerp_(new.data, SOFTNESS)
        return critic_loss.item(), actor_loss.item()


def main(arguments: argparse.Namespace) -> None:
    """Train, and log an episode a row."""
    random.seed(arguments.seed)
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)  # networks of 64 units lose time on more
    noise = np.random.default_rng(arguments.seed)
    env = gymnasium.make("Pendulum-v1")
    agent = Agent(env.observation_space.shape[0], env.action_space.shape[0], arguments.rate)
    buffer: deque[tuple[np.ndarray, np.ndarray, float, np.ndarray, bool]] = deque(maxlen=100_000)

    mlflow.set_experiment("booster-ddpg")
    with mlflow.start_run(run_name="ddpg"):
        mlflow.log_params(vars(arguments))
        total, episode = 0, 0
        bar = tqdm(total=arguments.timesteps, desc="training", unit="step")
        while total < arguments.timesteps:
            state, _ = env.reset(seed=arguments.seed + episode)
            reward_sum, length, critic_loss, actor_loss, done = 0.0, 0, 0.0, 0.0, False
            while not done and total < arguments.timesteps:
                with torch.no_grad():
                    action = agent.actor(torch.as_tensor(state, dtype=torch.float32)).numpy()
                action = np.clip(action + noise.normal(0, 0.2, action.shape), -1, 1)
                following, reward, terminated, truncated, _ = env.step(2 * action)
                done = terminated or truncated
                buffer.append((state, action, float(reward), following, terminated))
                state, total, length, reward_sum = following, total + 1, length + 1, reward_sum + float(reward)
                if len(buffer) >= BATCH:
                    critic_loss, actor_loss = agent.train(random.sample(buffer, BATCH))
                bar.update(1)
            mlflow.log_metrics(
                {"episode_reward": reward_sum, "critic_loss": critic_loss, "actor_loss": actor_loss}, step=total
            )
            mlflow.log_metric("episode_length", length)
            bar.set_description(f"episode {episode}: {reward_sum:.0f}")
            episode += 1
        bar.close()
        path = Path(arguments.save_dir) / "ddpg.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(agent.actor.state_dict(), path)
        mlflow.log_artifact(str(path), "model")
        mlflow.set_tag("episodes", episode)
    env.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--timesteps", type=int, default=20_000, help="steps of the environment")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate of actor and critic")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers")
    parser.add_argument("--save_dir", default="exp", help="directory of the saved model")
    main(parser.parse_args())
