"""Objects that keep their own state: how it is taken out of them and put back, without pickle."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from touchline.checkpoint.arrays import form
from touchline.errors import UsageError


def _nothing_to_compare(target: Any, state: Any) -> list[str]:
    return []


@dataclass(frozen=True)
class Adapter:
    """How one kind of object is saved."""

    name: str
    """What the checkpoint calls it."""
    get: Callable[[Any], Any]
    """Object → a tree of its state."""
    set: Callable[[Any, Any], None]
    """Puts such a tree into an object."""
    compare: Callable[[Any, Any], list[str]] = _nothing_to_compare
    """What in the object does not fit the state, before anything is loaded."""


def adapter_for(node: Any) -> Adapter | None:
    """The adapter of an object, None for arrays, containers and plain values.

    Raises UsageError for an object that keeps a state but cannot take one back.
    """
    if isinstance(node, np.random.Generator | np.random.RandomState | random.Random):
        return NUMPY_GENERATOR if isinstance(node, np.random.Generator) else _legacy(node)
    torch = sys.modules.get("torch")
    if torch is not None:
        if isinstance(node, torch.nn.Module):
            return TORCH_MODULE
        if isinstance(node, torch.optim.Optimizer):
            return TORCH_OPTIMISER
        if isinstance(node, torch.Generator):
            return TORCH_GENERATOR
    if _is_stable_baselines3(node):
        from touchline.checkpoint.stable_baselines3 import adapter

        found: Adapter = adapter(node)
        return found
    optuna = sys.modules.get("optuna")
    if optuna is not None and isinstance(node, optuna.trial.BaseTrial):
        return OPTUNA_TRIAL
    if isinstance(node, type) or not hasattr(node, "state_dict"):
        return None
    if not hasattr(node, "load_state_dict"):
        raise UsageError(
            f"A {type(node).__qualname__} has state_dict() but no load_state_dict(), so it could be saved and never "
            "restored. Give it both."
        )
    return STATEFUL


def _is_stable_baselines3(node: Any) -> bool:
    return any(parent.__module__.startswith("stable_baselines3.") for parent in type(node).__mro__)


def _legacy(node: Any) -> Adapter:
    return PYTHON_GENERATOR if isinstance(node, random.Random) else NUMPY_LEGACY_GENERATOR


def _set_numpy_generator(generator: np.random.Generator, state: Mapping[str, Any]) -> None:
    generator.bit_generator.state = state


def _compare_numpy_generator(generator: np.random.Generator, state: Mapping[str, Any]) -> list[str]:
    mine = type(generator.bit_generator).__name__
    return [] if state["bit_generator"] == mine else [f"the generator was {state['bit_generator']} and is {mine}"]


def _get_python_generator(generator: random.Random) -> dict[str, Any]:
    version, words, gauss = generator.getstate()
    return {"version": version, "words": np.array(words, np.uint32), "gauss": gauss}


def _set_python_generator(generator: random.Random, state: Mapping[str, Any]) -> None:
    generator.setstate((state["version"], tuple(int(word) for word in state["words"]), state["gauss"]))


def compare_tensors(mine: Mapping[str, Any], saved: Mapping[str, Any]) -> list[str]:
    """Names, types and shapes in which two mappings of tensors differ."""
    told = [f"only the checkpoint has {name}" for name in saved if name not in mine]
    told += [f"only this training has {name}" for name in mine if name not in saved]
    for name in (name for name in saved if name in mine):
        before, now = form(saved[name]), form(mine[name])
        if before is not None and now is not None and before != now:
            told.append(f"{name} was {before.dtype}{list(before.shape)} and is {now.dtype}{list(now.shape)}")
    return told


def get_optimiser(optimiser: Any) -> dict[str, Any]:
    """State of an optimiser of PyTorch, with its kind: that of another kind would load, and train otherwise."""
    return {"kind": type(optimiser).__name__, **optimiser.state_dict()}


def set_optimiser(optimiser: Any, state: Mapping[str, Any]) -> None:
    """Inverse of ``get_optimiser``."""
    optimiser.load_state_dict({name: state[name] for name in ("state", "param_groups")})


def compare_optimiser(optimiser: Any, state: Mapping[str, Any]) -> list[str]:
    """In what an optimiser differs from the one that was saved."""
    kind, was = type(optimiser).__name__, state["kind"]
    told = [] if kind == was else [f"the optimiser was {was} and is {kind}"]
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    mine = [len(group["params"]) for group in optimiser.param_groups]
    saved = [len(group["params"]) for group in state["param_groups"]]
    if mine != saved:
        return [*told, f"the optimiser had {saved} parameters by group and has {mine}"]
    for number, moments in state["state"].items():
        if not isinstance(number, int):
            continue  # of an optimiser that names what it keeps in another way
        before = getattr(moments.get("exp_avg", moments.get("momentum_buffer")), "shape", None)
        now = parameters[number].shape
        if before is not None and tuple(before) != tuple(now):
            told.append(f"the optimiser's parameter {number} was {list(before)} and is {list(now)}")
    return told


def _compare_torch_generator(generator: Any, state: Any) -> list[str]:
    mine = len(generator.get_state())
    return [] if mine == len(state) else [f"the generator is one of another device ({generator.device})"]


def _trial(trial: Any) -> dict[str, Any]:
    study = getattr(trial, "study", None)
    return {"study": study.study_name if study is not None else "", "number": trial.number}


def _compare_trial(trial: Any, state: Mapping[str, Any]) -> list[str]:
    mine = _trial(trial)
    if mine == state:
        return []
    return [
        f"it is of trial {state['number']} of {state['study']!r}, and this is {mine['number']} of {mine['study']!r}"
    ]


TORCH_MODULE = Adapter(
    "torch.nn.Module",
    lambda node: dict(node.state_dict()),
    lambda node, state: node.load_state_dict(state),
    lambda node, state: compare_tensors(node.state_dict(), state),
)
TORCH_OPTIMISER = Adapter(
    "torch.optim.Optimizer",
    get_optimiser,
    set_optimiser,
    compare_optimiser,
)
TORCH_GENERATOR = Adapter(
    "torch.Generator",
    lambda node: node.get_state(),
    lambda node, state: node.set_state(state),
    _compare_torch_generator,
)
NUMPY_GENERATOR = Adapter(
    "numpy.random.Generator",
    lambda node: node.bit_generator.state,
    _set_numpy_generator,
    _compare_numpy_generator,
)
NUMPY_LEGACY_GENERATOR = Adapter(
    "numpy.random.RandomState",
    lambda node: node.get_state(legacy=False),
    lambda node, state: node.set_state(state),
)
PYTHON_GENERATOR = Adapter("random.Random", _get_python_generator, _set_python_generator)
OPTUNA_TRIAL = Adapter("optuna.Trial", _trial, lambda node, state: None, _compare_trial)
STATEFUL = Adapter("state_dict", lambda node: node.state_dict(), lambda node, state: node.load_state_dict(state))
