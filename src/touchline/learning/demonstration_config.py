"""How much SAC learns from a teacher first; apart from the algorithm so that reading a config does not load JAX."""

from __future__ import annotations

from dataclasses import dataclass

from touchline.errors import at_least


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
        at_least(0, self, "transitions", "clone_updates", "critic_updates")
        at_least(1, self, "clone_batch")
        at_least(0.0, self, "clone_lr")
