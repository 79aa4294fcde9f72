"""What a world is: a robot, how an action moves it, what it sees, and what it is paid for."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from touchline.errors import UsageError
from touchline.simulation.randomisation import NONE, Randomisation
from touchline.simulation.scenario import Scenario
from touchline.simulation.symmetry import Symmetry

if TYPE_CHECKING:
    import gymnasium
    import mujoco


class Physics(NamedTuple):
    """What physics knows after a step; every array has the same leading axes, none or several."""

    qpos: Any
    """Generalised positions, shape (..., nq)."""
    qvel: Any
    """Generalised velocities, shape (..., nv)."""
    sensors: Any
    """Readings of the model's sensors, shape (..., nsensordata). MuJoCo computes them before it integrates, so they
    are of the state one physics step before ``qpos``."""
    time: Any
    """Seconds since the episode began, shape (...)."""


class Start(NamedTuple):
    """How a batch of episodes begins."""

    qpos: Any
    """Shape (n, nq)."""
    qvel: Any
    """Shape (n, nv)."""
    episode: Any = ()
    """What else an episode is made of, chosen at its start: a NamedTuple of arrays with n rows, or (). It is handed
    back to ``observe`` and ``terms``, and ``remember`` may change it."""


class Moves(NamedTuple):
    """What was done in a policy step, for reward terms."""

    action: Any
    """In [-1, 1], shape (n, action_size)."""
    previous: Any
    """The action before it; zeros at the start of an episode."""
    ended: Any
    """1.0 where the step terminated the episode, else 0.0, shape (n,)."""


class World(ABC):
    """A robot and its tasks, as functions of arrays that every backend shares.

    Functions with an argument ``xp`` are called with ``numpy`` or ``jax.numpy`` and must keep to what both offer:
    no branch on values, no assignment into arrays. They take batches, and are told which axes lead.
    """

    name: str = "world"
    """Name in messages and in the metadata of policies."""
    tasks: tuple[str, ...] = ("task",)
    """Names of the tasks; an episode has one of them, and a batch mixes them."""
    starts_alike: tuple[str, ...] = ()
    """Tasks whose target environment starts alike for every seed, unless perturbed: one episode says all of them."""
    decimation: int = 10
    """Physics steps a policy step."""
    episode_steps: int = 500
    """Time limit of an episode, policy steps."""
    uniforms: int = 64
    """Random numbers that ``start`` is given for each episode."""
    randomisation: Randomisation = NONE
    """How much the simulated robot differs from episode to episode."""

    @property
    @abstractmethod
    def observation_size(self) -> int:
        """Numbers in an observation."""

    @property
    def action_size(self) -> int:
        """Numbers in an action; one for each actuator unless a world says otherwise."""
        return int(self.model.nu)

    @property
    @abstractmethod
    def weights(self) -> Mapping[str, float]:
        """Weight of every term of ``terms`` in the reward."""

    @abstractmethod
    def spec(self, *, visual: bool = False) -> mujoco.MjSpec:
        """Return a new specification of the scene; ``visual`` may add what only a camera sees."""

    @abstractmethod
    def start(self, uniform: Any, task: Any, xp: ModuleType) -> Start:
        """Draw how episodes begin.

        Args:
            uniform: random numbers in [0, 1), shape (n, uniforms).
            task: index into ``tasks``, shape (n,).
            xp: ``numpy`` or ``jax.numpy``.
        """

    @abstractmethod
    def observe(self, physics: Physics, episode: Any, xp: ModuleType) -> Any:
        """Return what the policy sees, float32, shape (n, observation_size); ``physics`` has one leading axis."""

    @abstractmethod
    def terms(self, physics: Physics, episode: Any, moves: Moves, xp: ModuleType) -> dict[str, Any]:
        """Return the named terms of the reward, each of shape (n,); ``physics`` has one leading axis."""

    def control(self, action: Any, xp: ModuleType) -> Any:
        """Return the actuators' input over the next policy step, shape (..., nu), for actions in [-1, 1].

        By default -1 and 1 are the ends of each actuator's control range.
        """
        low, high = (xp.asarray(bound) for bound in self.model.actuator_ctrlrange.T)
        return low + (action + 1.0) / 2.0 * (high - low)

    def terminated(self, physics: Physics, xp: ModuleType) -> Any:
        """Return whether the episode ends, shape (...): asked after each physics step, for any leading axes.

        A world that does not override it ends its episodes by time alone.
        """
        return xp.zeros(physics.time.shape, dtype=bool)

    def demonstrate(self, qpos: Any, observation: Any, seconds: Any) -> Any:
        """Return what a teacher would do, in [-1, 1], shape (n, action_size); NumPy alone.

        A teacher may know what policies do not see: the positions ``qpos``, shape (n, nq), and the time since the
        episode began, ``seconds``, shape (n,). Raises UsageError where there is none, as by default.
        """
        raise UsageError(f"The world {self.name} has no teacher. Pretrain it without demonstrations.")

    @property
    def has_teacher(self) -> bool:
        """Whether the world overrides ``demonstrate``."""
        return type(self).demonstrate is not World.demonstrate

    @property
    def felt(self) -> Any:
        """Which numbers an actor looks at that begins from the teacher, shape (observation_size,): all of them."""
        return np.ones(self.observation_size, dtype=bool)

    def remember(self, physics: Physics, episode: Any, xp: ModuleType) -> Any:
        """Return the episode after a policy step, of the same type and shapes: what happened may be kept in it.

        It comes last in a step: ``observe`` and ``terms`` are given the episode as it was before. By default it stays
        as it began.
        """
        return episode

    def outcomes(self, physics: Physics, episode: Any, xp: ModuleType) -> dict[str, Any]:
        """Return what an episode has come to by now, by name and of shape (n,): truths (bool) or numbers.

        Asked after ``remember``, told where an episode ends, and logged as a share or a mean. ``fall``, if there is
        one, says which ends are falls; else all are that came before the time limit.
        """
        return {}

    @property
    def noise(self) -> Any:
        """Standard deviation of each number of an observation at a noise of 1, shape (observation_size,)."""
        return np.zeros(self.observation_size)

    @property
    def pushed(self) -> tuple[int, ...]:
        """Indices into qvel of the two horizontal velocities that a push changes; empty where nothing can.

        By default those of the first joint that moves freely.
        """
        free = np.flatnonzero(self.model.jnt_type == 0)
        return () if len(free) == 0 else tuple(int(self.model.jnt_dofadr[free[0]]) + i for i in (0, 1))

    @property
    def symmetry(self) -> Symmetry | None:
        """The mirror image under which the world stays the same, which learners use; None where there is none."""
        return None

    def verify(self, xp: ModuleType) -> dict[str, str]:
        """Prove before a training that this world is what it stands for; returns tags for the run.

        Raises TouchlineError where it is not. By default there is nothing to prove.
        """
        return {}

    def target_environment(self, task: str, perturbation: Any = None) -> gymnasium.Env[Any, Any]:
        """Return the environment in which a policy is fine-tuned and judged, for one of ``tasks``.

        By default it is the same physics without randomisation, and an episode's score is its return. A world whose
        policies must prove themselves elsewhere (another simulator, the robot) says so here. Its environments tell
        ``score``, the ``score_terms`` that sum to it, ``outcome``, ``outcomes`` and ``task`` in the last ``info`` of
        an episode and ``physics_steps`` in each, and have what
        ``SingleWorld`` has beyond Gymnasium: a ``score`` so far, ``qpos`` and ``visual_model`` for films,
        ``state_dict`` and ``load_state_dict`` for checkpoints.

        ``perturbation`` is what a world's scenarios know as such; this default has none.
        """
        from touchline.simulation.single import SingleWorld

        return SingleWorld(self.varied(randomisation=NONE), task)

    def scenarios(self, seeds: Iterable[int], perturbation: Any = None) -> tuple[Scenario, ...]:
        """Return the episodes that judge a policy: those of every task with every seed, task by task."""
        seeds = tuple(seeds)
        return tuple(Scenario(task, seed) for task in self.tasks for seed in seeds)

    def reset_options(self, metadata: Mapping[str, Any], scenario: Scenario) -> dict[str, Any]:
        """Return the ``options`` with which a target environment is reset to ``scenario`` for a policy's metadata."""
        return {}

    def acting_as(self, metadata: Mapping[str, Any]) -> World:
        """Return the world in which a policy with this metadata acts; the inverse of ``metadata``."""
        return self

    def at_rest(self) -> World:
        """Return the world whose action 0 is the baseline that a policy has to beat."""
        return self

    def varied(self, *, randomisation: Randomisation | None = None, episode_steps: int | None = None) -> World:
        """Return a copy with another randomisation or time limit; what is not given stays as it is."""
        other = copy.copy(self)  # shares the compiled model, which neither of the two changes
        for name, value in (("randomisation", randomisation), ("episode_steps", episode_steps)):
            if value is not None:
                object.__setattr__(other, name, value)
        return other

    def metadata(self) -> dict[str, Any]:
        """Return what must travel with every policy to act again as it did here; JSON values only."""
        return {}

    @property
    def step_seconds(self) -> float:
        """How long a policy step lasts, seconds."""
        return self.decimation * float(self.model.opt.timestep)

    @cached_property
    def model(self) -> mujoco.MjModel:
        """The compiled scene, without what only a camera sees."""
        return self.spec().compile()

    @cached_property
    def digest(self) -> str:
        """sha256 of the compiled scene: what a training learns from, beside its configuration and the code."""
        import mujoco

        whole = np.empty(mujoco.mj_sizeModel(self.model), np.uint8)
        mujoco.mj_saveModel(self.model, None, whole)
        return hashlib.sha256(whole.tobytes()).hexdigest()

    @cached_property
    def visual_model(self) -> mujoco.MjModel:
        """The compiled scene with what only a camera sees; where it has no light or no sky, it gets them."""
        import mujoco

        spec = self.spec(visual=True)
        if not spec.lights:
            spec.worldbody.add_light(pos=[0, 0, 6], dir=[0.3, 0.2, -1], type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
        if not any(texture.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX for texture in spec.textures):
            spec.add_texture(
                name="touchline_sky",
                type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
                builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
                rgb1=[0.45, 0.65, 0.85],
                rgb2=[0.9, 0.94, 0.97],
                width=128,
                height=128,
            )
        return spec.compile()

    @cached_property
    def sensor(self) -> Mapping[str, slice]:
        """Where each named sensor lies in ``Physics.sensors``."""
        model = self.model
        ends = model.sensor_adr + model.sensor_dim
        return {model.sensor(i).name: slice(int(model.sensor_adr[i]), int(ends[i])) for i in range(model.nsensor)}

    def reward(self, terms: Mapping[str, Any]) -> Any:
        """Return the weighted sum of the terms, shape (n,)."""
        return sum(weight * terms[name] for name, weight in self.weights.items())
