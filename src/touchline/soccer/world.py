"""The training world: the T1 robot, a ball and the three tasks of the competition, for every backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from touchline.errors import TouchlineError
from touchline.simulation import scenario as simulation
from touchline.simulation.randomisation import NONE, Randomisation
from touchline.simulation.symmetry import Symmetry
from touchline.simulation.world import Moves, Physics, Start, World
from touchline.soccer import episode as episodes
from touchline.soccer import mirror, outcomes, rewards, scene
from touchline.soccer.control import Controller, soft_ankles, stand_still
from touchline.soccer.gait import Gait, bearing_of
from touchline.soccer.noise import standard_deviations
from touchline.soccer.observation import FIELDS, LAYOUT, OBSERVATION_SIZE, observe
from touchline.soccer.perturbation import NONE as NOT_PERTURBED
from touchline.soccer.perturbation import Perturbation
from touchline.soccer.rewards import RewardWeights
from touchline.soccer.scenario import Scenario, scenarios
from touchline.soccer.tasks import FALL_HEIGHT, TASKS, WALKING_SPEEDS

if TYPE_CHECKING:
    import gymnasium
    import mujoco


@dataclass(frozen=True)
class SoccerWorld(World):
    """The training world; the same for every backend."""

    controller: Controller = field(default_factory=soft_ankles)
    """Pose and gains that the actions are residuals on."""
    reward_weights: RewardWeights = field(default_factory=RewardWeights)
    """Weights of the dense reward's terms."""
    episode_steps: int = 500
    """Time limit in policy steps; 500 steps of 20 ms are the official 10 s."""
    joint_noise: float = 0.05
    """Half-width of the start pose's uniform noise, radians."""
    velocity_noise: float = 0.2
    """Half-width of the start velocity's uniform noise, m/s."""
    gait: Gait = field(default_factory=Gait)
    """How the teacher walks whose steps a training may begin from."""
    randomisation: Randomisation = NONE
    """How much masses, friction, damping, the ball and the sensors differ, and pushes."""

    name = "soccer"
    tasks = TASKS
    starts_alike = ("goalie_penalty_kick",)
    uniforms = episodes.UNIFORMS

    @property
    def decimation(self) -> int:  # type: ignore[override]
        """Physics steps of 2 ms a policy step."""
        return self.controller.decimation

    @property
    def observation_size(self) -> int:
        """89, see ``observation.FIELDS``."""
        return OBSERVATION_SIZE

    @cached_property
    def weights(self) -> Mapping[str, float]:
        """Weight of every term, by name."""
        return asdict(self.reward_weights)

    @cached_property
    def symmetry(self) -> Symmetry:  # type: ignore[override]
        """Left and right."""
        return mirror.symmetry()

    @cached_property
    def noise(self) -> Any:
        """Standard deviation of each number of the observation at a noise of 1, shape (89,)."""
        return standard_deviations()

    @cached_property
    def index(self) -> scene.SceneIndex:
        """Where things lie in the compiled scene."""
        return scene.index_of(self.model)

    def spec(self, *, visual: bool = False) -> mujoco.MjSpec:
        """Return the scene; ``visual`` keeps the robot's meshes and adds a pitch, with the same physics."""
        return scene.build_spec(self.controller, visual=visual)

    def start(self, uniform: Any, task: Any, xp: ModuleType) -> Start:
        """Draw episodes as the official environments do, plus the declared noise on joints and base velocity."""
        episode, begin = episodes.sample(
            uniform, task, joint_noise=self.joint_noise, velocity_noise=self.velocity_noise, xp=xp
        )
        # The scene holds the robot, then the ball, and nothing else that moves.
        qpos = xp.concatenate([begin.root, begin.joints, begin.ball], axis=-1)
        rest = xp.zeros((qpos.shape[0], self.model.nv - begin.root_velocity.shape[1]))
        return Start(qpos, xp.concatenate([begin.root_velocity, rest], axis=-1), episode)

    def control(self, action: Any, xp: ModuleType) -> Any:
        """Return joint targets in radians, shape (..., 12)."""
        return self.controller.target(action, xp)

    def observe(self, physics: Physics, episode: episodes.Episode, xp: ModuleType) -> Any:
        """Return the competition's observation, shape (n, 89)."""
        qpos, qvel, sensors, time = physics
        return observe(qpos, qvel, sensors, episode, time, self.index, xp)

    def terms(self, physics: Physics, episode: episodes.Episode, moves: Moves, xp: ModuleType) -> dict[str, Any]:
        """Return the dense reward's terms, see ``rewards``."""
        return rewards.reward_terms(physics, episode, moves, self.index, xp)

    def demonstrate(self, qpos: Any, observation: Any, seconds: Any) -> Any:
        """Walk to the ball by the clock, see ``gait``, as far as the controller's actions reach."""
        index = self.index
        bearing = bearing_of(qpos[:, index.root_position], qpos[:, index.ball_position])
        speed = observation[:, LAYOUT["task_index"]] @ np.array(WALKING_SPEEDS)
        return self.controller.action(self.gait.target(observation, bearing, seconds, speed))

    @property
    def felt(self) -> Any:
        """What the robot feels of itself, and its task; not where on the pitch it is."""
        felt = [field.frame in ("joint", "body") or field.name == "task_index" for field in FIELDS]
        return np.repeat(felt, [field.size for field in FIELDS])

    def remember(self, physics: Physics, episode: episodes.Episode, xp: ModuleType) -> episodes.Episode:
        """Keep whether the ball was touched and a goal was scored."""
        return outcomes.remember(physics, episode, self.index, xp)

    def outcomes(self, physics: Physics, episode: episodes.Episode, xp: ModuleType) -> dict[str, Any]:
        """Return ``fall``, ``touch``, ``goal`` and ``distance``, see ``outcomes``."""
        return outcomes.outcomes(physics, episode, self.index, xp)

    def terminated(self, physics: Physics, xp: ModuleType) -> Any:
        """A robot whose imu is at or below 0.4 m has fallen, as in the official environments."""
        return physics.sensors[..., self.index.sensors["position"]][..., 2] <= FALL_HEIGHT

    def verify(self, xp: ModuleType) -> dict[str, str]:
        """Pass gate 1 in NumPy or JAX; TouchlineError names the fields that differ from the official ones."""
        from touchline.gates import gate1
        from touchline.soccer.gate1 import scene_agreement
        from touchline.soccer.recording import load_recording

        found = scene_agreement(load_recording(), self.model, xp)
        verdict = gate1(found)
        if not verdict.passed:
            raise TouchlineError(
                f"The training scene does not show what the official environments show. {verdict.reason} "
                "Nothing was trained; docs/observation.md says how each field is meant."
            )
        return {"gate1.largest_difference": f"{found.largest:.1e}"}

    def target_environment(self, task: str, perturbation: Perturbation | None = None) -> gymnasium.Env[Any, Any]:
        """Return the official environment of ``task``."""
        from touchline.soccer.official import OfficialEnv

        return OfficialEnv(task, self.controller, perturbation=perturbation)

    def scenarios(self, seeds: Iterable[int], perturbation: Perturbation | None = None) -> tuple[Scenario, ...]:
        """Return the official episodes of every task with every seed, perturbed as declared or not at all."""
        return scenarios(seeds, perturbation or NOT_PERTURBED)

    def reset_options(self, metadata: Mapping[str, Any], scenario: simulation.Scenario) -> dict[str, Any]:
        """Return the options of ``OfficialEnv.reset``: one environment serves every policy."""
        return {"controller": Controller.from_dict(metadata["controller"]), "scenario": scenario}

    def acting_as(self, metadata: Mapping[str, Any]) -> SoccerWorld:
        """Return the world under the controller that travels with a policy."""
        return replace(self, controller=Controller.from_dict(metadata["controller"]))

    def at_rest(self) -> SoccerWorld:
        """Return the world of stiff ankles, in which action 0 stands still for the whole episode."""
        return replace(self, controller=stand_still())

    def metadata(self) -> dict[str, Any]:
        """Return what travels with every policy: the same weights under other gains are another robot."""
        return {"controller": self.controller.to_dict()}
