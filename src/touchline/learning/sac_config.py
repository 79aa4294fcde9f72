"""Hyper-parameters of SAC; apart from the algorithm so that reading a config does not load JAX."""

from __future__ import annotations

from dataclasses import dataclass, replace

from touchline.errors import UsageError, above, below_one, between, whole


@dataclass(frozen=True)
class SacConfig:
    """Hyper-parameters of SAC."""

    actor_hidden: tuple[int, ...] = (128, 128)
    """Widths of the actor's hidden layers."""
    critic_hidden: tuple[int, ...] = (128, 128)
    """Widths of the critics' hidden layers."""
    critic_norm_weights: bool = True
    """Whether the critics' LayerNorms have weights. Without them an update takes a tenth less, and values are
    coarser: on Pendulum a policy came to -175 instead of -152."""
    critic_atoms: int = 1
    """1: critics tell a value; more: a distribution over so many values between value_low and value_high."""
    value_low: float = -10.0
    """Lowest value of a distributional critic, in scaled rewards (reward_scale)."""
    value_high: float = 10.0
    """Highest value of a distributional critic, in scaled rewards."""
    actor_lr: float = 5e-4
    """Adam's learning rate of the actor."""
    critic_lr: float = 5e-4
    """Adam's learning rate of the critics."""
    alpha_lr: float = 1e-3
    """Adam's learning rate of the log temperature."""
    maximum_gradient: float | None = None
    """Global norm to which gradients are clipped; None leaves them, which saves a pass over the weights."""
    gamma: float = 0.98
    """Discount a policy step; at 50 Hz 0.98 looks 1 s ahead, 0.99 2 s."""
    horizon_seconds: float | None = None
    """How far rewards count, in seconds: gamma = 1 - step / horizon, whatever a step lasts. None: gamma says."""
    n_step: int = 1
    """Policy steps of real rewards before a critic's value follows."""
    tau: float = 0.02
    """Share of the critic that moves into its target per update."""
    batch_size: int = 256
    """Transitions an update."""
    updates_per_step: int = 2
    """Updates a vector step (one policy step of every environment)."""
    update_every: int = 1
    """Vector steps from one burst of updates to the next."""
    actor_every: int = 1
    """Updates of the critics for one of actor and temperature."""
    replay_size: int = 300_000
    """Transitions the replay buffer holds, over all environments."""
    warmup_steps: int = 5_000
    """Policy transitions collected before the first update."""
    initial_alpha: float = 0.01
    """Temperature at the start."""
    initial_sigma: float = 0.3
    """The actor's standard deviation before tanh at the start; at most 1.6."""
    target_entropy_per_action: float = -0.5
    """Entropy the temperature aims at, per action dimension; -1 per dimension made a plan collapse."""
    reward_scale: float = 0.1
    """Multiplies rewards inside the loss only."""
    anchor: float = 0.0
    """Weight at the start of the actor's squared distance to the actions of the actor that the training began with,
    against a value scaled to 1; 0: no anchor, and nothing is kept for it."""
    anchor_half_life: int = 0
    """Policy transitions in which that weight halves, again and again; 0: it stays."""
    mirror: bool = True
    """Learn from the mirror image of half of each batch, where the world has a symmetry."""

    def __post_init__(self) -> None:
        whole(1, self, "actor_hidden", "critic_hidden", "critic_atoms", "batch_size", "replay_size", "warmup_steps")
        whole(1, self, "updates_per_step", "update_every", "actor_every", "n_step")
        between(0.0, 1e38, self, "actor_lr", "critic_lr", "alpha_lr", "anchor")
        whole(0, self, "anchor_half_life")
        between(1e-30, 1e30, self, "initial_alpha")  # what float32 has a logarithm of
        between(
            5e-5, 1.6, self, "initial_sigma"
        )  # within policy.LOG_STD_RANGE: beyond, the head is clipped and learns nothing
        above(0.0, self, "reward_scale", "tau")
        between(-1e3, 1e3, self, "target_entropy_per_action")
        between(-1e9, 1e9, self, "value_low", "value_high")
        above(
            0.0, self, *(name for name in ("maximum_gradient", "horizon_seconds") if getattr(self, name) is not None)
        )
        below_one(self, "gamma")
        between(0.0, 1.0, self, "tau")
        if self.critic_atoms > 1 and self.value_low >= self.value_high:
            raise UsageError(
                f"SacConfig.value_low is {self.value_low:g} and value_high {self.value_high:g}. Give a value_high "
                "above value_low."
            )

    def anchor_at(self, step: int) -> float:
        """Return the weight of the anchor after ``step`` policy transitions."""
        return self.anchor * 0.5 ** (step / self.anchor_half_life) if self.anchor_half_life else self.anchor

    def for_step(self, seconds: float) -> SacConfig:
        """Return the configuration with gamma as ``horizon_seconds`` says, for policy steps of ``seconds``.

        Raises UsageError when the horizon is not longer than a step.
        """
        if self.horizon_seconds is None:
            return self
        if self.horizon_seconds <= seconds:
            raise UsageError(
                f"SacConfig.horizon_seconds is {self.horizon_seconds:g}, and a policy step takes {seconds:g} s. "
                "Give more than one step."
            )
        return replace(self, gamma=1.0 - seconds / self.horizon_seconds, horizon_seconds=None)
