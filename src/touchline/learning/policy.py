"""A policy as it is stored and served: plain matrices and a normaliser, evaluated with NumPy alone.

The canonical form is ``policy.safetensors`` plus ``policy.json``; JAX and PyTorch read and write it, and neither
is needed to act. Formula: ``tanh(W_k relu(… relu(W_1 n(x) + b_1) …) + b_k)`` with ``n(x) = clip((x - mean) / std,
-clip, clip)``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchline.errors import TouchlineError

FORMAT = 1
"""Version of the files; a reader refuses a newer one."""
Array = NDArray[np.float32]
LOG_STD_RANGE = (-10.0, 0.5)
"""Bounds of the logarithm of the standard deviation with which a stochastic policy acts before tanh."""


@dataclass(frozen=True)
class Policy:
    """A deterministic feed-forward policy: observation (..., n) → action (..., m) in [-1, 1]."""

    weights: tuple[Array, ...]
    """One matrix a layer, shape (outputs, inputs), as PyTorch stores it."""
    biases: tuple[Array, ...]
    """One vector a layer, shape (outputs,)."""
    mean: Array
    """Normaliser's mean, shape (n,)."""
    std: Array
    """Normaliser's standard deviation, shape (n,), with its floor applied."""
    clip: float = 5.0
    """Normalised observations are clipped to ± this."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """JSON that travels along: the controller, the training run, the task."""
    exploration: tuple[Array, Array] | None = None
    """Weight (m, width) and bias (m,) of the head that beside the last layer gave the logarithm of the standard
    deviation in training; None where there was none or where conversion dropped it."""

    def normalise(self, observation: NDArray[Any]) -> Array:
        """Return the network's input, same shape as ``observation``."""
        return np.clip((observation - self.mean) / self.std, -self.clip, self.clip).astype(np.float32)

    def logits(self, observation: NDArray[Any]) -> Array:
        """Return the last layer before tanh, shape (..., m)."""
        x = self._hidden(observation)
        return np.asarray(x @ self.weights[-1].T + self.biases[-1], dtype=np.float32)

    def sample(self, observation: NDArray[Any], random: np.random.Generator) -> Array:
        """Return an action drawn as in training, shape (..., m); ValueError without ``exploration``."""
        if self.exploration is None:
            raise ValueError("This policy has no exploration, so it can only act deterministically; call it.")
        weight, bias = self.exploration
        x = self._hidden(observation)
        mean, log_std = x @ self.weights[-1].T + self.biases[-1], np.clip(x @ weight.T + bias, *LOG_STD_RANGE)
        return np.asarray(np.tanh(mean + np.exp(log_std) * random.normal(size=mean.shape)), dtype=np.float32)

    def _hidden(self, observation: NDArray[Any]) -> Array:
        x = self.normalise(observation)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = np.maximum(x @ weight.T + bias, 0.0)
        return x

    def __call__(self, observation: NDArray[Any]) -> Array:
        """Return the action, shape (..., m)."""
        return np.asarray(np.tanh(self.logits(observation)), dtype=np.float32)

    def save(self, directory: Path | str) -> Path:
        """Write ``policy.safetensors`` and ``policy.json`` into ``directory`` and return it."""
        from safetensors.numpy import save_file

        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        arrays = {"normaliser.mean": self.mean, "normaliser.std": self.std}
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            arrays[f"layers.{i}.weight"], arrays[f"layers.{i}.bias"] = weight, bias
        if self.exploration is not None:
            arrays["exploration.weight"], arrays["exploration.bias"] = self.exploration
        contiguous = {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in arrays.items()}
        save_file(contiguous, directory / "policy.safetensors")
        described = {
            "format": FORMAT,
            "layers": len(self.weights),
            "clip": self.clip,
            "observation_size": int(self.mean.shape[0]),
            "action_size": int(self.biases[-1].shape[0]),
            "metadata": dict(self.metadata),
        }
        (directory / "policy.json").write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")
        return directory

    @classmethod
    def load(cls, directory: Path | str) -> Policy:
        """Read what ``save`` wrote.

        Raises:
            TouchlineError: the files are missing, damaged, of a newer format, or of parts that do not fit each other.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        directory = Path(directory)
        described = _described(directory / "policy.json")
        try:
            arrays = load_file(directory / "policy.safetensors")
        except (OSError, SafetensorError) as error:
            raise TouchlineError(
                f"{directory / 'policy.safetensors'} cannot be read ({error}). Copy the policy again from where it "
                "came."
            ) from error
        try:
            layers = range(described["layers"])
            policy = cls(
                weights=tuple(arrays[f"layers.{i}.weight"] for i in layers),
                biases=tuple(arrays[f"layers.{i}.bias"] for i in layers),
                mean=arrays["normaliser.mean"],
                std=arrays["normaliser.std"],
                clip=float(described["clip"]),
                metadata=dict(described["metadata"]),
                exploration=(
                    (arrays["exploration.weight"], arrays["exploration.bias"])
                    if "exploration.weight" in arrays
                    else None
                ),
            )
            wrong = policy._what_is_wrong((described["observation_size"], described["action_size"]))
        except (KeyError, TypeError, ValueError) as error:
            wrong = f"{error} is missing or of the wrong kind"
        if wrong:
            raise TouchlineError(f"The policy in {directory} is damaged: {wrong}. Copy it again from where it came.")
        return policy

    def _what_is_wrong(self, sizes: tuple[int, int]) -> str:
        """Return why it cannot act on so many observations with so many actions, or an empty text."""
        if not self.weights:
            return "it has no layer"
        if self.mean.ndim != 1 or self.std.shape != self.mean.shape:
            return f"its normaliser's mean has shape {self.mean.shape} and its std {self.std.shape}"
        width = len(self.mean)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
                return (
                    f"layer {i} has a weight of shape {weight.shape} and a bias of {bias.shape} after {width} numbers"
                )
            width = len(weight)
        if (found := (len(self.mean), width)) != sizes:
            return f"it takes {found[0]} numbers and gives {found[1]}, and policy.json says {sizes[0]} and {sizes[1]}"
        last = self.weights[-1].shape
        if self.exploration is not None and tuple(part.shape for part in self.exploration) != (last, last[:1]):
            return (
                f"its exploration has the shapes {[part.shape for part in self.exploration]}, its last layer {last}"
            )
        arrays = (*self.weights, *self.biases, self.mean, self.std, *(self.exploration or ()))
        if not all(np.isfinite(each).all() for each in arrays):
            return "it holds numbers that are not finite"
        if not (self.std > 0.0).all() or not self.clip > 0.0:
            return "its normaliser divides by 0, or clips everything away"
        return ""


def _described(path: Path) -> dict[str, Any]:
    """Return what ``policy.json`` says; raises TouchlineError where it says nothing that can be read."""
    if not path.is_file():
        raise TouchlineError(
            f"{path.parent} holds no policy: policy.json is missing. Give the directory of a policy."
        )
    try:
        described = json.loads(path.read_bytes())
        version = int(described["format"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TouchlineError(
            f"{path} cannot be read ({type(error).__name__}: {error}). Copy the policy again from where it came."
        ) from error
    if version > FORMAT:
        raise TouchlineError(
            f"{path} has format {version}, this version reads up to {FORMAT}. Install a newer Touchline."
        )
    return dict(described)


def zero_policy(observation_size: int, action_size: int, metadata: Mapping[str, Any] | None = None) -> Policy:
    """Return the policy whose action is always 0: with a residual controller it holds the pose."""
    return Policy(
        weights=(np.zeros((action_size, observation_size), np.float32),),
        biases=(np.zeros(action_size, np.float32),),
        mean=np.zeros(observation_size, np.float32),
        std=np.ones(observation_size, np.float32),
        metadata=metadata or {},
    )
