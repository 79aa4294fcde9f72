"""The controller turns actions into torques that respect the robot's limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from touchline.errors import UsageError
from touchline.soccer.control import CONTROLLERS, Controller, controller_named, soft_ankles

actions = arrays(np.float64, 12, elements=st.floats(-3, 3))


@given(actions)
def test_targets_never_leave_the_joint_range(action):
    controller = soft_ankles()
    target = controller.target(action)
    assert (target >= controller.joint_lower).all() and (target <= controller.joint_upper).all()


@given(
    actions, arrays(np.float64, 12, elements=st.floats(-3, 3)), arrays(np.float64, 12, elements=st.floats(-50, 50))
)
def test_torques_never_exceed_the_official_control_range(action, position, velocity):
    controller = soft_ankles()
    torque = controller.torque(controller.target(action), position, velocity)
    assert (np.abs(torque) <= controller.torque_limit).all()


def test_action_zero_holds_the_pose_and_pulls_back_to_it():
    controller = soft_ankles()
    assert controller.target(np.zeros(12)) == pytest.approx(controller.pose)
    off = np.asarray(controller.pose) + 0.01
    torque = controller.torque(controller.target(np.zeros(12)), off, np.zeros(12))
    assert torque == pytest.approx(-0.01 * np.asarray(controller.stiffness))


@pytest.mark.parametrize("name", CONTROLLERS)
def test_a_controller_survives_json(name):
    controller = controller_named(name)
    assert Controller.from_dict(controller.to_dict()) == controller


def test_an_unknown_controller_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="soft_ankles"):
        controller_named("soft_ankle")
