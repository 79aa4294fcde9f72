"""The deployed policy: one TorchScript file with normaliser, actor, pose, gains and PD, played where scores count.

The competition calls a model at every physics step and tells it neither when an episode begins nor for how many steps
it is to act. So the file keeps the joint targets that its network chose until their period is over, as the training
did, and sees by itself where an episode begins.
"""

from __future__ import annotations

import functools
import hashlib
import io
import warnings
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from touchline.errors import TouchlineError
from touchline.learning.convert import NormalisedActor
from touchline.learning.policy import Policy
from touchline.soccer.control import JOINTS, TORQUE_RANGE, Controller
from touchline.soccer.layout import LAYOUT

FILE_NAME = "model.pt"
"""Beside ``policy.safetensors`` in a registered model, and in the competition's package."""
TELEPORTED = 0.1
"""Metres that no robot covers in a physics step, being 50 m/s: where it did, another episode has begun."""

_PLACE = LAYOUT["goal_team_0_rel_robot"]
_CONTROL = tuple(part.name for part in fields(Controller) if part.name != "decimation")


class DeployedModule(nn.Module):
    """Observations (b, 89) → torques as shares of the robot's limits, (b, 12) in [-1, 1], at every physics step.

    Each row keeps its joint targets for ``period`` calls. Its episode begins at the first call, when no joint moves
    at all, as only after a reset, when the robot is elsewhere at once, or when the number of rows changes. The
    network sees one row at a time, so that no robot depends on how many others are played with it, to the last bit.
    """

    def __init__(self, policy: Policy, controller: Controller) -> None:
        super().__init__()
        self.actor = NormalisedActor(policy)
        self.period = int(controller.decimation)
        self.joints, self.teleported = len(JOINTS), TELEPORTED
        self.place_start, self.place_stop = int(_PLACE.start), int(_PLACE.stop)
        for name in _CONTROL:
            self.register_buffer(name, torch.tensor(getattr(controller, name), dtype=torch.float32))
        self.torque_range = nn.Buffer(torch.tensor(TORQUE_RANGE, dtype=torch.float32))
        self.targets = nn.Buffer(torch.zeros(0, self.joints), persistent=False)
        self.place = nn.Buffer(torch.zeros(0, self.place_stop - self.place_start), persistent=False)
        self.remaining = nn.Buffer(torch.zeros(0, dtype=torch.int64), persistent=False)
        self.requires_grad_(False)

    @torch.jit.export
    def logits(self, observation: Tensor) -> Tensor:
        """Return the network's output before tanh, (b, 12); keeps nothing."""
        return torch.cat([self.actor.logits(row) for row in observation.float().split(1)])

    @torch.jit.export
    def act(self, observation: Tensor) -> Tensor:
        """Return the network's actions, (b, 12) in [-1, 1]; keeps nothing."""
        return torch.cat([self.actor(row) for row in observation.float().split(1)])

    def forward(self, observation: Tensor) -> Tensor:
        """Return the shares and count the call."""
        # A sensor's NaN would otherwise be held as a target for as many calls as a policy step has.
        observation = torch.nan_to_num(observation.float(), nan=0.0, posinf=0.0, neginf=0.0)
        position, velocity = observation[:, : self.joints], observation[:, self.joints : 2 * self.joints]
        place = observation[:, self.place_start : self.place_stop]
        if self.remaining.size(0) != observation.size(0):
            self.targets = torch.zeros_like(position)
            self.place = place.clone()
            self.remaining = torch.zeros(observation.size(0), dtype=torch.int64)
        began = (velocity == 0).all(1) | ((place - self.place).abs().amax(1) > self.teleported)
        due = began | (self.remaining == 0)
        if bool(due.any()):
            aimed = self.pose + self.action_scale * self.act(observation[due]).clamp(-1.0, 1.0)
            targets = self.targets.clone()
            targets[due] = aimed.clamp(self.joint_lower, self.joint_upper)
            self.targets = targets
        self.remaining = torch.where(due, self.period, self.remaining) - 1
        self.place = place.clone()
        torque = self.stiffness * (self.targets - position) - self.damping * velocity
        return torque.clamp(-self.torque_limit, self.torque_limit) / self.torque_range


@dataclass(frozen=True)
class DeployedPolicy(Policy):
    """A policy that acts through its deployed file, and is saved and loaded together with it."""

    file: bytes = field(default=b"", repr=False)
    """The TorchScript file; what a package holds, byte for byte."""

    def logits(self, observation: NDArray[Any]) -> NDArray[np.float32]:
        """Return what the file's network gives before tanh, shape (..., 12), for raw observations (..., 89)."""
        return self._ask("logits", observation)

    def __call__(self, observation: NDArray[Any]) -> NDArray[np.float32]:
        """Return the action that the file's network chooses, shape (..., 12), for raw observations (..., 89)."""
        return self._ask("act", observation)

    def _ask(self, method: str, observation: NDArray[Any]) -> NDArray[np.float32]:
        rows = torch.from_numpy(np.atleast_2d(np.asarray(observation, dtype=np.float32)))
        with torch.inference_mode():
            answer: NDArray[np.float32] = getattr(_module(self.file), method)(rows).numpy()
        return answer.reshape(*np.shape(observation)[:-1], answer.shape[-1])

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.file).hexdigest()

    def save(self, directory: Path | str) -> Path:
        """Write the canonical policy, and the file beside it."""
        directory = super().save(directory)
        (directory / FILE_NAME).write_bytes(self.file)
        return directory


def deployed(policy: Policy) -> Policy:
    """Return ``policy`` with its file, or as it is where there is nothing to deploy it to: in worlds of one's own."""
    if isinstance(policy, DeployedPolicy) or not _is_deployable(policy):
        return policy
    module, buffer = DeployedModule(policy, Controller.from_dict(policy.metadata["controller"])), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the competition loads nothing else that keeps a state
        torch.jit.save(torch.jit.script(module.eval()), buffer)
    return _with_file(policy, buffer.getvalue())


def load_deployed(directory: Path) -> Policy:
    """Read a policy together with its file; one from before there were such files gets it anew.

    Raises:
        TouchlineError: there is no policy, or its file is not made of it.
    """
    policy = Policy.load(directory)
    file = Path(directory) / FILE_NAME
    if not file.is_file():
        return deployed(policy)
    found = _with_file(policy, file.read_bytes())
    try:
        differing = _differences(found)
    except RuntimeError as error:
        raise TouchlineError(f"{file} cannot be read ({error}). Copy the policy again from where it came.") from error
    if differing:
        raise TouchlineError(
            f"{file} is not made of the policy beside it: {', '.join(differing)} differ. Do not play it; copy the "
            "policy again from where it came."
        )
    return found


def _is_deployable(policy: Policy) -> bool:
    return policy.metadata.get("world", "soccer") == "soccer" and "controller" in policy.metadata


def _with_file(policy: Policy, file: bytes) -> DeployedPolicy:
    return DeployedPolicy(**{part.name: getattr(policy, part.name) for part in fields(Policy)}, file=file)


@functools.lru_cache(maxsize=8)
def _module(file: bytes) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(io.BytesIO(file)).eval()


def _differences(policy: DeployedPolicy) -> list[str]:
    """Names of what the file and the canonical policy do not agree about."""
    theirs = dict(_module(policy.file).state_dict())
    expected = DeployedModule(policy, Controller.from_dict(policy.metadata["controller"]))
    names = [
        name for name, ours in expected.state_dict().items() if not torch.equal(ours, theirs.get(name, ours[:0]))
    ]
    module = _module(policy.file)
    if module.period != expected.period:
        names.append("period")
    if module.actor.clip != expected.actor.clip:
        names.append("clip")
    return names
