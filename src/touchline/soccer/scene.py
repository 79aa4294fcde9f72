"""The training scene, built from the robot's own XML: T1 lower body, ground and ball, one model for all backends.

PD control is part of the model (position actuators with the controller's gains), so a backend holds one target
over ``decimation`` physics steps. Velocity-dependent forces are integrated explicitly, as in the official
environments, where the torque is computed outside MuJoCo.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from touchline.soccer.control import JOINTS, Controller
from touchline.soccer.tasks import FIELD_LENGTH, FIELD_WIDTH, GOAL_WIDTH, PHYSICS_TIMESTEP

if TYPE_CHECKING:
    import mujoco

GROUND_HEIGHT = 0.01
"""The official feet stand on a logo plane 1 cm above the floor, with MuJoCo's default friction."""

SOLE_RADIUS = 0.0005
"""Radius of the spheres at the corners of the soles, metres."""

FEET = ("left_foot", "right_foot")
"""Sites of the feet, at the joints of the ankles; named as in the robot's XML."""

STANDING_FOOT_HEIGHT = GROUND_HEIGHT + 0.03
"""Height of a foot's site when its sole lies flat on the ground, metres."""

_FLOOR, _SOLE, _FOOT, _BALL, _BODY = (1, 0), (0, 1), (2, 0), (0, 3), (0, 1)


@dataclass(frozen=True)
class SceneIndex:
    """Where things lie in qpos, qvel and sensordata of the compiled scene."""

    root_position: slice
    root_velocity: slice
    joint_position: slice
    joint_velocity: slice
    ball_position: slice
    ball_velocity: slice
    sensors: dict[str, slice]


def robot_xml() -> str:
    """Return the path of the lower T1's XML inside ``sai-mujoco``."""
    return str(files("sai_mujoco") / "assets" / "robots" / "t1" / "v1" / "robot_lower.xml")


def build_spec(controller: Controller, *, visual: bool = False) -> mujoco.MjSpec:
    """Return the scene's specification.

    ``visual=True`` keeps the robot's meshes and adds a pitch for rendering; physics is the same without them.
    Contacts use bit masks because MJX of this version cannot take explicit pairs: feet and ball touch the
    ground, feet touch the ball, nothing else collides but the trunk with the ground. A foot stands on its four
    corners, each a tiny sphere: on a plane MuJoCo gives the corners of a box too, but MJX picks among them, and
    the two would part at the first landing.
    """
    import mujoco

    spec = mujoco.MjSpec.from_file(robot_xml())
    spec.option.timestep = PHYSICS_TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_EULERDAMP
    _thin_out_geoms(spec, visual)
    _add_ground_and_ball(spec, visual)
    _add_foot_sensors(spec)
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    for i, joint in enumerate(JOINTS):
        stiffness, damping, limit = controller.stiffness[i], controller.damping[i], controller.torque_limit[i]
        spec.add_actuator(
            name=joint,
            target=joint,
            trntype=mujoco.mjtTrn.mjTRN_JOINT,
            gaintype=mujoco.mjtGain.mjGAIN_FIXED,
            biastype=mujoco.mjtBias.mjBIAS_AFFINE,
            gainprm=[stiffness] + [0.0] * 9,
            biasprm=[0.0, -stiffness, -damping] + [0.0] * 7,
            forcerange=[-limit, limit],
            forcelimited=True,
            ctrllimited=False,
        )
    return spec


def _thin_out_geoms(spec: mujoco.MjSpec, visual: bool) -> None:
    import mujoco

    for geom in list(spec.geoms):
        if geom.type == mujoco.mjtGeom.mjGEOM_BOX:
            foot = geom.parent.name.endswith("foot_link")
            geom.contype, geom.conaffinity = _FOOT if foot else _BODY
            if foot:
                _add_sole(geom)
        elif geom.type == mujoco.mjtGeom.mjGEOM_MESH and visual:
            geom.contype, geom.conaffinity = 0, 0
        else:
            spec.delete(geom)
    if not visual:
        for mesh in list(spec.meshes):
            spec.delete(mesh)


def _add_sole(box: mujoco.MjsGeom) -> None:
    """Let the lower corners of a foot's box touch the ground; the box itself touches the ball alone."""
    import mujoco

    length, width, height = box.size
    for x in (-length, length):
        for y in (-width, width):
            box.parent.add_geom(
                type=mujoco.mjtGeom.mjGEOM_SPHERE,
                size=[SOLE_RADIUS, 0, 0],
                pos=box.pos + [x, y, SOLE_RADIUS - height],
                mass=0,
                contype=_SOLE[0],
                conaffinity=_SOLE[1],
                rgba=[0, 0, 0, 0],
            )


def _add_ground_and_ball(spec: mujoco.MjSpec, visual: bool) -> None:
    import mujoco

    spec.worldbody.add_geom(
        name="ground",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[0, 0, 0.25],
        pos=[0, 0, GROUND_HEIGHT],
        contype=_FLOOR[0],
        conaffinity=_FLOOR[1],
        rgba=[0.13, 0.5, 0.16, 1],
    )
    ball = spec.worldbody.add_body(name="ball")
    ball.add_freejoint(name="ball")
    ball.add_geom(
        name="ball",
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        size=[0.11, 0, 0],
        pos=[0, 0, 0.11],
        density=81,
        contype=_BALL[0],
        conaffinity=_BALL[1],
        rgba=[0.95, 0.95, 0.95, 1],
    )
    ball.add_site(name="ball")
    spec.add_sensor(
        name="ball_position", type=mujoco.mjtSensor.mjSENS_FRAMEPOS, objtype=mujoco.mjtObj.mjOBJ_SITE, objname="ball"
    )
    if visual:
        _add_pitch(spec)


def _add_foot_sensors(spec: mujoco.MjSpec) -> None:
    """Let rewards know where the feet are and how fast; the observation, which is the competition's, does not."""
    import mujoco

    for foot in FEET:
        for what, kind in (("position", "FRAMEPOS"), ("velocity", "FRAMELINVEL")):
            spec.add_sensor(
                name=f"{foot}_{what}",
                type=getattr(mujoco.mjtSensor, f"mjSENS_{kind}"),
                objtype=mujoco.mjtObj.mjOBJ_SITE,
                objname=foot,
            )


def _add_pitch(spec: mujoco.MjSpec) -> None:
    import mujoco

    mown = spec.add_texture(
        name="grass",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.16, 0.50, 0.19],
        rgb2=[0.13, 0.45, 0.16],
        width=256,
        height=256,
    )
    grass = spec.add_material(name="grass", texrepeat=[1, 1], texuniform=True)
    grass.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = mown.name
    ground = spec.geom("ground")
    ground.material, ground.rgba = grass.name, [1, 1, 1, 1]
    white = {"type": mujoco.mjtGeom.mjGEOM_BOX, "rgba": [0.95] * 3 + [1], "contype": 0, "conaffinity": 0}
    for x in (-FIELD_LENGTH, FIELD_LENGTH):
        spec.worldbody.add_geom(size=[0.05, FIELD_WIDTH, 0.002], pos=[x, 0, GROUND_HEIGHT], **white)
        for y in (-GOAL_WIDTH, GOAL_WIDTH):
            spec.worldbody.add_geom(size=[0.06, 0.06, 0.9], pos=[x, y, 0.9], **white)
        spec.worldbody.add_geom(size=[0.06, GOAL_WIDTH + 0.06, 0.06], pos=[x, 0, 1.8], **white)
    for y in (-FIELD_WIDTH, FIELD_WIDTH):
        spec.worldbody.add_geom(size=[FIELD_LENGTH, 0.05, 0.002], pos=[0, y, GROUND_HEIGHT], **white)
    spec.worldbody.add_geom(size=[0.05, FIELD_WIDTH, 0.002], pos=[0, 0, GROUND_HEIGHT], **white)


def index_of(model: mujoco.MjModel) -> SceneIndex:
    """Return the slices of ``model`` that observation and reward read."""
    root, ball, first = model.joint("root"), model.joint("ball"), model.joint(JOINTS[0])
    q, v = int(first.qposadr[0]), int(first.dofadr[0])
    sensors = {
        model.sensor(i).name: slice(int(model.sensor_adr[i]), int(model.sensor_adr[i] + model.sensor_dim[i]))
        for i in range(model.nsensor)
    }
    return SceneIndex(
        root_position=slice(int(root.qposadr[0]), int(root.qposadr[0]) + 7),
        root_velocity=slice(int(root.dofadr[0]), int(root.dofadr[0]) + 6),
        joint_position=slice(q, q + len(JOINTS)),
        joint_velocity=slice(v, v + len(JOINTS)),
        ball_position=slice(int(ball.qposadr[0]), int(ball.qposadr[0]) + 7),
        ball_velocity=slice(int(ball.dofadr[0]), int(ball.dofadr[0]) + 6),
        sensors=sensors,
    )
