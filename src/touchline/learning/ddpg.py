"""DDPG in PyTorch: the networks the competition knows as ``DDPG_FF``, and one update.

Source: Lillicrap et al. (2016), "Continuous control with deep reinforcement learning" (arXiv 1509.02971). The
anchor to the starting actor follows TD3+BC, Fujimoto and Gu (2021), arXiv 2106.06860.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from touchline.learning.ddpg_config import DdpgConfig


class Mlp(nn.Module):
    """ReLU layers, then an optional tanh: (b, n) → (b, m)."""

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, *, squash: bool) -> None:
        super().__init__()
        sizes = [inputs, *hidden, outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.squash = squash

    def logits(self, x: Tensor) -> Tensor:
        """Return the last layer's output before tanh."""
        last = len(self.layers) - 1
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i < last:
                x = torch.relu(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Return the output."""
        x = self.logits(x)
        return torch.tanh(x) if self.squash else x


class DDPG_FF(nn.Module):
    """Actor, critic and their targets; ``forward`` is the actor, so the module itself is a policy.

    Inputs are observations already normalised, shape (b, n); actions are in [-1, 1], shape (b, m).
    """

    def __init__(self, actor: Mlp, config: DdpgConfig) -> None:
        super().__init__()
        self.config = config
        first, last = actor.layers[0], actor.layers[-1]
        assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
        self.actor = actor
        inputs = first.in_features + last.out_features
        self.critic = Mlp(inputs, config.critic_hidden, 1, squash=False)
        self.start_actor = copy.deepcopy(actor).requires_grad_(False)
        self.target_actor = copy.deepcopy(actor).requires_grad_(False)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.actor_optimiser = torch.optim.Adam(actor.parameters(), lr=config.actor_lr)
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), lr=config.critic_lr)

    def forward(self, observation: Tensor) -> Tensor:
        """Return actions."""
        action: Tensor = self.actor(observation)
        return action

    def update(
        self,
        observation: Tensor,
        action: Tensor,
        reward: Tensor,
        next_observation: Tensor,
        terminated: Tensor,
        *,
        train_actor: bool,
    ) -> dict[str, float]:
        """Make one update from a batch of shapes (b, n), (b, m), (b,), (b, n), (b,) and return its metrics.

        ``terminated`` is 1.0 for a true end; a time-out is 0.0 and bootstraps.
        """
        config = self.config
        with torch.no_grad():
            next_action = self.target_actor(next_observation)
            following = self.target_critic(torch.cat([next_observation, next_action], -1))[:, 0]
            target = config.reward_scale * reward + config.gamma * (1 - terminated) * following
        value = self.critic(torch.cat([observation, action], -1))[:, 0]
        critic_loss = nn.functional.mse_loss(value, target)
        _descend(self.critic_optimiser, critic_loss, self.critic)
        metrics = {
            "critic_loss": float(critic_loss.detach()),
            "q_mean": float(value.detach().mean()) / config.reward_scale,
        }
        if train_actor:
            wanted = self.actor(observation)
            worth = self.critic(torch.cat([observation, wanted], -1))[:, 0]
            distance = ((wanted - self.start_actor(observation)) ** 2).mean()
            actor_loss = -worth.mean() / worth.detach().abs().mean().clamp_min(1e-3) + config.anchor * distance
            _descend(self.actor_optimiser, actor_loss, self.actor)
            _follow(self.target_actor, self.actor, config.tau)
            metrics |= {"actor_loss": float(actor_loss.detach()), "anchor_distance": float(distance.detach())}
        _follow(self.target_critic, self.critic, config.tau)
        return metrics


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor, module: nn.Module) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimiser.step()


@torch.no_grad()
def _follow(target: nn.Module, source: nn.Module, tau: float) -> None:
    for old, new in zip(target.parameters(), source.parameters(), strict=True):
        old.lerp_(new, tau)
