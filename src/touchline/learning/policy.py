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
            TouchlineError: the files are missing, or of a newer format.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        directory = Path(directory)
        described_at = directory / "policy.json"
        if not described_at.is_file():
            raise TouchlineError(
                f"{directory} holds no policy: policy.json is missing. Give the directory of a policy."
            )
        described = json.loads(described_at.read_text())
        if described["format"] > FORMAT:
            raise TouchlineError(
                f"{described_at} has format {described['format']}, this version reads up to {FORMAT}. "
                "Install a newer Touchline."
            )
        try:
            arrays = load_file(directory / "policy.safetensors")
        except (OSError, SafetensorError) as error:
            raise TouchlineError(
                f"{directory / 'policy.safetensors'} cannot be read ({error}). Copy the policy again from where it "
                "came."
            ) from error
        layers = range(described["layers"])
        return cls(
            weights=tuple(arrays[f"layers.{i}.weight"] for i in layers),
            biases=tuple(arrays[f"layers.{i}.bias"] for i in layers),
            mean=arrays["normaliser.mean"],
            std=arrays["normaliser.std"],
            clip=described["clip"],
            metadata=described["metadata"],
            exploration=(
                (arrays["exploration.weight"], arrays["exploration.bias"]) if "exploration.weight" in arrays else None
            ),
        )


def zero_policy(observation_size: int, action_size: int, metadata: Mapping[str, Any] | None = None) -> Policy:
    """Return the policy whose action is always 0: with a residual controller it holds the pose."""
    return Policy(
        weights=(np.zeros((action_size, observation_size), np.float32),),
        biases=(np.zeros(action_size, np.float32),),
        mean=np.zeros(observation_size, np.float32),
        std=np.ones(observation_size, np.float32),
        metadata=metadata or {},
    )
