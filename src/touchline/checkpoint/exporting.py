"""A checkpoint for other programs: its arrays as one file with a description beside it, or its whole directory."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from touchline.checkpoint.finding import Checkpoint
from touchline.checkpoint.manifest import verify
from touchline.checkpoint.store import CheckpointStore
from touchline.errors import UsageError

ARRAYS = (".safetensors", ".npz")


def export(store: CheckpointStore, checkpoint: Checkpoint, target: Path) -> list[Path]:
    """Write a checkpoint to ``target`` and return what was written.

    A name that ends in .safetensors or .npz gets the state's arrays by path, and the same name with .json the rest:
    step, metadata, origin, and which array belongs where (those of types that NumPy lacks are bytes with one axis
    more). Any other name becomes a directory that ``CheckpointStore`` loads from.

    Raises UsageError when something of that name is there; nothing is overwritten.
    """
    if target.suffix not in ARRAYS:
        return [_copy(store, checkpoint, target)]
    described = target.with_suffix(".json")
    for path in (target, described):
        _refuse_existing(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _whole(target, lambda path: _write_arrays(path, checkpoint.arrays))
    _whole(described, lambda path: path.write_text(json.dumps(_description(checkpoint), indent=1), encoding="utf-8"))
    return [target, described]


def _copy(store: CheckpointStore, checkpoint: Checkpoint, target: Path) -> Path:
    copied = target / checkpoint.name
    _refuse_existing(copied)
    if target.exists() and not target.is_dir():
        _refuse_existing(target)
    target.mkdir(parents=True, exist_ok=True)

    def write(path: Path) -> None:
        with store.files_of(checkpoint) as files:
            shutil.copytree(files, path)
        verify(path)

    _whole(copied, write)
    return copied


def _write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    if path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file(dict(arrays), str(path))
        return
    # Not numpy.savez, which takes names as keywords and has one of its own: file.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)


def _description(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        **checkpoint.manifest.about,
        "metadata": checkpoint.metadata,
        "origin": checkpoint.loaded.origin.to_mapping(),
        "state": checkpoint.loaded.encoded.description,
    }


def _whole(target: Path, write: Any) -> None:
    """Let ``write`` make ``target`` under another name first, so that it is there whole or not at all."""
    partial = target.with_name(f".{target.stem}.partial{target.suffix}")
    try:
        write(partial)
        partial.rename(target)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise UsageError(f"{path} is there already, and nothing is overwritten. Choose another name, or remove it.")
