"""The model that the competition's scripts make: its constructor, attributes and methods, on Touchline's networks.

Source: Lillicrap et al. (2016), arXiv 1509.02971. ``touchline.learning.ddpg`` is the one that *finetune* trains.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from touchline.learning.ddpg import LARGEST_GRADIENT, Mlp
from touchline.learning.flat import FlatParameters

Activation = Callable[[Tensor], Tensor]


class _Network(Mlp):
    """An ``Mlp`` with an activation of one's own."""

    def __init__(self, sizes: Sequence[int], activation: Activation, *, squash: bool) -> None:
        super().__init__(sizes[0], sizes[1:-1], sizes[-1], squash=squash)
        self._activation = activation

    def logits(self, x: Tensor) -> Tensor:
        """Return the last layer's output before tanh."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self._activation(layer(x))
        return torch.as_tensor(last(x))


class DDPG_FF(nn.Module):
    """Actor and critic of the same hidden widths ``neurons``, with targets; ``forward`` is the actor.

    ``gamma`` and ``tau`` are attributes, 0.99 and 0.001 as in the competition: at the 500 Hz of its environments 0.99
    looks 0.2 s ahead. Actions are in [-1, 1], shape (b, m); observations are (b, n).
    """

    def __init__(
        self,
        n_features: int,
        action_space: Any,
        neurons: Sequence[int],
        activation_function: Activation,
        learning_rate: float,
    ) -> None:
        super().__init__()
        self.action_space, self.learning_rate = action_space, learning_rate
        self.gamma, self.tau = 0.99, 0.001
        actions = int(action_space.shape[0])
        self.actor = _Network([n_features, *neurons, actions], activation_function, squash=True)
        self.critic = _Network([n_features + actions, *neurons, 1], activation_function, squash=False)
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self._actor, self._critic = FlatParameters(self.actor), FlatParameters(self.critic)
        self._target_actor, self._target_critic = (
            FlatParameters(self.target_actor),
            FlatParameters(self.target_critic),
        )
        self.actor_optimizer = torch.optim.Adam([self._actor.vector], lr=learning_rate, fused=True)
        self.critic_optimizer = torch.optim.Adam([self._critic.vector], lr=learning_rate, fused=True)

    def forward(self, observation: Tensor) -> Tensor:
        """Return actions."""
        return torch.as_tensor(self.actor(observation.float()))

    def select_action(self, observation: Any) -> NDArray[np.float32]:
        """Return the actions of an array of observations, as an array."""
        with torch.inference_mode():
            return np.asarray(self(torch.as_tensor(observation)).numpy())

    def train(  # type: ignore[override]
        self,
        states: Any = True,
        actions: Any = None,
        rewards: Any = None,
        next_states: Any = None,
        dones: Any = None,
        epochs: int = 1,
    ) -> Any:
        """Make ``epochs`` updates from a batch and return the mean losses of critic and actor.

        Arrays of shape (b, n), (b, m), (b, 1), (b, n), (b, 1); ``dones`` is 1 for a true end only. With no more than
        ``states`` it is PyTorch's own ``train(mode)``.
        """
        if actions is None:
            return super().train(states)
        parts = (states, actions, rewards, next_states, dones)
        batch = [torch.as_tensor(part, dtype=torch.float32) for part in parts]
        losses = [self._update(*batch) for _ in range(epochs)]
        return tuple(sum(part) / epochs for part in zip(*losses, strict=True))

    def _update(
        self, state: Tensor, action: Tensor, reward: Tensor, following: Tensor, done: Tensor
    ) -> tuple[float, float]:
        with torch.no_grad():
            value = self.target_critic(torch.cat([following, self.target_actor(following)], -1))
            target = reward + self.gamma * (1.0 - done) * value
        critic_loss = nn.functional.mse_loss(self.critic(torch.cat([state, action], -1)), target)
        self._critic.descend(critic_loss, self.critic_optimizer, LARGEST_GRADIENT)
        actor_loss = -self.critic(torch.cat([state, self.actor(state)], -1)).mean()
        self._actor.descend(actor_loss, self.actor_optimizer, LARGEST_GRADIENT)
        self._target_actor.follow(self._actor, self.tau)
        self._target_critic.follow(self._critic, self.tau)
        return float(critic_loss.detach()), float(actor_loss.detach())
