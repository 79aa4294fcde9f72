"""The soccer environments under Gymnasium's own names; importing this module registers them.

``gymnasium.make("touchline/T1-v0")`` and ``make_vec`` are the training world, ``touchline/T1Official-v0`` an official
task.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from touchline.simulation.backends import make_envs
from touchline.simulation.randomisation import level_named
from touchline.soccer.control import controller_named
from touchline.soccer.world import SoccerWorld

TRAINING, OFFICIAL = "touchline/T1-v0", "touchline/T1Official-v0"


def make_training(
    task: str | None = None, *, controller: str = "soft_ankles", randomisation: str = "none", **options: Any
) -> gymnasium.Env[Any, Any]:
    """Return one training episode at a time, of a task or of a random one each time.

    ``options`` are fields of ``SoccerWorld``. Raises UsageError for an unknown name.
    """
    from touchline.simulation.single import SingleWorld

    return SingleWorld(_world(controller, randomisation, options), task)


def make_training_vector(
    num_envs: int = 128,
    *,
    backend: str = "native",
    controller: str = "soft_ankles",
    randomisation: str = "none",
    **options: Any,
) -> gymnasium.vector.VectorEnv[Any, Any, Any]:
    """Return a batch of training episodes, the three tasks mixed, stepped by ``native`` or ``mjx``."""
    envs: gymnasium.vector.VectorEnv[Any, Any, Any] = make_envs(
        _world(controller, randomisation, options), backend, num_envs
    )
    return envs


def make_official_task(
    task: str = "goalie_penalty_kick", *, controller: str = "stand_still"
) -> gymnasium.Env[Any, Any]:
    """Return an official environment under a named controller, 50 policy steps a second."""
    from touchline.soccer.official import OfficialEnv

    return OfficialEnv(task, controller_named(controller))


def _world(controller: str, randomisation: str, options: dict[str, Any]) -> SoccerWorld:
    return SoccerWorld(controller_named(controller), randomisation=level_named(randomisation), **options)


gymnasium.register(TRAINING, f"{__name__}:make_training", vector_entry_point=f"{__name__}:make_training_vector")
gymnasium.register(OFFICIAL, f"{__name__}:make_official_task")
