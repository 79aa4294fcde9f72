"""The structure of the competition's DDPG, restated: what it does a step, and with what, but none of its code.

Facts of its ``training_scripts`` (its starter kit, read 2026-11): one Gymnasium ``step`` and one pass of the
preprocessor a physics step; a deque of tuples, sampled by ``random.sample`` and stacked anew for each batch of 64;
one update of critic and actor every fourth step, each with Adam of PyTorch's defaults and gradients cut to norm 1;
targets that move by 0.001 a parameter at a time; both losses read at once. Noise of 0.1 is added to the *scaled*
action, which is then clipped to ±1, and every end counts as a death: ``mended`` takes both mistakes away.
"""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from touchline.soccer.layout import FIELDS

CAPACITY = 100_000
ENTITIES = tuple(field.official for field in FIELDS[3:-1])
"""What follows joints and gravity, without the competition's own ``task_index``."""


def preprocess(observation: Any, info: dict[str, Any]) -> Any:
    """Every entity expanded to a batch of one, gravity by cross products, and all of it stacked, (1, 86)."""
    observation = np.expand_dims(observation, axis=0)
    batch = {name: np.expand_dims(info[name], axis=0) for name in (*ENTITIES, "robot_quat")}
    w, axis, down = batch["robot_quat"][:, [-1]], batch["robot_quat"][:, :3], np.array([0.0, 0.0, -1.0])
    gravity = (
        down * (2.0 * w**2 - 1.0)
        - np.cross(axis, down) * (2.0 * w)
        + axis * (2.0 * np.dot(axis, down).reshape(-1, 1))
    )
    joints = observation[:, :12], observation[:, 12:24]
    return np.hstack((*joints, gravity, *(batch[name] for name in ENTITIES)))


def network(sizes: list[int], *last: nn.Module) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1], *last)


class Ddpg(nn.Module):
    """Actor, critic, targets and their optimisers."""

    def __init__(self, inputs: int, actions: int, hidden: tuple[int, ...], rate: float, tau: float) -> None:
        super().__init__()
        self.actor = network([inputs, *hidden, actions], nn.Tanh())
        self.critic = network([inputs + actions, *hidden, 1])
        self.targets = copy.deepcopy(self.actor), copy.deepcopy(self.critic)
        self.optimisers = [torch.optim.Adam(part.parameters(), lr=rate) for part in (self.critic, self.actor)]
        self.gamma, self.tau = 0.99, tau

    def learn(self, batch: tuple[Any, ...]) -> tuple[float, float]:
        """One update from arrays."""
        state, action, reward, following, done = (torch.tensor(part).float() for part in batch)
        target_actor, target_critic = self.targets
        with torch.no_grad():
            value = target_critic(torch.cat([following, target_actor(following)], dim=1))
            wanted = reward + self.gamma * value * (1 - done)
        critic_loss = nn.functional.mse_loss(self.critic(torch.cat([state, action], dim=1)), wanted)
        self._descend(0, critic_loss, self.critic)
        actor_loss = -self.critic(torch.cat([state, self.actor(state)], dim=1)).mean()
        self._descend(1, actor_loss, self.actor)
        for old, new in zip(self.targets, (self.actor, self.critic), strict=True):
            for target, source in zip(old.parameters(), new.parameters(), strict=True):
                target.data.copy_(self.tau * source.data + (1.0 - self.tau) * target.data)
        return critic_loss.item(), actor_loss.item()

    def _descend(self, which: int, loss: torch.Tensor, part: nn.Module) -> None:
        self.optimisers[which].zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(part.parameters(), 1.0)
        self.optimisers[which].step()


def train(
    env: Any,
    model: Ddpg,
    prepare: Callable[[Any, dict[str, Any]], Any],
    *,
    mended: bool,
    update_every: int = 4,
    batch_size: int = 64,
    seed: int | None = None,
) -> Iterator[int]:
    """Train for ever, yielding the steps made after each."""
    low, high = env.action_space.low, env.action_space.high
    memory: deque[tuple[Any, ...]] = deque(maxlen=CAPACITY)
    step = 0
    while True:
        observation, info = env.reset(seed=seed if step == 0 else None)
        state, done = prepare(observation, info).squeeze(), False
        while not done:
            policy = model.actor(torch.from_numpy(np.expand_dims(state, axis=0)).float()).detach().numpy()
            if mended:
                kept = np.clip(policy + np.random.normal(0, 0.1, policy.shape), -1, 1)[0]
                action = low + (high - low) * (kept + 1) / 2
            else:
                scaled = (low + (high - low) * np.clip((policy + 1) / 2, 0, 1))[0]
                action = kept = np.clip(scaled + np.random.normal(0, 0.1, scaled.shape), -1, 1)
            observation, reward, terminated, truncated, info = env.step(action)
            following, done = prepare(observation, info).squeeze(), terminated or truncated
            memory.append((state, kept, reward, following, terminated if mended else done))
            state, step = following, step + 1
            if len(memory) >= batch_size and step % update_every == 0:
                states, actions, rewards, followings, dones = (
                    np.array(part) for part in zip(*random.sample(memory, batch_size), strict=True)
                )
                model.learn((states, actions, rewards.reshape(-1, 1), followings, dones.reshape(-1, 1)))
            yield step
