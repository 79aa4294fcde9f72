"""The global generators that libraries draw from behind a training's back: Python's, NumPy's, PyTorch's."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np


def capture() -> dict[str, Any]:
    """Return the states of the global generators that this process has loaded, as a tree for a checkpoint."""
    state: dict[str, Any] = {"python": random._inst, "numpy": _numpy()}  # type: ignore[attr-defined]
    torch = sys.modules.get("torch")
    if torch is not None:
        state["torch"] = torch.get_rng_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore(state: Mapping[str, Any]) -> None:
    """Put back what ``capture`` returned; ``state`` is its plain form. Libraries that are not loaded are left out.

    A machine with another number of CUDA devices gets the states of those that it has.
    """
    from touchline.checkpoint.objects import NUMPY_LEGACY_GENERATOR, PYTHON_GENERATOR

    PYTHON_GENERATOR.set(random._inst, state["python"])  # type: ignore[attr-defined]
    NUMPY_LEGACY_GENERATOR.set(_numpy(), state["numpy"])
    torch = sys.modules.get("torch")
    if torch is not None and "torch" in state:
        torch.set_rng_state(state["torch"])
        if "cuda" in state and torch.cuda.is_available():
            for device, one in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
                torch.cuda.set_rng_state(one, device)


def _numpy() -> np.random.RandomState:
    generator: np.random.RandomState = np.random.mtrand._rand  # type: ignore[attr-defined]
    return generator
