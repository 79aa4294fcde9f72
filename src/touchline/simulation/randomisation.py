"""Domain randomisation: how much the simulated robot and what it perceives differ from episode to episode.

Masses, friction and damping are constants of a MuJoCo model, from which others are derived. So a few variants of the
model are compiled once, the derived constants included, and an episode draws one of them: the same on every backend.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from touchline.errors import at_least, between, unknown

if TYPE_CHECKING:
    import mujoco


@dataclass(frozen=True)
class Randomisation:
    """Sizes of what is drawn; factors are uniform in [1 - size, 1 + size]."""

    mass: float = 0.0
    """Factor on mass and inertia of each body of the robot, drawn apart."""
    friction: float = 0.0
    """Factor on the sliding friction of all contacts, one for the whole scene."""
    damping: float = 0.0
    """Factor on the damping of each joint and on the velocity gain of its actuator."""
    objects: float = 0.0
    """Factor on mass and inertia and, apart, on the friction of each free body that is no robot, such as a ball."""
    noise: float = 0.0
    """Gaussian noise on observations, in units of the world's ``noise``."""
    push_speed: float = 0.0
    """Largest change of the robot's horizontal velocity by a push, m/s."""
    push_seconds: float = 5.0
    """Mean time between pushes, seconds."""
    variants: int = 32
    """Models that are compiled; an episode has one of them."""

    def __post_init__(self) -> None:
        between(0.0, 0.95, self, "mass", "friction", "damping", "objects")
        between(0.0, 1e3, self, "noise", "push_speed")
        at_least(0.02, self, "push_seconds")
        at_least(1, self, "variants")

    @property
    def changes_the_model(self) -> bool:
        """Whether there is more than one variant of the model."""
        return any((self.mass, self.friction, self.damping, self.objects))


NONE = Randomisation()
"""Every episode has the same robot, exact observations and no pushes."""

LEVELS: Mapping[str, Randomisation] = {
    "none": NONE,
    "mild": Randomisation(0.05, 0.1, 0.1, 0.05, noise=0.5, push_speed=0.1),
    "medium": Randomisation(0.1, 0.3, 0.2, 0.1, noise=1.0, push_speed=0.3),
    "strong": Randomisation(0.2, 0.5, 0.4, 0.2, noise=2.0, push_speed=0.6, push_seconds=3.0),
    "pushes": Randomisation(0.05, 0.1, 0.1, 0.05, noise=0.2, push_speed=0.5, push_seconds=4.0),
}
"""Levels by the name that a configuration may use: three, none, and one that is mild but for its pushes."""


def level_named(name: str) -> Randomisation:
    """Return a level; raises UsageError with the nearest name when there is none."""
    if name not in LEVELS:
        raise unknown("randomisation", name, LEVELS)
    return LEVELS[name]


def variants(model: mujoco.MjModel, randomisation: Randomisation, seed: int = 0) -> list[mujoco.MjModel]:
    """Return models that differ as ``randomisation`` says, the same for the same seed; ``[model]`` if by nothing."""
    if not randomisation.changes_the_model:
        return [model]
    generator = np.random.default_rng(seed)
    return [_variant(model, randomisation, generator) for _ in range(randomisation.variants)]


def _variant(model: mujoco.MjModel, sizes: Randomisation, generator: np.random.Generator) -> mujoco.MjModel:
    import mujoco

    changed = copy.copy(model)
    objects = _objects(model)
    geom_is_object = np.isin(model.geom_bodyid, objects)

    def factor(size: float, *shape: int) -> Any:
        # Drawn also where the size is 0, so that one size changed leaves the others' draws as they were.
        return 1.0 + size * generator.uniform(-1.0, 1.0, shape)

    body = factor(sizes.mass, model.nbody)
    body[objects] = factor(sizes.objects, len(objects))
    changed.body_mass *= body
    changed.body_inertia *= body[:, None]
    changed.geom_friction[:, 0] *= factor(sizes.friction)
    changed.geom_friction[geom_is_object] *= factor(sizes.objects, int(geom_is_object.sum()), 1)
    damping = factor(sizes.damping, model.njnt)
    changed.dof_damping *= damping[model.dof_jntid]
    jointed = np.flatnonzero(model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT)
    changed.actuator_biasprm[jointed, 2] *= damping[model.actuator_trnid[jointed, 0]]
    mujoco.mj_setConst(changed, mujoco.MjData(changed))
    return changed


def _objects(model: mujoco.MjModel) -> list[int]:
    """Return the bodies that move freely and belong to nothing that an actuator moves: a ball, not a robot."""
    import mujoco

    joints = model.actuator_trnid[model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT, 0]
    robots = set(model.body_rootid[model.jnt_bodyid[joints]].tolist())
    free = model.jnt_bodyid[model.jnt_type == mujoco.mjtJoint.mjJNT_FREE].tolist()
    return [body for body in free if int(model.body_rootid[body]) not in robots]
