"""The competition's package: a TorchScript module with normaliser, actor and PD control, and its preprocessor."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from touchline.learning.convert import NormalisedActor
from touchline.learning.policy import Policy
from touchline.soccer import preprocessor
from touchline.soccer.control import Controller
from touchline.soccer.official_model import make_official
from touchline.soccer.score import official_score
from touchline.soccer.tasks import EPISODE_PHYSICS_STEPS, TASKS


class SubmissionModule(nn.Module):
    """Observations (b, 89) → torques as shares of the limits, (b, 12) in [-1, 1].

    The competition calls it at every physics step (500 Hz) and keeps no state between calls, so the policy acts
    at 500 Hz here, not at the 50 Hz it was trained with; the local benchmark tells what that costs.
    """

    position_gain: Tensor
    velocity_gain: Tensor
    pose: Tensor
    scale: Tensor
    lower: Tensor
    upper: Tensor
    limit: Tensor

    def __init__(self, policy: Policy, controller: Controller) -> None:
        super().__init__()
        self.actor = NormalisedActor(policy)
        for name, values in (
            ("position_gain", controller.stiffness),
            ("velocity_gain", controller.damping),
            ("pose", controller.pose),
            ("scale", controller.action_scale),
            ("lower", controller.joint_lower),
            ("upper", controller.joint_upper),
            ("limit", controller.torque_limit),
        ):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32))

    def forward(self, observation: Tensor) -> Tensor:
        """Return the shares."""
        observation = observation.float()
        goal = torch.clamp(self.pose + self.scale * self.actor(observation), self.lower, self.upper)
        torque = self.position_gain * (goal - observation[:, :12]) - self.velocity_gain * observation[:, 12:24]
        return torch.clamp(torque / self.limit, -1.0, 1.0)


def write_package(policy: Policy, directory: Path) -> Path:
    """Write ``model.pt`` and ``preprocessor.py`` into ``directory`` and return it."""
    directory.mkdir(parents=True, exist_ok=True)
    module = SubmissionModule(policy, Controller.from_dict(policy.metadata["controller"])).eval()
    example = torch.zeros(2, policy.mean.shape[0])
    with torch.inference_mode():
        traced = torch.jit.trace(module, example)
    torch.jit.save(traced, directory / "model.pt")
    shutil.copyfile(preprocessor.__file__, directory / "preprocessor.py")
    return directory


def benchmark_package(directory: Path, task: str, seed: int) -> tuple[float, int]:
    """Play one official episode with nothing but the package's files, as the competition does.

    Returns the competition's score and the physics steps survived.
    """
    model = torch.jit.load(directory / "model.pt").eval()
    namespace: dict = {"np": np}
    exec(compile((directory / "preprocessor.py").read_text(), "preprocessor.py", "exec"), namespace)
    prepare = namespace["Preprocessor"]().modify_state
    env = make_official(task)
    limits = env.action_space.high
    task_index = np.eye(len(TASKS))[TASKS.index(task)]
    observation, info = env.reset(seed=seed)
    steps = 0
    terminated = False
    while not terminated and steps < EPISODE_PHYSICS_STEPS:
        with torch.inference_mode():
            share = model(torch.from_numpy(prepare(observation, {**info, "task_index": task_index}))).numpy()[0]
        observation, _, terminated, _, info = env.step(share * limits)
        steps += 1
    env.close()
    return official_score(task, info["reward_terms"]), steps
