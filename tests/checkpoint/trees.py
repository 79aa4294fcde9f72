"""Trees through real files and back, and whether two of them are the same bit for bit."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from touchline.checkpoint import snapshot as files
from touchline.checkpoint.arrays import host
from touchline.checkpoint.origin import Origin
from touchline.checkpoint.tree import decode


def through_files(tree: Any, like: Any) -> Any:
    """Save ``tree`` as a checkpoint's files, read them, and put them into the shape of ``like``."""
    with tempfile.TemporaryDirectory() as directory:
        files.write(files.HostMemory().snapshot(0, tree, {}, Origin()), Path(directory))
        return decode(files.read(Path(directory)).encoded, like)


def same(one: Any, other: Any) -> bool:
    """Whether two trees have the same types, keys, shapes and bits; a byte order is no difference."""
    first, second = host(one), host(other)
    if first is not None or second is not None:
        return (
            first is not None
            and second is not None
            and first.describe() == second.describe()
            and first.values.tobytes() == second.values.tobytes()
        )
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, part.name), getattr(other, part.name)) for part in dataclasses.fields(one))
    return bool(one == other)


def blank(tree: Any) -> Any:
    """A tree of the same shape with other values, as a training has it that starts anew."""
    if isinstance(tree, np.ndarray):
        return np.zeros_like(tree)
    if isinstance(tree, Mapping):
        return type(tree)({key: blank(value) for key, value in tree.items()})
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*map(blank, tree))
    if isinstance(tree, list | tuple):
        return type(tree)(map(blank, tree))
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        parts = {part.name: blank(getattr(tree, part.name)) for part in dataclasses.fields(tree)}
        return dataclasses.replace(tree, **parts)
    return type(tree)() if isinstance(tree, bool | int | float | str) else tree
