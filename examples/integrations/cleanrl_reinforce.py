"""REINFORCE in one file, in the style of CleanRL; one line of it changes.

    python examples/integrations/cleanrl_reinforce.py --total-timesteps 50000

The changed line ends in ``# touchline``: it was ``from torch.utils.tensorboard import SummaryWriter``.
"""

import argparse
import time

import gymnasium as gym
import torch
from torch import nn, optim
from torch.distributions import Categorical

from touchline.compat.tensorboard import SummaryWriter  # touchline

parser = argparse.ArgumentParser()
parser.add_argument("--total-timesteps", type=int, default=50_000, help="policy transitions")
parser.add_argument("--learning-rate", type=float, default=3e-3, help="of Adam")
parser.add_argument("--gamma", type=float, default=0.99, help="discount")
parser.add_argument("--seed", type=int, default=1, help="of the random numbers")
args = parser.parse_args()

writer = SummaryWriter(f"runs/CartPole-v1__cleanrl_reinforce__{args.seed}__{int(time.time())}")
table = "\n".join(f"|{key}|{value}|" for key, value in vars(args).items())
writer.add_text("hyperparameters", f"|param|value|\n|-|-|\n{table}")

torch.manual_seed(args.seed)
env = gym.wrappers.RecordEpisodeStatistics(gym.make("CartPole-v1"))
policy = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 2))
optimizer = optim.Adam(policy.parameters(), lr=args.learning_rate)

global_step, start_time = 0, time.time()
while global_step < args.total_timesteps:
    obs, _ = env.reset(seed=args.seed + global_step)
    log_probs, rewards, done = [], [], False
    while not done:
        distribution = Categorical(logits=policy(torch.as_tensor(obs)))
        action = distribution.sample()
        obs, reward, terminated, truncated, info = env.step(action.item())
        log_probs.append(distribution.log_prob(action))
        rewards.append(float(reward))
        global_step, done = global_step + 1, terminated or truncated

    returns, discounted = [], 0.0
    for reward in reversed(rewards):
        discounted = reward + args.gamma * discounted
        returns.insert(0, discounted)
    target = torch.tensor(returns)
    loss = -(torch.stack(log_probs) * (target - target.mean()) / (target.std() + 1e-8)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

    writer.add_scalar("charts/episodic_return", info["episode"]["r"], global_step)
    writer.add_scalar("charts/episodic_length", info["episode"]["l"], global_step)
    writer.add_scalar("losses/policy_loss", loss.item(), global_step)
    writer.add_scalar("charts/SPS", int(global_step / (time.time() - start_time)), global_step)

env.close()
writer.close()
