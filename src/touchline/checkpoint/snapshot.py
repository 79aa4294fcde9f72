"""A state copied aside in host memory, so that the training goes on while it is written."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchline.checkpoint import randomness
from touchline.checkpoint.manifest import Damaged
from touchline.checkpoint.origin import Origin
from touchline.checkpoint.tree import Encoded, decode, decode_plain, encode, free_name
from touchline.errors import UsageError

ARRAYS = "state.safetensors"
DESCRIPTION = "state.json"


@dataclass(frozen=True)
class Snapshot:
    """What goes into a checkpoint's files."""

    step: int
    arrays: Mapping[str, NDArray[Any]]
    """Contiguous and owned by nobody else until the next snapshot."""
    text: str
    """JSON of all the rest."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(array.nbytes for array in self.arrays.values()) + len(self.text)


class HostMemory:
    """Host memory for one snapshot at a time, used again from save to save: fresh pages cost as much as the copy."""

    def __init__(self) -> None:
        self._kept: dict[str, NDArray[Any]] = {}

    def snapshot(self, step: int, state: Any, metadata: Mapping[str, Any], origin: Origin) -> Snapshot:
        """Copy ``state`` aside, with the global generators. Raises UsageError at what cannot be saved."""
        described, views = encode(state)
        generators, more = encode(randomness.capture())
        arrays, names = dict(views), {}
        for name, view in more.items():
            names[name] = free_name(f"randomness/{name}", arrays)
            arrays[names[name]] = view
        body = {
            "step": step,
            "state": described,
            "randomness": {"description": generators, "names": names},
            "metadata": _json(metadata),
            "origin": origin.to_mapping(),
        }
        self._kept = {name: self._copy(name, view) for name, view in arrays.items()}
        return Snapshot(step, self._kept, json.dumps(body))

    def _copy(self, name: str, view: NDArray[Any]) -> NDArray[Any]:
        kept = self._kept.get(name)
        if kept is None or kept.shape != view.shape or kept.dtype != view.dtype:
            kept = np.empty(view.shape, view.dtype)
        np.copyto(kept, view)
        return kept


@dataclass(frozen=True)
class Loaded:
    """A checkpoint's files, read."""

    step: int
    encoded: Encoded
    metadata: Mapping[str, Any]
    origin: Origin
    generators: Encoded

    def restore(self, like: Any) -> Any:
        """Return the state with the types, devices and objects of ``like``; see ``tree.decode``."""
        state = decode(self.encoded, like)
        randomness.restore(decode_plain(self.generators))
        return state


def write(snapshot: Snapshot, directory: Path) -> None:
    """Write a snapshot's files; raises OSError."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        save_file(dict(snapshot.arrays), str(directory / ARRAYS))
    except SafetensorError as error:
        # Its text is all that safetensors keeps of the operating system's error.
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else 5, str(error)) from error
    (directory / DESCRIPTION).write_text(snapshot.text, encoding="utf-8")
    shutil.copymode(directory / DESCRIPTION, directory / ARRAYS)  # which nobody else could read otherwise


def read(directory: Path) -> Loaded:
    """Read the files of a directory that was verified; raises Damaged when this version cannot."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(str(directory / ARRAYS))
        body = json.loads((directory / DESCRIPTION).read_text(encoding="utf-8"))
        generators = body["randomness"]
        picked = {name: arrays.pop(kept) for name, kept in generators["names"].items()}
        return Loaded(
            body["step"],
            Encoded(body["state"], arrays),
            body["metadata"],
            Origin.of(body["origin"]),
            Encoded(generators["description"], picked),
        )
    except (SafetensorError, ValueError, KeyError) as error:
        raise Damaged(f"its files verify but cannot be read ({error})") from error


def read_origin(directory: Path) -> Origin:
    """What made the checkpoint in a directory that was verified."""
    return Origin.of(json.loads((directory / DESCRIPTION).read_text(encoding="utf-8"))["origin"])


def _json(metadata: Mapping[str, Any]) -> Any:
    try:
        return json.loads(json.dumps(dict(metadata)))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"The metadata of a checkpoint must be plain JSON ({error}). Put arrays into the state, and the rest as "
            "numbers, text, lists and mappings."
        ) from error
