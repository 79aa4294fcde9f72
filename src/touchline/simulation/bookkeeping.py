"""What every backend keeps of its episodes, and what a policy step makes of physics: shared by NumPy and JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

from touchline.simulation.world import Moves, Physics, World


class Episodes(NamedTuple):
    """A batch of episodes; a NamedTuple, so that JAX sees a tree."""

    task: Any
    """Index into the world's tasks, shape (n,)."""
    step: Any
    """Policy steps since the start, shape (n,)."""
    action: Any
    """The last action, shape (n, action_size)."""
    variant: Any
    """Which variant of the model it plays on, shape (n,)."""
    own: Any
    """What the world chose at the start: a NamedTuple of arrays with n rows, or ()."""

    def to_dict(self, copy: Callable[[Any], Any]) -> dict[str, Any]:
        """Return plain dictionaries of the arrays, each copied."""
        own = {name: copy(part) for name, part in zip(_names(self.own), self.own, strict=True)}
        return {name: copy(part) for name, part in self._asdict().items() if name != "own"} | {"own": own}

    def like(self, saved: Mapping[str, Any], copy: Callable[[Any], Any]) -> Episodes:
        """Return what ``to_dict`` saved, of the types that these episodes have; each array is copied."""
        own = type(self.own)(*(copy(saved["own"][name]) for name in _names(self.own)))
        return Episodes(own=own, **{name: copy(saved[name]) for name in ("task", "step", "action", "variant")})


def _names(own: Any) -> tuple[str, ...]:
    return getattr(own, "_fields", ())


def picked(own: Any, which: Any) -> Any:
    """Return the rows ``which`` of what a world chose at the start."""
    return type(own)(*(part[which] for part in own))


def merged(episodes: Episodes, which: Any, fresh: Episodes) -> Episodes:
    """Return ``episodes`` with the rows ``which`` replaced by all of ``fresh``; NumPy arrays, changed in place."""
    for old, new in zip((*episodes[:-1], *episodes.own), (*fresh[:-1], *fresh.own), strict=True):
        old[which] = new
    return episodes


class Outcome(NamedTuple):
    """One policy step of a batch, before ended episodes begin again."""

    episodes: Episodes
    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    terms: dict[str, Any]


def conclude(
    world: World, physics: Physics, episodes: Episodes, action: Any, ended: Any, xp: ModuleType, broken: Any = False
) -> Outcome:
    """Return what a policy step led to.

    Args:
        world: what is simulated.
        physics: after the step, one leading axis of n.
        episodes: before the step.
        action: what was done, clipped to [-1, 1], shape (n, action_size).
        ended: whether the world terminated the episode after one of the physics steps, shape (n,).
        xp: ``numpy`` or ``jax.numpy``.
        broken: whether the physics is known to have failed, shape (n,), besides what is not finite.

    A step that leads to what is not finite ends its episode and pays nothing.
    """
    broken = broken | ~(xp.isfinite(physics.qpos).all(-1) & xp.isfinite(physics.qvel).all(-1))
    terminated = ended | broken
    moves = Moves(action, episodes.action, terminated.astype(action.dtype))
    terms = world.terms(physics, episodes.own, moves, xp)
    reward = world.reward(terms)
    broken = broken | ~xp.isfinite(reward)
    terminated = terminated | broken
    observation = world.observe(physics, episodes.own, xp)
    own = world.remember(physics, episodes.own, xp)
    after = episodes._replace(step=episodes.step + 1, action=action, own=own)
    return Outcome(
        episodes=after,
        # Physics that broke has no meaning, and a NaN in a replay buffer would spoil the learner.
        observation=xp.where(broken[:, None], 0.0, observation).astype(observation.dtype),
        reward=xp.where(broken, 0.0, reward),
        terminated=terminated,
        truncated=(after.step >= world.episode_steps) & ~terminated,
        terms=terms,
    )


def kick(world: World, uniform: Any, xp: ModuleType) -> Any:
    """Return the changes of the two pushed velocities in one policy step, m/s, shape (n, 2): mostly zeros.

    A push comes with the probability that makes ``push_seconds`` the mean time between two; direction and speed are
    uniform. ``uniform`` are random numbers in [0, 1), shape (n, 3).
    """
    sizes = world.randomisation
    seconds = world.step_seconds
    speed = xp.where(uniform[:, 0] < seconds / sizes.push_seconds, sizes.push_speed * uniform[:, 1], 0.0)
    angle = 2.0 * xp.pi * uniform[:, 2]
    return xp.stack([speed * xp.cos(angle), speed * xp.sin(angle)], axis=-1)
