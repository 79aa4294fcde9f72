"""What gate 1 judges: how far our observations are from the recorded official ones, by task and field.

Two of them are compared: the competition's own fields put through the layout (``from_info``), and the training
scene set up in the recorded states (``from_scene``). Both run in NumPy or JAX.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from touchline.gates import Agreement
from touchline.soccer import observation
from touchline.soccer.episode import Episode
from touchline.soccer.layout import FIELDS, LAYOUT
from touchline.soccer.recording import Recording
from touchline.soccer.tasks import TASKS

if TYPE_CHECKING:
    import mujoco

TOLERANCE = 1e-6
"""Largest difference allowed; rounding an exact value of 16 to 32 m to float32 alone costs up to 0.95e-6."""
FLOAT32_TOLERANCE = 1e-5
"""The same where the state itself is float32, as in MJX; a spin of 16 rad/s turned in float32 is off by 3.7e-6."""
CONTACT_FIELDS = ("accelerometer",)
"""What the training scene's simpler contacts change."""


def agreement(
    ours: Any, recording: Recording, *, tolerance: float = TOLERANCE, ignored: tuple[str, ...] = ()
) -> Agreement:
    """Compare observations, shape (n, 89), with ``recording.official``, in float64: task by task, field by field."""
    difference = np.abs(np.asarray(ours, dtype=np.float64) - recording.official)
    chosen = {name: recording.task == i for i, name in enumerate(TASKS) if (recording.task == i).any()}
    worst = {
        task: {name: float(difference[rows, part].max()) for name, part in LAYOUT.items()}
        for task, rows in chosen.items()
    }
    return Agreement(worst, {task: int(rows.sum()) for task, rows in chosen.items()}, tolerance, ignored)


def from_info(recording: Recording, xp: ModuleType = np) -> Any:
    """Return observations laid out from the official observation and info, shape (n, 89), float32."""
    info = {name: xp.asarray(value) for name, value in recording.info().items()}
    fields = {field.name: info[field.official] for field in FIELDS if field.official in info}
    fields["projected_gravity"] = observation.projected_gravity(info["robot_quat"][:, np.array([3, 0, 1, 2])], xp)
    return observation.assemble(fields, xp)


def from_scene(recording: Recording, model: mujoco.MjModel, xp: ModuleType = np) -> Any:
    """Return what ``observe`` shows of the training scene in the recorded states, shape (n, 89), float32.

    The sensors are MuJoCo's of the state before the last physics step, under the recorded torques. With
    ``jax.numpy`` all inputs are rounded to JAX's precision first, and ``observe`` is compiled as in MJX.
    """
    import mujoco

    from touchline.soccer.scene import index_of

    index = index_of(model)
    n, data = len(recording.task), mujoco.MjData(model)
    qpos, qvel = np.zeros((n, 2, model.nq)), np.zeros((n, 2, model.nv))
    for part, columns in (("root", slice(0, 7)), ("joint", slice(7, 19)), ("ball", slice(19, 26))):
        qpos[..., getattr(index, f"{part}_position")] = recording.qpos[..., columns]
    for part, columns in (("root", slice(0, 6)), ("joint", slice(6, 18)), ("ball", slice(18, 24))):
        qvel[..., getattr(index, f"{part}_velocity")] = recording.qvel[..., columns]
    stiffness, damping = model.actuator_gainprm[:, 0], -model.actuator_biasprm[:, 2]
    braking = damping * qvel[:, 0, index.joint_velocity]
    targets = qpos[:, 0, index.joint_position] + (recording.torque + braking) / stiffness
    sensors = np.zeros((n, model.nsensordata))
    for i in range(n):
        data.qpos[:], data.qvel[:], data.ctrl[:] = qpos[i, 0], qvel[i, 0], targets[i]
        mujoco.mj_forward(model, data)
        sensors[i] = data.sensordata
    episode = Episode(
        task=np.eye(len(TASKS))[recording.task],
        target=recording.target,
        defenders=recording.defenders,
        origin=np.zeros((n, 2)),
        touched=np.zeros(n, dtype=bool),
        scored=np.zeros(n, dtype=bool),
    )
    shown = partial(observation.observe, index=index, xp=xp)
    if xp is not np:
        import jax

        shown = jax.jit(shown)
    return shown(qpos[:, 1], qvel[:, 1], sensors, episode, recording.time[:, 1])


def scene_agreement(recording: Recording, model: mujoco.MjModel, xp: ModuleType = np) -> Agreement:
    """Compare what ``observe`` shows of the training scene with the recording, in NumPy or JAX: gate 1 judges it.

    The allowed difference is ``TOLERANCE`` in double precision, else ``FLOAT32_TOLERANCE``.
    """
    precise = xp.asarray(recording.time).dtype == np.float64
    tolerance = TOLERANCE if precise else FLOAT32_TOLERANCE
    return agreement(from_scene(recording, model, xp), recording, tolerance=tolerance, ignored=CONTACT_FIELDS)
