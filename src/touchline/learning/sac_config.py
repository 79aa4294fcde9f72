"""Hyper-parameters of SAC; apart from the algorithm so that reading a config does not load JAX."""

from __future__ import annotations

from dataclasses import dataclass

from touchline.errors import at_least


@dataclass(frozen=True)
class SacConfig:
    """Hyper-parameters of SAC."""

    actor_hidden: tuple[int, ...] = (128, 128)
    """Widths of the actor's hidden layers."""
    critic_hidden: tuple[int, ...] = (128, 128)
    """Widths of the critics' hidden layers."""
    actor_lr: float = 5e-4
    """Adam's learning rate of the actor."""
    critic_lr: float = 5e-4
    """Adam's learning rate of the critics."""
    alpha_lr: float = 1e-3
    """Adam's learning rate of the log temperature."""
    gamma: float = 0.98
    """Discount a policy step; at 50 Hz 0.98 looks 1 s ahead, 0.99 2 s."""
    tau: float = 0.02
    """Share of the critic that moves into its target per update."""
    batch_size: int = 256
    """Transitions an update."""
    updates_per_step: int = 2
    """Updates a vector step (one policy step of every environment)."""
    replay_size: int = 300_000
    """Transitions the replay buffer holds."""
    warmup_steps: int = 5_000
    """Policy transitions collected before the first update."""
    initial_alpha: float = 0.01
    """Temperature at the start."""
    initial_sigma: float = 0.3
    """The actor's standard deviation before tanh at the start."""
    target_entropy_per_action: float = -0.5
    """Entropy the temperature aims at, per action dimension; -1 per dimension made a plan collapse."""
    reward_scale: float = 0.1
    """Multiplies rewards inside the loss only."""

    def __post_init__(self) -> None:
        at_least(1, self, "batch_size", "updates_per_step", "replay_size", "warmup_steps")
        at_least(0.0, self, "actor_lr", "critic_lr", "alpha_lr", "gamma", "tau")
