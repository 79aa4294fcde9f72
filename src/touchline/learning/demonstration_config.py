"""How much SAC learns from a teacher first; apart from the algorithm so that reading a config does not load JAX."""

from __future__ import annotations

import math
from dataclasses import dataclass

from touchline.errors import UsageError, between, is_number, whole


@dataclass(frozen=True)
class DemonstrationConfig:
    """What is learned from a teacher before the first transition of one's own."""

    transitions: int = 0
    """Policy transitions that the teacher makes; 0: no teacher."""
    noise: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2)
    """Standard deviations of what disturbs its actions; every environment has one of them."""
    clone_updates: int = 4_000
    """Updates that clone the teacher's actions."""
    clone_batch: int = 1_024
    """Transitions of such an update."""
    clone_lr: float = 2e-3
    """Adam's learning rate at their beginning; it falls to 0 by a cosine."""
    critic_updates: int = 4_000
    """Updates of the critics alone, on the demonstrations."""

    def __post_init__(self) -> None:
        whole(0, self, "transitions", "clone_updates", "critic_updates")
        whole(1, self, "clone_batch")
        between(0.0, 1e38, self, "clone_lr")
        if not self.noise or not all(is_number(each) and 0.0 <= each < math.inf for each in self.noise):
            raise UsageError(
                f"DemonstrationConfig.noise is {self.noise}. Give at least one standard deviation, each at least 0."
            )
