"""Hyper-parameters of DDPG; apart from the algorithm so that reading a config does not load PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from touchline.errors import at_least


@dataclass(frozen=True)
class DdpgConfig:
    """Hyper-parameters of DDPG."""

    critic_hidden: tuple[int, ...] = (128, 128)
    """Widths of the critic's hidden layers."""
    actor_lr: float = 3e-5
    """Adam's learning rate of the actor; small, because the actor already knows something."""
    critic_lr: float = 1e-3
    """Adam's learning rate of the critic."""
    gamma: float = 0.97
    """Discount a policy step of 20 ms."""
    tau: float = 0.005
    """Share of the networks that moves into their targets per update."""
    batch_size: int = 256
    """Transitions an update."""
    updates_per_step: int = 2
    """Updates a vector step."""
    replay_size: int = 100_000
    """Transitions the replay buffer holds."""
    warmup_steps: int = 600
    """Policy transitions collected before the first update."""
    critic_warmup_updates: int = 1_500
    """Updates of the critic alone, so that a fresh critic cannot spoil the actor."""
    noise: float = 0.1
    """Standard deviation of the exploration noise on actions in [-1, 1]."""
    anchor: float = 1.0
    """Weight of the squared distance to the starting actor's actions, against a value scaled to 1."""
    reward_scale: float = 0.1
    """Multiplies rewards inside the loss only."""

    def __post_init__(self) -> None:
        at_least(1, self, "batch_size", "updates_per_step", "replay_size", "warmup_steps")
        at_least(0.0, self, "actor_lr", "critic_lr", "gamma", "tau", "noise", "anchor", "critic_warmup_updates")
