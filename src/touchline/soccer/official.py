"""The official environments, stepped lean: a 50 Hz Gymnasium environment, bit-equal to their own ``step``.

The real ``sai-mujoco`` environment makes the model and resets the episode. Between two policy steps only what
is stateful happens a physics step: goalkeeper, PD torque, ``mj_step1``/``mj_step2`` and the referee; the
observation is read once, at the end. A test compares every bit with repeated ``env.step``.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray

from touchline.errors import TouchlineError
from touchline.soccer import observation as layout
from touchline.soccer.control import JOINTS, Controller
from touchline.soccer.diagnostics import log_mujoco_warnings
from touchline.soccer.episode import goalkeeper
from touchline.soccer.perturbation import NONE, Perturbation
from touchline.soccer.referee import referee_for
from touchline.soccer.score import official_score
from touchline.soccer.tasks import EPISODE_PHYSICS_STEPS, PHYSICS_TIMESTEP, TASKS, task_named


def make_official(task: str) -> Any:
    """Return the unwrapped ``sai-mujoco`` environment of ``task``; TouchlineError when it cannot be made."""
    official_id = task_named(task).official_id
    try:
        import sai_mujoco  # noqa: F401 (registers the environments)

        return gymnasium.make(official_id, disable_env_checker=True).unwrapped
    except Exception as error:
        raise TouchlineError(
            f"{official_id} cannot be made with mujoco {mujoco.__version__}: {error}. "
            "It needs mujoco 3.3.x and sai-mujoco; install both with: pip install 'touchline[soccer]'."
        ) from error


class OfficialEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """One official task under a PD controller; a step is ``controller.decimation`` physics steps of 2 ms.

    Observations are float32 of shape (89,) as ``observation.FIELDS`` documents, actions of shape (12,) in
    [-1, 1]. The reward is the official dense reward summed over the physics steps done. ``info`` has
    ``physics_steps`` of the episode, the official ``reward_terms`` of the last physics step and, once the
    episode has ended, the competition's ``score`` and ``success``. A time-out after 5,000 physics steps
    truncates. Raises UsageError for an unknown task.
    """

    def __init__(self, task: str, controller: Controller, *, perturbation: Perturbation | None = None) -> None:
        log_mujoco_warnings()
        self.task = task_named(task).name
        timestep = PHYSICS_TIMESTEP * controller.decimation
        self.metadata = {
            "render_modes": [],
            "render_fps": round(1 / timestep),
        }
        self.controller = controller
        self.perturbation = perturbation or NONE
        self.official = make_official(self.task)
        self.model: mujoco.MjModel = self.official.sim.model._model
        self.data: mujoco.MjData = self.official.sim.data._data
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (layout.OBSERVATION_SIZE,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (len(JOINTS),), np.float32)
        self.physics_steps = 0
        self._legs = _Legs(self.model, self.data, controller)
        self._keeper = _Goalkeeper(self.model, self.data) if hasattr(self.official, "keeper_id") else None
        self._referee = referee_for(self.official)
        self._eye = _Eye(self.official, TASKS.index(self.task))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Reset as the official environment does, then perturb; the same seed gives the same episode.

        ``options`` may hold another ``controller`` and another ``perturbation`` from here on: an environment
        takes 190 MB and up to a second to make, so one serves every policy.
        """
        super().reset(seed=seed)
        self.perturbation = (options or {}).get("perturbation", self.perturbation)
        if (controller := (options or {}).get("controller", self.controller)) != self.controller:
            self.controller = controller
            self._legs = _Legs(self.model, self.data, controller)
        self.official.reset(seed=seed)
        scenario = int(self.np_random.integers(2**31)) if seed is None else seed
        self.perturbation.apply(self.model, self.data, scenario)
        self._referee.reset()
        self.physics_steps = 0
        return self._eye.observe(), {"physics_steps": 0}

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Hold the action's joint targets for one policy step; stops early where the episode ends."""
        self._legs.aim(action)
        reward, terminated, truncated = 0.0, False, False
        for _ in range(self.controller.decimation):
            if self._keeper is not None:
                self._keeper.move()
            mujoco.mj_step1(self.model, self.data)
            self._legs.push()
            mujoco.mj_step2(self.model, self.data)
            self.physics_steps += 1
            paid, terminated = self._referee.judge()
            reward += paid
            truncated = self.physics_steps >= EPISODE_PHYSICS_STEPS
            if terminated or truncated:
                break
        terms = self._referee.terms()
        info: dict[str, Any] = {"physics_steps": self.physics_steps, "reward_terms": terms}
        if terminated or truncated:
            info["score"] = official_score(self.task, terms)
            info["success"] = bool(terms.get("goal_scored") or terms.get("success"))
        return self._eye.observe(), reward, terminated, truncated, info

    @property
    def qpos(self) -> NDArray[np.float64]:
        """A copy of the generalised positions, shape (nq,): one frame for ``render_trajectory``."""
        return np.array(self.data.qpos)

    def close(self) -> None:
        """Release the official environment's renderer."""
        self.official.close()


class _Legs:
    """The PD loop of the 12 leg joints; the formula of ``Controller.torque``, without allocation."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, controller: Controller) -> None:
        first = model.joint(f"robot_0:{JOINTS[0]}")
        motor = model.actuator(f"robot_0:{JOINTS[0]}").id
        self.position = data.qpos[first.qposadr[0] : first.qposadr[0] + len(JOINTS)]
        self.velocity = data.qvel[first.dofadr[0] : first.dofadr[0] + len(JOINTS)]
        self._motor = data.ctrl[motor : motor + len(JOINTS)]
        official_low, official_high = model.actuator_ctrlrange[motor : motor + len(JOINTS)].T
        limit = np.asarray(controller.torque_limit)
        self._low, self._high = np.maximum(-limit, official_low), np.minimum(limit, official_high)
        self._stiffness, self._damping = np.asarray(controller.stiffness), np.asarray(controller.damping)
        self._controller = controller
        self._braking = np.zeros(len(JOINTS))
        self._target = controller.target(np.zeros(len(JOINTS)))

    def aim(self, action: NDArray[Any]) -> None:
        self._target = self._controller.target(np.asarray(action, dtype=np.float64))

    def push(self) -> None:
        motor = self._motor
        np.subtract(self._target, self.position, out=motor)
        np.multiply(motor, self._stiffness, out=motor)
        np.multiply(self.velocity, self._damping, out=self._braking)
        np.subtract(motor, self._braking, out=motor)
        np.maximum(motor, self._low, out=motor)
        np.minimum(motor, self._high, out=motor)


class _Goalkeeper:
    """Both goalkeepers, carried along the goal line before every physics step as the official step does."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        joints = [model.joint(f"goalkeeper_team_{team}_joint") for team in (0, 1)]
        self._data = data
        self._positions = [(data.qpos, joint.qposadr[0]) for joint in joints]
        self._velocities = [(data.qvel, joint.dofadr[0]) for joint in joints]

    def move(self) -> None:
        position, velocity = goalkeeper(self._data.time)
        for array, index in self._positions:
            array[index] = position
        for array, index in self._velocities:
            array[index] = velocity


class _Eye:
    """Reads the observation of an official environment as it stands, with every official quirk."""

    def __init__(self, official: Any, task_index: int) -> None:
        self._official = official
        self._model, self._data = official.sim.model._model, official.sim.data._data
        self._task = np.eye(len(TASKS))[task_index]
        self._jacobian = np.zeros((3, self._model.nv))
        self._legs = [self._model.joint(f"robot_0:{name}") for name in JOINTS]
        self._robot = self._site(official._root_site)
        self._ball = self._site("ball")
        self._goals = [self._site("goal_post_south"), self._site("goal_post_north")]
        self._keepers = [self._site_or_robot(f"goalkeeper_team_{team}_site") for team in (0, 1)]
        self._target = self._site_or_robot(official.target_name)
        names = [f"defender_geom{i}" for i in range(3)]
        found = [mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_GEOM, name) for name in names]
        positions = self._data.geom_xpos
        self._defenders = [positions[i] if i >= 0 else self._data.site_xpos[self._robot] for i in found]

    def observe(self) -> NDArray[np.float32]:
        """Return the observation, shape (89,), float32."""
        data, sites = self._data, self._data.site_xpos
        robot, ball = sites[self._robot], sites[self._ball]
        robot_velocity, robot_spin = self._velocity(self._robot)
        ball_velocity, ball_spin = self._velocity(self._ball)
        quaternion = data.sensor("robot_0:torso_quat").data.astype(np.float32)
        fields = {
            "joint_position": data.qpos[[leg.qposadr[0] for leg in self._legs]],
            "joint_velocity": data.qvel[[leg.dofadr[0] for leg in self._legs]],
            "projected_gravity": layout.projected_gravity(quaternion),
            "gyro": data.sensor("robot_0:torso_gyro").data,
            "accelerometer": data.sensor("robot_0:accelerometer").data,
            "velocimeter": data.sensor("robot_0:torso_vel").data,
            "ball_xpos_rel_robot": ball - robot,
            "ball_velp_rel_robot": ball_velocity - robot_velocity,
            "ball_velr_rel_robot": ball_spin - robot_spin,
            "player_team": (1.0, 0.0) if self._official.current_team == 0 else (0.0, 1.0),
            "target_xpos_rel_robot": sites[self._target] - robot,
            "target_velp_rel_robot": self._velocity(self._target)[0] - robot_velocity,
            "defender_xpos": np.concatenate(self._defenders),
            "task_index": self._task,
        }
        for team, (goal, keeper) in enumerate(zip(self._goals, self._keepers, strict=True)):
            fields[f"goal_team_{team}_rel_robot"] = sites[goal] - robot
            fields[f"goal_team_{team}_rel_ball"] = sites[goal] - ball
            fields[f"goalkeeper_team_{team}_xpos_rel_robot"] = sites[keeper] - robot
            fields[f"goalkeeper_team_{team}_velp_rel_robot"] = self._velocity(keeper)[0] - robot_velocity
        return np.asarray(layout.assemble(fields), dtype=np.float32)

    def _velocity(self, site: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Linear and angular velocity of a site as the official wrapper computes them: Jacobian of the state
        before the step, velocities of the state after it."""
        linear, angular = self._jacobian, np.zeros_like(self._jacobian)
        mujoco.mj_jacSite(self._model, self._data, linear, angular, site)
        return np.dot(linear, self._data.qvel), np.dot(angular, self._data.qvel)

    def _site(self, name: str) -> int:
        return int(self._model.site(name).id)

    def _site_or_robot(self, name: str) -> int:
        found = mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_SITE, name)
        return found if found >= 0 else self._robot
