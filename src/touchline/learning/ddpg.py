"""DDPG in PyTorch: the networks the competition knows as ``DDPG_FF``, and one update.

Source: Lillicrap et al. (2016), "Continuous control with deep reinforcement learning" (arXiv 1509.02971). The
anchor to the starting actor follows TD3+BC, Fujimoto and Gu (2021), arXiv 2106.06860; one output a reward follows
van Seijen et al. (2017), "Hybrid reward architecture" (arXiv 1706.04208).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from touchline.learning.ddpg_config import DdpgConfig
from touchline.learning.flat import FlatParameters
from touchline.learning.replay import Transitions

LARGEST_GRADIENT = 1.0
"""Norm to which the gradient of each network is cut."""


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

    def kept(self, x: Tensor) -> list[Tensor]:
        """Return what each layer is given, and last the output before tanh: what ``back`` needs."""
        kept = [x]
        for layer in self.layers:
            x = torch.addmm(layer.bias, x, layer.weight.t())
            kept.append(x if len(kept) == len(self.layers) else x.relu_())
        return kept

    def back(self, kept: Sequence[Tensor], gradient: Tensor, *, to_input: bool) -> Tensor:
        """Take the gradient of the output before tanh, (b, m), back through the layers.

        Returns that of the input, (b, n), with ``to_input``; else fills the ``grad`` of the parameters. It is what
        autograd computes; without a graph, which costs more than layers so small, an update takes half as long.
        """
        for i in reversed(range(len(self.layers))):
            layer = self.layers[i]
            if not to_input:
                torch.mm(gradient.t(), kept[i], out=layer.weight.grad)
                torch.sum(gradient, 0, out=layer.bias.grad)
                if i == 0:
                    break
            gradient = gradient @ layer.weight
            if i > 0:
                gradient *= kept[i] > 0
        return gradient


class DDPG_FF(nn.Module):
    """Actor, critic and their targets; ``forward`` is the actor, so the module itself is a policy.

    Inputs are observations already normalised, shape (b, n); actions are in [-1, 1], shape (b, m). The critic has two
    outputs, for two rewards that end and look ahead differently:

    - The dense reward would have gone on after a time-out, so its value bootstraps there and stops at a true end.
    - The score is paid once, when an episode ends, by a fall, a goal or the clock. Its value is learnt from what
      finished episodes came to: one bootstrap a step would have to carry it back over hundreds of steps, and was
      measured not to arrive. Only in an episode that still runs does it bootstrap.

    The actor follows a mixture of both, so annealing from one to the other leaves the values, and every transition
    in the replay buffer, as right as they were.
    """

    def __init__(self, actor: Mlp, config: DdpgConfig) -> None:
        super().__init__()
        self.config = config
        self._scales = torch.tensor([config.reward_scale or 1.0, config.score_scale or 1.0])
        first, last = actor.layers[0], actor.layers[-1]
        assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
        self.actor = actor
        self.critic = Mlp(first.in_features + last.out_features, config.critic_hidden, 2, squash=False)
        self.start_actor = copy.deepcopy(actor).requires_grad_(False)
        self.target_actor = copy.deepcopy(actor).requires_grad_(False)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self._actor, self._critic = FlatParameters(actor), FlatParameters(self.critic)
        self._target_actor, self._target_critic = (
            FlatParameters(self.target_actor),
            FlatParameters(self.target_critic),
        )
        self.actor_optimiser = torch.optim.Adam([self._actor.vector], lr=config.actor_lr, fused=True)
        self.critic_optimiser = torch.optim.Adam([self._critic.vector], lr=config.critic_lr, fused=True)

    def forward(self, observation: Tensor) -> Tensor:
        """Return actions."""
        action: Tensor = self.actor(observation)
        return action

    @torch.no_grad()
    def update(
        self, batch: Transitions[Tensor], *, train_actor: bool, score_share: float = 0.0, anchor: float = 0.0
    ) -> dict[str, Tensor]:
        """Make one update from a batch and return its metrics, each a tensor without axes.

        Args:
            batch: transitions with normalised observations.
            train_actor: whether the actor learns too, or the critic alone.
            score_share: share of the score in what the actor follows; the rest is the dense reward's.
            anchor: weight of the squared distance to the starting actor.
        """
        config, size = self.config, len(batch.reward)
        next_action = self.target_actor.kept(batch.next_observation)[-1].tanh_()
        following = self.target_critic.kept(torch.cat([batch.next_observation, next_action], -1))[-1]
        dense_follows, score_follows = (
            following[:, 0] * (1.0 - batch.terminated),
            following[:, 1] * (1.0 - batch.ended),
        )
        target = torch.stack(
            [
                config.reward_scale * batch.reward + config.gamma * dense_follows,
                config.score_scale * batch.score + config.score_gamma * score_follows,
            ],
            dim=-1,
        )
        critic = self.critic.kept(torch.cat([batch.observation, batch.action], -1))
        error = critic[-1] - target
        self.critic.back(critic, error / size, to_input=False)  # of the mean square over both outputs
        self._critic.step(self.critic_optimiser, LARGEST_GRADIENT)
        dense, score = critic[-1].mean(0) / self._scales
        metrics = {"critic_loss": error.square().mean(), "q_mean": dense, "q_score_mean": score}
        if train_actor:
            actor = self.actor.kept(batch.observation)
            wanted = actor[-1].tanh()
            critic = self.critic.kept(torch.cat([batch.observation, wanted], -1))
            # Each part is brought to 1, so that shares and the anchor mean the same at any scale of reward.
            weight = torch.tensor([1.0 - score_share, score_share]) / critic[-1].abs().mean(0).clamp_(min=1e-3)
            away = wanted - self.start_actor.kept(batch.observation)[-1].tanh_()
            uphill = self.critic.back(critic, (weight / size).expand(size, 2), to_input=True)[:, -wanted.shape[1] :]
            downhill = away * (2.0 * anchor / away.numel()) - uphill
            self.actor.back(actor, downhill * (1.0 - wanted.square()), to_input=False)
            self._actor.step(self.actor_optimiser, LARGEST_GRADIENT)
            self._target_actor.follow(self._actor, config.tau)
            distance = away.square().mean()
            actor_loss = anchor * distance - (critic[-1].mean(0) * weight).sum()
            metrics |= {"actor_loss": actor_loss, "anchor_distance": distance}
        self._target_critic.follow(self._critic, config.tau)
        return metrics
