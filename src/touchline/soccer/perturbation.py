"""Declared perturbations of an official episode, drawn from a scenario's seed.

The goalie task resets to the same state for every seed, so an evaluation over its seeds would measure one
episode many times. A perturbation is data: the same seed gives the same start, the same pushes at the same physics
steps and the same observation noise to every policy, whatever it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchline.errors import UsageError, at_least
from touchline.soccer.noise import standard_deviations
from touchline.soccer.tasks import EPISODE_PHYSICS_STEPS

_STREAM = 0x70C4
"""Keeps these draws independent of the official environment's own, which start from the same seed."""
_PUSHES, _NOISE = 1, 2
"""Streams below that one, so that a push or a noise more changes no other draw."""


@dataclass(frozen=True)
class Push:
    """A constant horizontal force on the trunk's centre of mass."""

    physics_step: int
    """First physics step (2 ms) of the episode during which it acts, counted from 0."""
    physics_steps: int
    """How many physics steps it acts."""
    force: tuple[float, float]
    """Along the world's x and y, newtons."""


@dataclass(frozen=True)
class Perturbation:
    """Zero-mean Gaussian noise on the state after a reset, pushes during the episode, noise on what is observed."""

    joint_position: float = 0.02
    """Standard deviation of each leg joint, radians; the result stays inside the joint's range."""
    joint_velocity: float = 0.1
    """Standard deviation of each leg joint's velocity, rad/s."""
    base_velocity: float = 0.1
    """Standard deviation of the trunk's velocity along x and y, m/s."""
    ball_position: float = 0.05
    """Standard deviation of the ball along x and y, metres."""
    pushes: int = 0
    """Pushes in the 5,000 physics steps of an episode: one in each of so many equal parts, at a drawn moment."""
    push_force: float = 0.0
    """Standard deviation of a push along x and along y, newtons."""
    push_physics_steps: int = 50
    """How long a push lasts: 50 physics steps are 0.1 s."""
    observation_noise: float = 0.0
    """Multiplies ``OBSERVATION_NOISE``: the standard deviation of what is added to every observed value."""

    def __post_init__(self) -> None:
        at_least(0.0, self, "joint_position", "joint_velocity", "base_velocity", "ball_position", "push_force")
        at_least(0.0, self, "observation_noise", "pushes")
        at_least(1, self, "push_physics_steps")
        if self.pushes != int(self.pushes):
            raise UsageError(f"Perturbation.pushes is {self.pushes}. Give a whole number.")
        if self.pushes * self.push_physics_steps > EPISODE_PHYSICS_STEPS:
            raise UsageError(
                f"{self.pushes} pushes of {self.push_physics_steps} physics steps do not fit into an episode of "
                f"{EPISODE_PHYSICS_STEPS}. Use fewer or shorter pushes."
            )

    def apply(self, model: Any, data: Any, seed: int) -> None:
        """Perturb ``data`` (an ``MjData`` of an official ``model``) in place and recompute what follows.

        Every quantity has its own draws, so changing one deviation leaves the others' noise as it was.
        """
        if not (self.joint_position or self.joint_velocity or self.base_velocity or self.ball_position):
            return
        import mujoco

        draw = np.random.default_rng((seed, _STREAM)).standard_normal
        legs = [j for j in range(model.njnt) if model.joint(j).name.startswith("robot_0:")][1:]
        position, velocity = model.jnt_qposadr[legs], model.jnt_dofadr[legs]
        root, ball = model.joint("robot_0:root"), model.joint("env:ball")
        low, high = model.jnt_range[legs].T
        noisy = data.qpos[position] + self.joint_position * draw(len(legs))
        data.qpos[position] = np.clip(noisy, low, high)
        data.qvel[velocity] += self.joint_velocity * draw(len(legs))
        data.qvel[root.dofadr[0] : root.dofadr[0] + 2] += self.base_velocity * draw(2)
        data.qpos[ball.qposadr[0] : ball.qposadr[0] + 2] += self.ball_position * draw(2)
        mujoco.mj_forward(model, data)

    def pushes_of(self, seed: int) -> tuple[Push, ...]:
        """Return the pushes of the episode with ``seed``, in the order of time; they do not overlap."""
        if not (self.pushes and self.push_force):
            return ()
        generator = np.random.default_rng((seed, _STREAM, _PUSHES))
        part = EPISODE_PHYSICS_STEPS // self.pushes
        moments = generator.integers(0, part - self.push_physics_steps, size=self.pushes, endpoint=True)
        forces = self.push_force * generator.standard_normal((self.pushes, 2))
        return tuple(
            Push(i * part + int(moment), self.push_physics_steps, (float(x), float(y)))
            for i, (moment, (x, y)) in enumerate(zip(moments, forces, strict=True))
        )

    def noise_of(self, seed: int) -> ObservationNoise | None:
        """Return the noise on the observations of the episode with ``seed``; None when there is none."""
        if not self.observation_noise:
            return None
        return ObservationNoise(np.random.default_rng((seed, _STREAM, _NOISE)), self.observation_noise)


class ObservationNoise:
    """The noise of one episode: one draw an observation, whatever is observed."""

    def __init__(self, generator: np.random.Generator, level: float) -> None:
        self._generator = generator
        self._deviation = level * standard_deviations()

    def added_to(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the next observation of the episode, shape (89,), with its noise."""
        drawn = self._deviation * self._generator.standard_normal(len(self._deviation))
        return observation + drawn.astype(np.float32)


NONE = Perturbation(joint_position=0.0, joint_velocity=0.0, base_velocity=0.0, ball_position=0.0)
"""The official reset, unchanged."""
