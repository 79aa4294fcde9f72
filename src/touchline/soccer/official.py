"""The official environments, stepped lean: a 50 Hz Gymnasium environment, bit-equal to their own ``step``.

The real ``sai-mujoco`` environment makes the model and resets the episode. Between two policy steps only what
is stateful happens a physics step: goalkeeper, PD torque, ``mj_step`` in a lean copy of the model, and a look of the
referee; reward and observation are reckoned once, at the end. A test compares every bit with repeated ``env.step``.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray

from touchline.errors import UsageError
from touchline.simulation.diagnostics import log_mujoco_warnings
from touchline.simulation.spaces import refuse_misfit, refuse_unknown
from touchline.soccer import observation as layout
from touchline.soccer.control import JOINTS, TORQUE_RANGE, Controller
from touchline.soccer.eye import Eye
from touchline.soccer.goalkeeper import goalkeeper
from touchline.soccer.official_model import official_model
from touchline.soccer.perturbation import NONE, ObservationNoise, Perturbation
from touchline.soccer.referee import referee_for
from touchline.soccer.scenario import Scenario
from touchline.soccer.score import official_score, outcome, score_terms
from touchline.soccer.tasks import EPISODE_PHYSICS_STEPS, PHYSICS_TIMESTEP, TASKS, task_named

logger = logging.getLogger("touchline")

_PHYSICS = mujoco.mjtState.mjSTATE_INTEGRATION


class OfficialEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """One official task under a PD controller; a step is ``controller.decimation`` physics steps of 2 ms.

    Observations are float32 of shape (89,) as ``layout.FIELDS`` documents, actions of shape (12,) in
    [-1, 1]. The reward is the official dense reward summed over the physics steps done. ``info`` has
    ``physics_steps`` of the episode, the official ``reward_terms`` of the last physics step and, once the
    episode has ended, the competition's ``score`` and the ``score_terms`` that sum to it, ``success``, the
    ``outcome`` in words, the ``task`` and its ``outcomes``: the truths ``fall``, ``touch`` (of the ball) and
    ``goal``, ``touches`` (how often one began) and ``distance`` (metres over the ground from the robot's start to its
    end). A time-out after 5,000 physics steps truncates. Raises UsageError for an unknown task.
    """

    def __init__(self, task: str, controller: Controller, *, perturbation: Perturbation | None = None) -> None:
        log_mujoco_warnings()
        if not isinstance(controller, Controller):
            raise UsageError(
                f"controller is {controller!r}. Give a Controller, such as controller_named('stand_still')."
            )
        self.task = task_named(task).name
        timestep = PHYSICS_TIMESTEP * controller.decimation
        self.metadata = {
            "render_modes": [],
            "render_fps": round(1 / timestep),
        }
        self.controller = controller
        self.perturbation = perturbation or NONE
        self._source = official_model(self.task)
        official = self._source.official
        self.model, self.data = self._source.simulation()
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (layout.OBSERVATION_SIZE,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (len(JOINTS),), np.float32)
        self.physics_steps = 0
        self._legs = _Legs(self.model, self.data, controller)
        self._keeper = _Goalkeeper(self.model, self.data) if hasattr(official, "keeper_id") else None
        self._referee = referee_for(official, self.model, self.data)
        self._eye = Eye(official, self.model, self.data, TASKS.index(self.task))
        self._trunk = self.model.body("robot_0:Trunk").id
        root = int(self.model.joint("robot_0:root").qposadr[0])
        self._root = self.data.qpos[root : root + 2]
        self._origin: list[float] = [0.0, 0.0]
        self._forces: dict[int, tuple[float, float]] = {}
        self._noise: ObservationNoise | None = None
        self._seed: int | None = None
        self._played = self.perturbation
        """The perturbation of the running episode, which a scenario may have brought."""
        self._is_running = False
        self._actions: list[NDArray[np.float64]] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Reset as the official environment does, then perturb; the same seed gives the same episode.

        Without a seed the scenario is drawn from the generator that the last seed started.

        ``options`` may hold another ``controller`` and another ``perturbation`` from here on, so one environment
        serves every policy. A ``scenario`` brings its own seed and perturbation, for this episode alone. UsageError
        when it is of another task, or for an unknown option.
        """
        options = options or {}
        refuse_unknown(options, ("controller", "perturbation", "scenario"))
        self.perturbation = perturbation = options.get("perturbation", self.perturbation)
        scenario: Scenario | None = options.get("scenario")
        if scenario is not None:
            if scenario.task != self.task:
                raise UsageError(f"A scenario of {scenario.task} cannot be played in an environment of {self.task}.")
            seed, perturbation = scenario.seed, scenario.perturbation
        super().reset(seed=seed)
        self._take(options.get("controller", self.controller))
        observation = self._begin(int(self.np_random.integers(2**31)) if seed is None else seed, perturbation)
        return observation, {"physics_steps": 0}

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Hold the action's joint targets for one policy step; stops early where the episode ends.

        Raises RuntimeError where no episode runs, UsageError for an action of another shape or that is not finite.
        """
        if not self._is_running:
            raise RuntimeError("step() was called without a running episode; call reset(seed=...) first.")
        refuse_misfit(action, (len(JOINTS),))
        self._actions.append(np.array(action, dtype=np.float64))
        self._legs.aim(action)
        terminated = truncated = False
        for _ in range(self.controller.decimation):
            if self._keeper is not None:
                self._keeper.move(self.physics_steps)
            if self.physics_steps in self._forces:
                self.data.xfrc_applied[self._trunk, :2] = self._forces[self.physics_steps]
            self._legs.push()
            mujoco.mj_step(self.model, self.data)
            self.physics_steps += 1
            terminated = self._referee.watch()
            truncated = self.physics_steps >= EPISODE_PHYSICS_STEPS
            if terminated or truncated:
                break
        reward, terms = self._referee.pay(), self._referee.terms()
        info: dict[str, Any] = {"physics_steps": self.physics_steps, "reward_terms": terms}
        if terminated or truncated:
            self._is_running = False
            paid = score_terms(self.task, terms)
            goal = bool(terms.get("goal_scored") or terms.get("success"))
            info |= {"score": float(sum(paid.values())), "score_terms": paid, "success": goal, "task": self.task}
            info["outcome"] = outcome(terms, truncated=truncated)
            info["outcomes"] = {
                "fall": info["outcome"] == "fallen",
                "touch": self._referee.touches > 0,
                "goal": goal,
                "touches": self._referee.touches,
                "distance": math.dist(self._root.tolist(), self._origin),
            }
        return self._observe(), reward, terminated, truncated, info

    def state_dict(self) -> dict[str, Any]:
        """Return what determines the rest: scenario, actions so far, controller, perturbation and generator.

        An official episode's state is spread over MuJoCo's data, the model that a reset moves and the official
        objects; a reset with a seed makes all of it anew, whatever went before. ``physics`` is there to check that.
        """
        return {
            "task": self.task,
            "controller": self.controller.to_dict(),
            "perturbation": asdict(self.perturbation),
            "played": asdict(self._played),
            "seed": self._seed,
            "actions": np.array(self._actions).reshape(-1, len(JOINTS)),
            "physics_steps": self.physics_steps,
            "physics": self._physics(),
            "generator": self.np_random.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``: reset to its scenario and repeat its actions, about 1 ms each, bit for bit.

        Where this machine's arithmetic rounds otherwise, so that it ends elsewhere, the saved physics counts and a
        warning says so. Raises UsageError for a state of another task.
        """
        if state["task"] != self.task:
            raise UsageError(
                f"The saved state is of {state['task']} and this environment of {self.task}. "
                "Make the environments in the order they had when they were saved."
            )
        self._take(Controller.from_dict(state["controller"]))
        self.perturbation = Perturbation(**state["perturbation"])
        self._seed = state["seed"]
        if self._seed is not None:
            self._begin(self._seed, Perturbation(**state["played"]))
            for action in state["actions"]:
                self.step(action)
            self._settle(state)
        self.np_random.bit_generator.state = state["generator"]

    def _take(self, controller: Controller) -> None:
        if controller != self.controller:
            self.controller = controller
            self._legs = _Legs(self.model, self.data, controller)

    def _begin(self, scenario: int, perturbation: Perturbation) -> NDArray[np.float32]:
        self._played, self._is_running = perturbation, True
        # Without a seed the official generator would run on, and nobody could come back to this episode.
        self._source.official.reset(seed=scenario)
        perturbation.apply(self._source.visual, self._source.data, scenario)
        self._source.start(self.model, self.data)
        self._referee.reset()
        self._eye.reset()
        self._origin = self._root.tolist()
        self._forces = {}
        for push in perturbation.pushes_of(scenario):
            self._forces[push.physics_step] = push.force
            self._forces[push.physics_step + push.physics_steps] = (0.0, 0.0)  # unless the next begins there
        self._noise = perturbation.noise_of(scenario)
        self._seed, self.physics_steps = scenario, 0
        self._actions.clear()
        return self._observe()

    def _observe(self) -> NDArray[np.float32]:
        seen = self._eye.observe()
        return seen if self._noise is None else self._noise.added_to(seen)

    def _physics(self) -> NDArray[np.float64]:
        state = np.zeros(mujoco.mj_stateSize(self.model, _PHYSICS))
        mujoco.mj_getState(self.model, self.data, state, _PHYSICS)
        return state

    def _settle(self, state: Mapping[str, Any]) -> None:
        reached, saved = self._physics(), state["physics"]
        if reached.shape != saved.shape:
            raise UsageError(
                f"The saved state of {self.task} has {saved.size} numbers and this environment's {reached.size}, so "
                "it comes from another version of sai-mujoco. Install that version, or start over."
            )
        if np.array_equal(reached, saved, equal_nan=True):
            return
        logger.warning(
            "The episode of scenario %d of %s came out otherwise when its %d actions were repeated, by up to %.1e: "
            "this machine or its MuJoCo rounds differently. It goes on from the saved positions, and the training "
            "will not be bit for bit what it would have been.",
            self._seed, self.task, len(state["actions"]), np.abs(reached - saved).max(),
        )  # fmt: skip
        mujoco.mj_setState(self.model, self.data, saved, _PHYSICS)
        self.physics_steps = state["physics_steps"]

    @property
    def score(self) -> float:
        """The competition's score if the episode ended now; 0 before the first step, which alone is judged."""
        return official_score(self.task, self._referee.terms()) if self.physics_steps else 0.0

    @property
    def visual_model(self) -> mujoco.MjModel:
        """The whole model, with its meshes, for ``render_trajectory``; placed as at the task's last reset here."""
        return self._source.visual

    @property
    def qpos(self) -> NDArray[np.float64]:
        """A copy of the generalised positions, shape (nq,): one frame for ``render_trajectory``."""
        return np.array(self.data.qpos)


class _Legs:
    """The PD loop of the 12 leg joints as the competition computes it for a deployed policy, bit for bit.

    That is in float32 and by way of shares of the control range: the deployed file returns them, and ``sai_rl`` makes
    ``low + (high - low) * (share + 1) / 2`` of them. Nothing is allocated.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, controller: Controller) -> None:
        first = model.joint(f"robot_0:{JOINTS[0]}")
        motor = model.actuator(f"robot_0:{JOINTS[0]}").id
        self.position = data.qpos[first.qposadr[0] : first.qposadr[0] + len(JOINTS)]
        self.velocity = data.qvel[first.dofadr[0] : first.dofadr[0] + len(JOINTS)]
        self._motor = data.ctrl[motor : motor + len(JOINTS)]
        low, high = model.actuator_ctrlrange[motor : motor + len(JOINTS)].T.astype(np.float32)
        self._lowest_torque, self._torque_width = low, high - low
        values = {name: np.asarray(value, np.float32) for name, value in vars(controller).items()}
        self._least = -values["torque_limit"]
        self._limit, self._range = values["torque_limit"], np.asarray(TORQUE_RANGE, np.float32)
        self._stiffness, self._damping = values["stiffness"], values["damping"]
        self._pose, self._scale = values["pose"], values["action_scale"]
        self._lowest, self._highest = values["joint_lower"], values["joint_upper"]
        self._target, self._torque, self._velocity = np.zeros((3, len(JOINTS)), np.float32)

    def aim(self, action: NDArray[Any]) -> None:
        target = self._target
        target[:] = action
        np.maximum(target, -1.0, out=target)
        np.minimum(target, 1.0, out=target)
        np.multiply(target, self._scale, out=target)
        np.add(target, self._pose, out=target)
        np.maximum(target, self._lowest, out=target)
        np.minimum(target, self._highest, out=target)

    def push(self) -> None:
        torque, velocity = self._torque, self._velocity
        torque[:], velocity[:] = self.position, self.velocity
        np.subtract(self._target, torque, out=torque)
        np.multiply(torque, self._stiffness, out=torque)
        np.multiply(velocity, self._damping, out=velocity)
        np.subtract(torque, velocity, out=torque)
        np.maximum(torque, self._least, out=torque)
        np.minimum(torque, self._limit, out=torque)
        np.divide(torque, self._range, out=torque)
        np.add(torque, 1.0, out=torque)
        np.multiply(torque, 0.5, out=torque)
        np.multiply(torque, self._torque_width, out=torque)
        np.add(torque, self._lowest_torque, out=torque)
        self._motor[:] = torque


class _Goalkeeper:
    """Both goalkeepers, carried along the goal line before every physics step as the official step does."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        joints = [model.joint(f"goalkeeper_team_{team}_joint") for team in (0, 1)]
        self._data = data
        self._positions = [(data.qpos, joint.qposadr[0]) for joint in joints]
        self._velocities = [(data.qvel, joint.dofadr[0]) for joint in joints]

    def move(self, step: int) -> None:
        """Place them for physics step ``step`` of the episode, counted from 0."""
        position, velocity = _PATROL[step] if step < len(_PATROL) else goalkeeper(self._data.time)
        for array, index in self._positions:
            array[index] = position
        for array, index in self._velocities:
            array[index] = velocity


def _patrol() -> list[tuple[float, float]]:
    """The goalkeepers' position and velocity before every physics step; time is summed as MuJoCo sums it."""
    times = np.add.accumulate(np.r_[0.0, np.full(EPISODE_PHYSICS_STEPS - 1, PHYSICS_TIMESTEP)])
    position, velocity = goalkeeper(times)
    return list(zip(position.tolist(), velocity.tolist(), strict=True))


_PATROL = _patrol()
