"""Hyper-parameters of DDPG and their schedules; apart from the algorithm so that reading them loads no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from touchline.errors import below_one, between, whole


@dataclass(frozen=True)
class DdpgConfig:
    """Hyper-parameters of DDPG.

    Two rewards are learnt side by side: the *dense* one of every step, and the *score* that an environment tells when
    an episode ends (``info["score"]``; in soccer the competition's). A *transition* is one action of one environment.
    """

    critic_hidden: tuple[int, ...] = (128, 128)
    """Widths of the critic's hidden layers; the actor's are those of the policy it starts from."""
    actor_lr: float = 3e-5
    """Adam's learning rate of the actor; small, because the actor already knows something."""
    critic_lr: float = 1e-3
    """Adam's learning rate of the critic."""
    gamma: float = 0.97
    """Discount of the dense reward a policy step; ``horizon_seconds`` tells how far it looks: 0.67 s at 50 Hz."""
    score_gamma: float = 0.998
    """Discount of the score a policy step: 10 s at 50 Hz, a whole official episode. With less, the start of an
    episode does not feel how it ends."""
    score_from: int = 4_000
    """Transitions before which the actor follows the dense reward alone; from here on the score takes over."""
    score_until: int = 10_000
    """Transitions at which the score has got ``score_share``; in between it grows evenly."""
    score_share: float = 1.0
    """Share of the score in what the actor follows in the end, 0 to 1. At 0 no environment has to tell a score."""
    tau: float = 0.005
    """Share of the networks that moves into their targets per update."""
    batch_size: int = 256
    """Transitions an update."""
    updates_per_transition: float = 0.7
    """Updates a transition, after the warm-up. One update every four physics steps, as the competition's own loop
    makes them, is 2.5 at 50 Hz."""
    replay_size: int = 100_000
    """Transitions the replay buffer holds."""
    warmup_steps: int = 600
    """Transitions collected before the first update."""
    critic_warmup_updates: int = 1_500
    """Updates of the critic alone, so that a fresh critic cannot spoil the actor."""
    noise: float = 0.1
    """Standard deviation of the exploration noise on actions in [-1, 1], before anything scales them."""
    anchor: float = 1.0
    """Weight of the squared distance to the starting actor's actions at the start, against a value scaled to 1."""
    anchor_half_life: int = 12_000
    """Transitions in which that weight halves, again and again; 0: it stays."""
    reward_scale: float = 0.1
    """Multiplies the dense reward inside the loss only."""
    score_scale: float = 1.0
    """Multiplies the score inside the loss only."""

    def __post_init__(self) -> None:
        whole(1, self, "critic_hidden", "batch_size", "replay_size", "warmup_steps")
        whole(0, self, "score_from", "anchor_half_life", "critic_warmup_updates")
        whole(self.score_from, self, "score_until")
        between(0.0, 1e6, self, "actor_lr", "critic_lr", "noise", "anchor", "updates_per_transition")
        between(0.0, 1e38, self, "reward_scale", "score_scale")
        below_one(self, "gamma")
        between(0.0, 1.0, self, "score_gamma", "score_share", "tau")

    def score_share_at(self, step: int) -> float:
        """Return the score's share in what the actor follows after ``step`` transitions; the rest is the dense's."""
        if step < self.score_from:
            return 0.0
        if step >= self.score_until:
            return self.score_share
        return self.score_share * (step - self.score_from) / (self.score_until - self.score_from)

    def anchor_at(self, step: int) -> float:
        """Return the weight of the pull towards the starting actor after ``step`` transitions."""
        return self.anchor * 0.5 ** (step / self.anchor_half_life) if self.anchor_half_life else self.anchor

    def updates_until(self, step: int) -> int:
        """Return how many updates are due by the time ``step`` transitions were made."""
        return int(max(step - self.warmup_steps, 0) * self.updates_per_transition)


def horizon_seconds(gamma: float, steps_per_second: float = 50.0) -> float:
    """Return how far a discount looks ahead: 1 / (1 − gamma) policy steps, in seconds (0.99 at 50 Hz: 2 s).

    A reward that far ahead counts 1/e of one that comes at once.
    """
    return float("inf") if gamma >= 1.0 else 1.0 / (1.0 - gamma) / steps_per_second
