"""Gate 1: our observation is the recorded official one, in NumPy and JAX, and no quirk can go missing unseen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from touchline.gates import gate1
from touchline.soccer import observation, scene
from touchline.soccer.control import stand_still
from touchline.soccer.gate1 import (
    CONTACT_FIELDS,
    FLOAT32_TOLERANCE,
    TOLERANCE,
    agreement,
    from_info,
    from_scene,
    scene_agreement,
)
from touchline.soccer.goalkeeper import goalkeeper
from touchline.soccer.layout import LAYOUT
from touchline.soccer.preprocessor import Preprocessor
from touchline.soccer.recording import Recording, load_recording
from touchline.soccer.tasks import GOAL_SOUTH, PHYSICS_TIMESTEP, TASKS

Rows = NDArray[np.float64]


@pytest.fixture(scope="module")
def recording() -> Recording:
    return load_recording()


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return scene.build_spec(stand_still()).compile()


@pytest.fixture(params=["numpy", "jax"])
def xp(request: pytest.FixtureRequest) -> Any:
    if request.param == "numpy":
        return np
    import jax.numpy

    return jax.numpy


def test_the_layout_gives_the_official_observation(recording: Recording, xp: Any) -> None:
    found = agreement(from_info(recording, xp), recording)
    assert found.passed, found.largest_of
    assert found.ignored == ()
    assert set(found.observations) == set(TASKS)
    assert min(found.observations.values()) >= 100


def test_the_training_scene_shows_the_official_observation(
    recording: Recording, model: mujoco.MjModel, xp: Any
) -> None:
    found = scene_agreement(recording, model, xp)
    assert found.passed, found.largest_of
    assert found.ignored == ("accelerometer",)
    assert found.tolerance == (TOLERANCE if xp is np else FLOAT32_TOLERANCE)
    assert found.largest < (1e-6 if xp is np else 4e-6)  # as docs/observation.md says
    assert gate1(found).passed


def test_jax_in_double_precision_is_as_near_as_numpy(recording: Recording, model: mujoco.MjModel) -> None:
    import jax

    with jax.enable_x64(True):
        found = scene_agreement(recording, model, jax.numpy)
    assert found.tolerance == TOLERANCE
    assert found.passed, found.largest_of


def test_the_accelerometer_differs_by_contacts_alone(recording: Recording, model: mujoco.MjModel) -> None:
    """It agrees in the air; on the ground it is off as docs/observation.md says."""
    part, index, data = LAYOUT["accelerometer"], scene.index_of(model), mujoco.MjData(model)
    difference = np.abs(from_scene(recording, model)[:, part] - recording.official[:, part]).max(axis=1)
    airborne = np.zeros(len(difference), dtype=bool)
    for i, qpos in enumerate(recording.qpos[:, 0]):
        data.qpos[index.root_position], data.qpos[index.joint_position] = qpos[:7], qpos[7:19]
        data.qpos[index.ball_position] = [100, 0, 1, 1, 0, 0, 0]
        mujoco.mj_forward(model, data)
        airborne[i] = data.ncon == 0
    assert airborne.sum() > 50
    assert np.quantile(difference[airborne], 0.9) < 4e-6
    assert 0.1 < np.median(difference[~airborne]) < 0.3
    assert difference.max() < 2.1


def test_the_shipped_preprocessor_gives_the_official_observation(recording: Recording) -> None:
    info = recording.info()
    raw = np.concatenate([info["observation[0:12]"], info["observation[12:24]"]], axis=1)
    found = agreement(Preprocessor().modify_state(raw, info), recording)
    assert found.passed, found.largest_of


def test_the_recording_proves_the_lag(recording: Recording) -> None:
    """Sites and sensors are of the state before the last physics step, everything else of the state after it."""
    info, moved = recording.info(), recording.time[:, 1] > 0
    site = GOAL_SOUTH - info["goal_team_0_rel_robot"]
    ball = GOAL_SOUTH - info["goal_team_0_rel_ball"]
    for shown, states in (
        (site, recording.qpos[:, :, :3]),
        (ball, recording.qpos[:, :, 19:22]),
        (info["robot_gyro"], recording.qvel[:, :, 3:6]),
    ):
        assert np.abs(shown - states[:, 0]).max() < 3e-7
        assert (np.abs(shown - states[:, 1])[moved] > 1e-4).any(axis=1).mean() > 0.25
    for shown, states in (
        (info["observation[0:12]"], recording.qpos[:, :, 7:19]),
        (info["observation[12:24]"], recording.qvel[:, :, 6:18]),
        (info["ball_velp_rel_robot"], recording.qvel[:, :, 18:21] - recording.qvel[:, :, :3]),
    ):
        assert np.abs(shown - states[:, 1]).max() < 4e-6  # joint velocities come as float32
        assert (np.abs(shown - states[:, 0])[moved] > 1e-4).any(axis=1).mean() > 0.25


def test_the_recording_shows_what_can_go_wrong(recording: Recording) -> None:
    info = recording.info()
    assert recording.time.max() > 3.0
    assert info["projected_gravity"][:, 2].max() > np.cos(np.radians(150))  # more than 30° aslant
    assert np.ptp(info["goalkeeper_team_0_velp_rel_robot"][recording.task == 0][:, 1]) > 2.0
    assert np.abs(info["ball_velr_rel_robot"]).max() > 10.0
    for task in range(len(TASKS)):
        assert (recording.time[recording.task == task, 1] == 0).sum() == len(recording.phases)  # right after a reset


Mutant = Callable[[Rows, Recording], None]


def rotated(name: str) -> Mutant:
    """The field seen from the body instead of the world."""

    def mutate(rows: Rows, recording: Recording) -> None:
        back = recording.qpos[:, 0, 3:7] * [1, -1, -1, -1]
        rows[:, LAYOUT[name]] = observation.to_world(back, rows[:, LAYOUT[name]])

    return mutate


def exchanged(one: str, other: str) -> Mutant:
    def mutate(rows: Rows, _: Recording) -> None:
        rows[:, [*np.r_[LAYOUT[one], LAYOUT[other]]]] = rows[:, [*np.r_[LAYOUT[other], LAYOUT[one]]]]

    return mutate


def in_degrees(rows: Rows, _: Recording) -> None:
    rows[:, LAYOUT["joint_position"]] *= 180 / np.pi


def legs_exchanged(rows: Rows, _: Recording) -> None:
    rows[:, LAYOUT["joint_velocity"]] = np.roll(rows[:, LAYOUT["joint_velocity"]], 6, axis=1)


def relative_defenders(rows: Rows, recording: Recording) -> None:
    rows[:, LAYOUT["defender_xpos"]] -= np.tile(recording.qpos[:, 0, :3], 3)


def absolute_fallback(rows: Rows, recording: Recording) -> None:
    missing = recording.task == 0
    rows[missing, LAYOUT["target_xpos_rel_robot"]] = -recording.qpos[missing, 0, :3]


def next_task(rows: Rows, _: Recording) -> None:
    rows[:, LAYOUT["task_index"]] = np.roll(rows[:, LAYOUT["task_index"]], 1, axis=1)


KEEPER_POSITIONS = {"goalkeeper_team_0_xpos_rel_robot", "goalkeeper_team_1_xpos_rel_robot"}
KEEPER_VELOCITIES = {"goalkeeper_team_0_velp_rel_robot", "goalkeeper_team_1_velp_rel_robot"}


@pytest.mark.parametrize(
    ("mutate", "wrong"),
    [
        (rotated("ball_xpos_rel_robot"), {"ball_xpos_rel_robot"}),
        (rotated("goal_team_1_rel_ball"), {"goal_team_1_rel_ball"}),
        (rotated("target_velp_rel_robot"), {"target_velp_rel_robot"}),
        (rotated("ball_velr_rel_robot"), {"ball_velr_rel_robot"}),
        (exchanged("goal_team_0_rel_robot", "goal_team_1_rel_robot"), {f"goal_team_{i}_rel_robot" for i in (0, 1)}),
        (exchanged(*sorted(KEEPER_POSITIONS)), KEEPER_POSITIONS),
        (exchanged("gyro", "velocimeter"), {"gyro", "velocimeter"}),
        (in_degrees, {"joint_position"}),
        (legs_exchanged, {"joint_velocity"}),
        (relative_defenders, {"defender_xpos"}),
        (absolute_fallback, {"target_xpos_rel_robot"}),
        (next_task, {"task_index"}),
    ],
)
def test_a_field_that_is_told_otherwise_is_caught(
    recording: Recording, model: mujoco.MjModel, mutate: Mutant, wrong: set[str]
) -> None:
    rows = from_scene(recording, model).astype(np.float64)
    mutate(rows, recording)
    assert set(agreement(rows, recording, ignored=CONTACT_FIELDS).wrong) == wrong


OF_SITES = {name for name in LAYOUT if "xpos" in name or name.startswith("goal_team")}
OF_VELOCITIES = {name for name in LAYOUT if "_velp_" in name}


@pytest.mark.parametrize(
    ("lag", "wrong"),
    [
        ("sites and sensors after the step", {"projected_gravity", "gyro", "velocimeter"} | OF_SITES),
        ("velocities before the step", {"ball_velr_rel_robot"} | OF_VELOCITIES),
        ("goalkeepers after the step", KEEPER_POSITIONS | KEEPER_VELOCITIES),
    ],
)
def test_a_missing_or_an_added_lag_is_caught(
    recording: Recording, model: mujoco.MjModel, lag: str, wrong: set[str]
) -> None:
    qpos, qvel, time = recording.qpos.copy(), recording.qvel.copy(), recording.time.copy()
    if lag.startswith("sites"):
        qpos[:, 0], qvel[:, 0] = qpos[:, 1], qvel[:, 1]
    elif lag.startswith("velocities"):
        free = [*range(6), *range(18, 24)]
        qvel[:, 1, free] = qvel[:, 0, free]
    else:
        time += PHYSICS_TIMESTEP
    late = dataclasses.replace(recording, qpos=qpos, qvel=qvel, time=time)
    assert set(scene_agreement(late, model).wrong) == wrong


@pytest.mark.parametrize(
    ("function", "broken", "wrong"),
    [
        (
            "projected_gravity",
            lambda quaternion, xp, right=observation.projected_gravity: right(quaternion[:, [1, 2, 3, 0]], xp),
            {"projected_gravity"},
        ),
        ("to_world", lambda quaternion, vector, xp: vector, {"ball_velr_rel_robot"}),
        ("goalkeeper_seen", lambda time, xp: goalkeeper(np.maximum(time - 0.002, 0)), KEEPER_VELOCITIES),
    ],
    ids=["quaternion as x, y, z, w", "spin in the ball's frame", "goalkeepers that pass through their posts"],
)
def test_a_wrong_formula_is_caught(
    recording: Recording,
    model: mujoco.MjModel,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    broken: Callable[..., Any],
    wrong: set[str],
) -> None:
    monkeypatch.setattr(observation, function, broken)
    assert set(scene_agreement(recording, model).wrong) == wrong


def test_a_ball_site_in_the_middle_of_the_ball_is_caught(recording: Recording) -> None:
    spec = scene.build_spec(stand_still())
    spec.site("ball").pos = [0.0, 0.0, 0.11]
    found = scene_agreement(recording, spec.compile())
    assert set(found.wrong) == {"goal_team_0_rel_ball", "goal_team_1_rel_ball", "ball_xpos_rel_robot"}
    verdict = gate1(found)
    assert not verdict.passed
    assert "ball_xpos_rel_robot by 1.1e-01" in verdict.reason


def test_a_value_that_is_none_is_caught(recording: Recording) -> None:
    rows = recording.official.copy()
    rows[7, 2] = np.nan
    found = agreement(rows, recording)
    assert found.wrong == ("joint_position",)
    assert not found.passed


def test_one_task_alone_that_differs_is_caught_and_named(recording: Recording) -> None:
    rows = recording.official.copy()
    rows[recording.task == 2, LAYOUT["gyro"]] += 2e-6
    found = agreement(rows, recording)
    assert found.wrong == ("gyro",)
    assert found.worst["kick_to_target"]["gyro"] == pytest.approx(2e-6)
    assert found.worst["goalie_penalty_kick"]["gyro"] == 0.0
