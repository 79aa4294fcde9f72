"""Variants of a model differ as declared, with everything that MuJoCo derives from it."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from tests.simulation.pole import Pole
from touchline.errors import UsageError
from touchline.simulation.randomisation import LEVELS, NONE, Randomisation, level_named, variants
from touchline.soccer.world import SoccerWorld


def test_nothing_declared_changes_nothing():
    model = Pole().model
    assert variants(model, Randomisation(noise=1.0, push_speed=1.0)) == [model]


@pytest.mark.parametrize(
    ("sizes", "changed", "untouched"),
    [
        ({"mass": 0.3}, ["body_mass", "body_inertia"], ["geom_friction", "dof_damping", "actuator_biasprm"]),
        ({"friction": 0.3}, ["geom_friction"], ["body_mass", "dof_damping"]),
        ({"damping": 0.3}, ["dof_damping", "actuator_biasprm"], ["body_mass", "geom_friction"]),
        ({"objects": 0.3}, ["body_mass", "geom_friction"], ["dof_damping"]),
    ],
    ids=lambda value: next(iter(value)),
)
def test_each_size_changes_its_own_constants_within_its_bounds(sizes, changed, untouched):
    model = Pole().model
    made = variants(model, Randomisation(**sizes, variants=40))
    for name in changed:
        nominal = getattr(model, name)
        there = nominal != 0
        factors = np.stack([getattr(one, name)[there] / nominal[there] for one in made])
        assert factors.min() >= 0.7 and factors.max() <= 1.3
        assert factors.std(axis=0).max() > 0.1
    for name in untouched:
        assert all(np.array_equal(getattr(one, name), getattr(model, name)) for one in made)


def test_a_ball_is_an_object_and_a_robot_is_not():
    model = SoccerWorld().model
    ball = model.body("ball").id
    for sizes, is_ball in ((Randomisation(mass=0.3), False), (Randomisation(objects=0.3), True)):
        bodies = np.flatnonzero(np.any([one.body_mass != model.body_mass for one in variants(model, sizes)], axis=0))
        assert (ball in bodies) == is_ball
        assert (len(bodies) > 5) != is_ball


def test_the_position_gains_stay_and_only_the_velocity_gain_varies():
    model = SoccerWorld().model
    for one in variants(model, Randomisation(damping=0.3)):
        assert np.array_equal(one.actuator_gainprm, model.actuator_gainprm)
        assert np.array_equal(one.actuator_biasprm[:, :2], model.actuator_biasprm[:, :2])
        assert (one.actuator_biasprm[:, 2] < 0).all()


def test_derived_constants_follow():
    model = Pole().model
    (one, *_) = variants(model, Randomisation(mass=0.3))
    assert not np.array_equal(one.body_invweight0, model.body_invweight0)
    fresh = one.__copy__()
    mujoco.mj_setConst(fresh, mujoco.MjData(fresh))
    assert np.array_equal(fresh.dof_invweight0, one.dof_invweight0)


def test_the_same_seed_gives_the_same_variants():
    first, second = (variants(Pole().model, LEVELS["strong"], seed=4) for _ in range(2))
    assert all(np.array_equal(a.body_mass, b.body_mass) for a, b in zip(first, second, strict=True))


def test_the_levels_grow():
    mild, medium, strong = (LEVELS[name] for name in ("mild", "medium", "strong"))
    for name in ("mass", "friction", "damping", "objects", "noise", "push_speed"):
        assert 0 < getattr(mild, name) < getattr(medium, name) < getattr(strong, name)
    assert level_named("none") is NONE


def test_sizes_that_make_no_sense_are_refused():
    with pytest.raises(UsageError, match="mass is 1.5"):
        Randomisation(mass=1.5)
    with pytest.raises(UsageError, match="medium"):
        level_named("medum")
