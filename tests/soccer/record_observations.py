"""Play the official environments and record what they show: the truth that gate 1 compares with.

With the same sai-mujoco and mujoco, on the same kind of machine, this gives the packaged files bit for bit (20 s)::

    python -m tests.soccer.record_observations

Nothing here uses Touchline's layout: order and gravity are those of the competition's preprocessor, told anew.
Numbers are rounded to multiples of 2⁻²⁶ (off by 7.5e-9 at most), which halves the file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from touchline.soccer.control import JOINTS, Controller, soft_ankles, stand_still
from touchline.soccer.goalkeeper import VELOCITY_PATH
from touchline.soccer.official import OfficialEnv
from touchline.soccer.official_model import make_official
from touchline.soccer.recording import PATH, Recording
from touchline.soccer.tasks import EPISODE_PHYSICS_STEPS, TASKS

INFO = (
    ("robot_gyro", 3),
    ("robot_accelerometer", 3),
    ("robot_velocimeter", 3),
    ("goal_team_0_rel_robot", 3),
    ("goal_team_1_rel_robot", 3),
    ("goal_team_0_rel_ball", 3),
    ("goal_team_1_rel_ball", 3),
    ("ball_xpos_rel_robot", 3),
    ("ball_velp_rel_robot", 3),
    ("ball_velr_rel_robot", 3),
    ("player_team", 2),
    ("goalkeeper_team_0_xpos_rel_robot", 3),
    ("goalkeeper_team_0_velp_rel_robot", 3),
    ("goalkeeper_team_1_xpos_rel_robot", 3),
    ("goalkeeper_team_1_velp_rel_robot", 3),
    ("target_xpos_rel_robot", 3),
    ("target_velp_rel_robot", 3),
    ("defender_xpos", 9),
)
COLUMNS = (("observation[0:12]", 12), ("observation[12:24]", 12), ("projected_gravity", 3), *INFO, ("task_index", 3))


@dataclass(frozen=True)
class Phase:
    """26 observations of one episode: the reset's, and one every ``stride`` physics steps."""

    name: str
    seed: int
    stride: int
    controller: Controller | None
    """None: torques are drawn, not controlled."""
    amplitude: float
    """Of the uniformly drawn actions, or of the drawn torques as a share of the limit."""
    ball: tuple[float, float, float] | None = None
    """Where the ball starts relative to the robot (m, seen from the robot); it comes at 2 m/s, spinning."""


PHASES = (
    Phase("standing", 1, 67, stand_still(), 0.15),
    Phase("losing balance", 2, 22, soft_ankles(), 0.3),
    Phase("random torques", 3, 4, None, 1.0),
    Phase("ball coming", 4, 11, stand_still(), 0.3, ball=(0.9, 0.1, 0.15)),
)
OBSERVATIONS = 26
"""Of each phase."""


def turned_back(quaternion: NDArray[np.float64], vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """The competition's formula: ``vector`` in the frame of ``quaternion`` (x, y, z, w), taken to be of length 1."""
    axis, w = quaternion[:3], quaternion[3]
    return vector * (2 * w * w - 1) - 2 * w * np.cross(axis, vector) + 2 * axis * (axis @ vector)


def rounded(values: Any) -> NDArray[Any]:
    """Multiples of 2⁻²⁶, column by column so that they compress."""
    values = np.stack(values)
    if values.dtype == np.float64:
        values = np.round(values * 2.0**26) / 2.0**26
    return np.asfortranarray(values)


class Player:
    """One official environment, and where its parts lie in qpos and qvel."""

    def __init__(self, task: str) -> None:
        self.task = task
        self.env = make_official(task)
        self.model, self.data = self.env.sim.model._model, self.env.sim.data._data
        root, ball = self.model.joint("robot_0:root"), self.model.joint("env:ball")
        legs = [self.model.joint(f"robot_0:{name}") for name in JOINTS]
        self.motors = [int(self.model.actuator(f"robot_0:{name}").id) for name in JOINTS]
        self.legs_q, self.legs_v = [int(j.qposadr[0]) for j in legs], [int(j.dofadr[0]) for j in legs]
        self.root_q, self.root_v = int(root.qposadr[0]), int(root.dofadr[0])
        self.ball_q, self.ball_v = int(ball.qposadr[0]), int(ball.dofadr[0])

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Robot's root and legs and the ball, in this order."""
        q = [*range(self.root_q, self.root_q + 7), *self.legs_q, *range(self.ball_q, self.ball_q + 7)]
        v = [*range(self.root_v, self.root_v + 6), *self.legs_v, *range(self.ball_v, self.ball_v + 6)]
        return {"qpos": self.data.qpos[q].copy(), "qvel": self.data.qvel[v].copy(), "time": np.array(self.data.time)}

    def play(self, phase: Phase) -> Iterator[dict[str, Any]]:
        """Yield the rows of one phase."""
        random = np.random.default_rng((phase.seed, TASKS.index(self.task)))
        observation, info = self.env.reset(seed=phase.seed)
        if phase.ball is not None:
            observation, info = self._send_ball(phase.ball)
        state = self.state()
        yield self._row(observation, info, state, state)
        for _ in range(OBSERVATIONS - 1):
            draw = random.uniform(-phase.amplitude, phase.amplitude, 12)
            for _ in range(phase.stride):
                before = self.state()
                observation, _, terminated, _, info = self.env.step(self._torque(phase, draw))
                if terminated:
                    raise RuntimeError(f"{self.task}, {phase.name}: ended after {self.data.time:.3f} s; shorten it")
            yield self._row(observation, info, before, self.state())

    def _torque(self, phase: Phase, draw: NDArray[np.float64]) -> NDArray[np.float64]:
        if phase.controller is None:
            return draw * np.asarray(stand_still().torque_limit)
        target = phase.controller.target(draw)
        return phase.controller.torque(target, self.data.qpos[self.legs_q], self.data.qvel[self.legs_v])

    def _send_ball(self, start: tuple[float, float, float]) -> tuple[Any, dict[str, Any]]:
        root = self.data.qpos[self.root_q : self.root_q + 7]
        yaw = 2 * np.arctan2(root[6], root[3])
        forward, left = np.array([np.cos(yaw), np.sin(yaw), 0.0]), np.array([-np.sin(yaw), np.cos(yaw), 0.0])
        self.data.qpos[self.ball_q : self.ball_q + 2] = (root[:3] + start[0] * forward + start[1] * left)[:2]
        self.data.qpos[self.ball_q + 2] = start[2]
        self.data.qpos[self.ball_q + 3 : self.ball_q + 7] = [0.5, 0.5, -0.5, 0.5]
        self.data.qvel[self.ball_v : self.ball_v + 3] = -2.0 * forward
        self.data.qvel[self.ball_v + 3 : self.ball_v + 6] = [4.0, -9.0, 6.0]
        mujoco.mj_forward(self.model, self.data)
        return self.env._get_obs(), self.env._get_info()

    def _row(self, observation: Any, info: dict[str, Any], before: Any, after: Any) -> dict[str, Any]:
        gravity = turned_back(info["robot_quat"].astype(np.float64), np.array([0.0, 0.0, -1.0]))
        one_hot = np.eye(len(TASKS))[TASKS.index(self.task)]
        parts = [observation[:12], observation[12:24], gravity, *(info[name] for name, _ in INFO), one_hot]
        assert [np.size(part) for part in parts] == [size for _, size in COLUMNS]
        return {
            "official": np.concatenate(parts, dtype=np.float64),
            "quaternion": info["robot_quat"].copy(),
            "qpos": np.stack([before["qpos"], after["qpos"]]),
            "qvel": np.stack([before["qvel"], after["qvel"]]),
            "time": np.stack([before["time"], after["time"]]),
            "torque": self.data.ctrl[self.motors].copy(),
            "target": self._target(),
            "defenders": self._defenders(),
        }

    def _target(self) -> NDArray[np.float64]:
        name = self.env.target_name
        return np.zeros(3) if name == self.env._root_site else self.data.site(name).xpos.copy()

    def _defenders(self) -> NDArray[np.float64]:
        if self.task != "obstacle_penalty_kick":
            return np.zeros(9)
        return np.concatenate([self.data.geom(f"defender_geom{i}").xpos for i in range(3)])


def record_goalkeeper(steps: int = EPISODE_PHYSICS_STEPS) -> NDArray[np.float32]:
    """Return the goalkeepers' velocity along y after each physics step of an episode, m/s, shape (steps,).

    Both move alike and, as nobody touches them, the same in every episode.
    """
    env = OfficialEnv("goalie_penalty_kick", dataclasses.replace(stand_still(), decimation=1))
    env.reset(seed=0)
    keeper = int(env.model.joint("goalkeeper_team_0_joint").dofadr[0])
    seen = []
    for _ in range(steps):
        env.step(np.zeros(12))
        seen.append(env.data.qvel[keeper])
    env.close()
    return np.asarray(seen, dtype=np.float32)


def record(tasks: Sequence[str] = TASKS, phases: Sequence[Phase] = PHASES) -> Recording:
    """Play ``phases`` in every task and return all rows."""
    rows: list[dict[str, Any]] = []
    for task in tasks:
        player = Player(task)
        for phase in phases:
            rows += [{**row, "task": TASKS.index(task), "phase": PHASES.index(phase)} for row in player.play(phase)]
        player.env.close()
    return Recording(
        **{name: rounded([row[name] for row in rows]) for name in rows[0]},
        columns=COLUMNS,
        phases=tuple(phase.name for phase in PHASES),
        versions={name: version(name) for name in ("sai-mujoco", "mujoco")},
    )


if __name__ == "__main__":
    record().save(PATH)
    np.save(VELOCITY_PATH, record_goalkeeper())
    for path in (PATH, VELOCITY_PATH):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
