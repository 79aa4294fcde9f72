"""A directory of checkpoints, one sub-directory a step: written aside, proven, then renamed into place."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchline.checkpoint.manifest import Damaged, sync_directory, verify, write_manifest
from touchline.errors import TouchlineError, UsageError

ARRAYS = "arrays.safetensors"
METADATA = "metadata.json"
_NAME = re.compile(r"step-(\d{12,})(?:\.(\d+))?")
_PARTIAL = ".partial-"


@dataclass(frozen=True)
class Skipped:
    """A checkpoint that was passed over."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"The checkpoint {self.path} was skipped: {self.reason}."


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose every byte was verified."""

    step: int
    """Policy transitions over all environments."""
    arrays: Mapping[str, NDArray[Any]]
    """As saved: same names, shapes, types and bits."""
    metadata: Mapping[str, Any]
    """As saved, after a round trip through JSON."""
    path: Path
    skipped: tuple[Skipped, ...] = field(default=())
    """Newer ones that could not be used, newest first."""


class CheckpointStore:
    """Saves and finds the checkpoints of one run; one process saves at a time."""

    def __init__(self, directory: Path | str, keep_last: int = 2) -> None:
        """``keep_last``: verified checkpoints that stay after a save, at least 1."""
        if keep_last < 1:
            raise UsageError(f"A store keeps at least 1 checkpoint, not {keep_last}. Use keep_last=2.")
        self.directory = Path(directory)
        self.keep_last = keep_last
        self._proven: set[Path] = set()

    def save(
        self,
        step: int,
        arrays: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
        add: Callable[[Path], object] | None = None,
    ) -> Path:
        """Write a checkpoint and return its directory; it is there whole, on the disk, or not at all.

        ``arrays``: name → array of any shape, of numbers or booleans; ``metadata``: what JSON can hold; ``add``
        writes further files into the directory that it gets, ``run.save_journal`` for example. A checkpoint of the
        same step is replaced. Raises TouchlineError when it cannot be written; the ones before
        stay as they are.
        """
        if step < 0:
            raise UsageError(f"A checkpoint's step is at least 0, and this is {step}.")
        text = _json(metadata or {})
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._sweep()
            partial = Path(tempfile.mkdtemp(prefix=f"{_PARTIAL}{os.getpid()}-", dir=self.directory))
            try:
                _write_arrays(partial / ARRAYS, arrays)
                (partial / METADATA).write_text(text, encoding="utf-8")
                if add is not None:
                    add(partial)
                write_manifest(partial)
                final = partial.rename(self._free_place(step))
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            sync_directory(self.directory)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            remedy = "Free some space" if full else "Make the directory writable"
            raise TouchlineError(
                f"The checkpoint of step {step:,} could not be written to {self.directory} "
                f"({error.strerror or error}); the earlier ones are as they were. {remedy}, and training can go on."
            ) from error
        self._retain(step, final)
        return final

    def steps(self) -> tuple[int, ...]:
        """Steps of the checkpoints that lie here, verified or not, oldest first."""
        return tuple(sorted({step for step, _ in self._all()}))

    def latest(self) -> Checkpoint | None:
        """Load the newest checkpoint that verifies; None when there is none. See ``Checkpoint.skipped``.

        Raises TouchlineError when there are checkpoints but all are damaged: starting over is for people to decide.
        """
        skipped: list[Skipped] = []
        for step, path in reversed(self._all()):
            try:
                arrays, metadata = _load(path)
            except (Damaged, OSError) as error:
                skipped.append(Skipped(path, str(error)))
                continue
            return Checkpoint(step, arrays, metadata, path, tuple(skipped))
        if skipped:
            raise TouchlineError(
                f"None of the {len(skipped)} checkpoints in {self.directory} can be used. "
                + " ".join(str(one) for one in skipped)
                + " Restore them from a copy, or move the directory away to start over."
            )
        return None

    def load(self, step: int) -> Checkpoint:
        """Load the checkpoint of one step; raises TouchlineError when it is missing or damaged."""
        path = dict(self._all()).get(step)
        if path is None:
            known = ", ".join(f"{one:,}" for one in self.steps()) or "none"
            raise TouchlineError(f"{self.directory} has no checkpoint of step {step:,}. Its steps: {known}.")
        try:
            arrays, metadata = _load(path)
        except (Damaged, OSError) as error:
            raise Damaged(f"{Skipped(path, str(error))} Load an earlier one with latest().") from error
        return Checkpoint(step, arrays, metadata, path)

    def _all(self) -> list[tuple[int, Path]]:
        if not self.directory.is_dir():
            return []
        found = ((_NAME.fullmatch(path.name), path) for path in self.directory.iterdir() if path.is_dir())
        known = sorted((int(match[1]), int(match[2] or 0), path) for match, path in found if match)
        return [(step, path) for step, _, path in known]

    def _free_place(self, step: int) -> Path:
        """Where a checkpoint of this step goes; beside the one of the same step, which is then still whole."""
        last = [path for known, path in self._all() if known == step][-1:]
        if not last:
            return self.directory / f"step-{step:012d}"
        match = _NAME.fullmatch(last[0].name)
        return self.directory / f"step-{step:012d}.{int(match[2] or 0) + 1 if match else 1}"

    def _sweep(self) -> None:
        """Remove what processes that died in the middle of a save left behind."""
        for path in self.directory.glob(f"{_PARTIAL}*"):
            owner = path.name.removeprefix(_PARTIAL).split("-")[0]
            if not (owner.isdecimal() and owner != str(os.getpid()) and Path("/proc", owner).exists()):
                shutil.rmtree(path, ignore_errors=True)

    def _retain(self, step: int, newest: Path) -> None:
        """Delete old checkpoints, counting only intact ones as kept."""
        self._proven.add(newest)
        kept = 0
        for known, path in reversed(self._all()):
            if path != newest and (kept >= self.keep_last or known == step):
                shutil.rmtree(path, ignore_errors=True)
                self._proven.discard(path)
            elif path in self._proven or _is_intact(path):
                self._proven.add(path)
                kept += 1


def _is_intact(path: Path) -> bool:
    try:
        verify(path)
    except (Damaged, OSError):
        return False
    return True


def _write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    contiguous = {}
    for name, array in arrays.items():
        if name == "__metadata__":
            raise UsageError(
                "An array cannot be called '__metadata__', a name of the file format. Call it otherwise."
            )
        value = np.asarray(array)
        if value.dtype.kind not in "biufc" or value.dtype.itemsize > 8:
            raise UsageError(
                f"The array {name!r} has the type {value.dtype}, which a checkpoint does not hold. "
                "Save numbers or booleans of at most 64 bits as arrays, and put text into the metadata."
            )
        # safetensors writes the bytes as they lie in memory, whatever the strides and the byte order say.
        contiguous[name] = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<")).reshape(value.shape)
    try:
        save_file(contiguous, str(path))
    except SafetensorError as error:
        # Its text is all that safetensors keeps of the operating system's error.
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error


def _load(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    verify(path)
    try:
        return load_file(str(path / ARRAYS)), json.loads((path / METADATA).read_text(encoding="utf-8"))
    except (SafetensorError, ValueError) as error:
        raise Damaged(f"its files verify but cannot be read ({error})") from error


def _json(metadata: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(metadata), allow_nan=True)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"The metadata of a checkpoint must be plain JSON ({error}). Put arrays under arrays, and the rest as "
            "numbers, text, lists and mappings."
        ) from error
