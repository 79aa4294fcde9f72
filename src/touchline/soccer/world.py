"""What the training scene is like, told once for every backend."""

from __future__ import annotations

from dataclasses import dataclass, field

from touchline.soccer.control import Controller, soft_ankles
from touchline.soccer.rewards import RewardWeights


@dataclass(frozen=True)
class WorldConfig:
    """What the training scene is like; the same for every backend."""

    controller: Controller = field(default_factory=soft_ankles)
    """Pose and gains that the actions are residuals on."""
    weights: RewardWeights = field(default_factory=RewardWeights)
    """Weights of the dense reward's terms."""
    episode_steps: int = 500
    """Time limit in policy steps; 500 steps of 20 ms are the official 10 s."""
    joint_noise: float = 0.05
    """Half-width of the start pose's uniform noise, radians."""
    velocity_noise: float = 0.2
    """Half-width of the start velocity's uniform noise, m/s."""
