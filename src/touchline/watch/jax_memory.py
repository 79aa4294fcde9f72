"""How much GPU memory jax may take: put into the environment before jax has a backend, or refused."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchline.errors import TouchlineError, UsageError

PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"
FRACTION = "XLA_CLIENT_MEM_FRACTION"
OLD_FRACTION = "XLA_PYTHON_CLIENT_MEM_FRACTION"
FLAGS = "XLA_FLAGS"
DATA_DIR_FLAG = "--xla_gpu_cuda_data_dir"
_READ_AS_NO = ("false", "False", "0")
"""What switches preallocation off, exactly; jax reads any other text as yes (jaxlib/xla_client.py)."""


@dataclass(frozen=True)
class Report:
    """What ``configure`` did to the environment."""

    changed: Mapping[str, str]
    """Each variable that it set, with its new value."""
    notes: tuple[str, ...]
    """Sentences on what the user had set: what stays against the wish, what has no effect, what is old."""


def live_backends() -> list[Any]:
    """Return the clients of the backends that jax has created so far; imports nothing, creates none, never waits.

    jax.devices() and the like would create the backends, and jax's own question whether there are any waits for a
    creation that is under way, which takes seconds on a GPU.
    """
    bridge = sys.modules.get("jax._src.xla_bridge")
    return list(dict(getattr(bridge, "_backends", {})).values())


def configure(
    fraction: float = 0.75,
    preallocate: bool = False,
    cuda_data_dir: str | Path | None = None,
    environment: MutableMapping[str, str] | None = None,
) -> Report:
    """Set how jax takes GPU memory, for this process and the children it starts; values of the user stay.

    Call it before the first use of jax's devices: jax reads these variables when it creates its first backend.
    Without preallocation the pool grows as needed, up to ``fraction``, and others see what is really taken.

    Args:
        fraction: share of each device's memory that jax's pool may take, above 0, at most 1.
        preallocate: take it all at once, as jax does when nothing is set.
        cuda_data_dir: the folder of CUDA's libdevice and ptxas, for XLA; left out where it does not exist.
        environment: what is changed; None is this process's own, another mapping prepares a child process.

    Raises:
        UsageError: the fraction, or what the environment says of it, is no share.
        TouchlineError: jax has a backend already, and would not read what is set now.
    """
    _check_share(fraction, "The fraction")
    # No default argument: help() and tooltips would print every value of the environment.
    environment = os.environ if environment is None else environment
    backends = live_backends() if environment is os.environ else []
    if backends:
        names = ", ".join(backend.platform for backend in backends)
        raise TouchlineError(
            f"jax has created its backend already ({names}) and does not read its memory settings again. Call "
            "touchline.watch.jax_memory.configure() before anything asks for jax.devices() or makes an array."
        )
    before = dict(environment)
    notes = (
        *_set_fraction(environment, fraction),
        *_set_preallocate(environment, preallocate),
        *_set_data_dir(environment, cuda_data_dir),
        *_without_effect(environment),
    )
    return Report({name: value for name, value in environment.items() if before.get(name) != value}, notes)


def _set_preallocate(environment: MutableMapping[str, str], wanted: bool) -> list[str]:
    given = environment.get(PREALLOCATE)
    if not given:
        environment[PREALLOCATE] = "true" if wanted else "false"
        return []
    if (given not in _READ_AS_NO) is wanted:
        return []
    meaning = "no" if given in _READ_AS_NO else "yes"
    return [f"{PREALLOCATE}={given} stays, which jax reads as {meaning}; only {', '.join(_READ_AS_NO)} mean no."]


def _set_fraction(environment: MutableMapping[str, str], wanted: float) -> list[str]:
    name = FRACTION if environment.get(FRACTION) or not environment.get(OLD_FRACTION) else OLD_FRACTION
    given = environment.get(name)
    if not given:
        environment[name] = f"{wanted:g}"
        return []
    notes = []
    if _check_share(given, name) != wanted:
        notes.append(f"{name}={given} stays, and {wanted:g} was asked for. Unset it to have that.")
    if name == OLD_FRACTION:
        notes.append(f"{OLD_FRACTION}={given} stays; its name is deprecated: set {FRACTION} instead.")
    elif environment.get(OLD_FRACTION):
        # jax refuses to start with both, even where they agree.
        old = environment.pop(OLD_FRACTION)
        notes.append(f"{OLD_FRACTION}={old} was taken out: jax refuses it beside {FRACTION}={given}.")
    return notes


def _set_data_dir(environment: MutableMapping[str, str], folder: str | Path | None) -> list[str]:
    if folder is None:
        return []
    if not Path(folder).is_dir():
        return [f"{DATA_DIR_FLAG} is left out: there is no folder {folder}."]
    flags = environment.get(FLAGS, "").strip()
    if flags and not flags.startswith("--"):
        # XLA takes it for the name of a file with flags, and ends the process when text follows the name.
        return [f"{FLAGS}={flags} names a file and stays. Write {DATA_DIR_FLAG}={folder} into that file."]
    given = re.search(rf"""{DATA_DIR_FLAG}=("[^"]*"|'[^']*'|\S*)""", flags)
    if given:
        same = given[1].strip("'\"") == str(folder)
        return [] if same else [f"{FLAGS} has {given[0]}, which stays, and {folder} was asked for."]
    quoted = f'"{folder}"' if re.search(r"\s", str(folder)) else str(folder)
    environment[FLAGS] = f"{flags} {DATA_DIR_FLAG}={quoted}".strip()
    return []


def _without_effect(environment: Mapping[str, str]) -> list[str]:
    notes = []
    if "JAX_PREALLOCATE" in environment:
        notes.append(
            f"JAX_PREALLOCATE={environment['JAX_PREALLOCATE']} has no effect: jax reads {PREALLOCATE}, "
            f"which is {environment[PREALLOCATE]}."
        )
    if environment.get("XLA_PYTHON_CLIENT_ALLOCATOR", "").lower() == "platform":
        notes.append(
            "XLA_PYTHON_CLIENT_ALLOCATOR=platform stays: jax keeps no pool then, so that neither preallocation nor "
            "the fraction has an effect."
        )
    return notes


def _check_share(value: float | str, what: str) -> float:
    try:
        share = float(value)
    except (TypeError, ValueError):
        share = 0.0
    if not 0.0 < share <= 1.0:
        raise UsageError(f"{what} is {value}. Give a share of the GPU's memory above 0 and at most 1, such as 0.75.")
    return share
