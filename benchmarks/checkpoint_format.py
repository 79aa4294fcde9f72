"""Which file format: safetensors, NumPy's npz, torch.save and orbax write and read the same replay buffer in turn.

Each write ends with a sha256 digest of what was written and an fsync, which a checkpoint has in any format; orbax
spreads its files, so it gets neither. Usage: .venv/bin/python benchmarks/checkpoint_format.py [--quick] [--fresh]
"""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import Part, scratch, table

ROUNDS = 7
OBSERVATION, ACTION = 89, 12


def buffer(rows: int) -> dict[str, Any]:
    """A replay buffer of the real sizes."""
    rng = np.random.default_rng(0)
    shapes = {"observation": (rows, OBSERVATION), "action": (rows, ACTION), "reward": (rows,)}
    shapes |= {"next_observation": (rows, OBSERVATION), "terminated": (rows,)}
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def prove(path: Path) -> None:
    """What a checkpoint adds to any file: its digest, and that it is on the disk."""
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
        os.fsync(file.fileno())


def safetensors_write(arrays: dict[str, Any], path: Path) -> None:
    """One file, no copy."""
    from safetensors.numpy import save_file

    save_file(arrays, str(path))
    prove(path)


def safetensors_read(path: Path) -> Any:
    """All arrays."""
    from safetensors.numpy import load_file

    return load_file(str(path))


def npz_write(arrays: dict[str, Any], path: Path) -> None:
    """A zip with a CRC of each array."""
    with path.open("wb") as file:
        np.savez(file, **arrays)
    prove(path)


def npz_read(path: Path) -> Any:
    """All arrays."""
    with np.load(path) as loaded:
        return {name: loaded[name] for name in loaded.files}


def torch_write(arrays: dict[str, Any], path: Path) -> None:
    """A zip with a pickle."""
    import torch

    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
    prove(path)


def torch_read(path: Path) -> Any:
    """All tensors."""
    import torch

    return torch.load(path, weights_only=True)


def orbax_write(arrays: dict[str, Any], path: Path) -> None:
    """A directory of many files."""
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, arrays, force=True)


def orbax_read(path: Path) -> Any:
    """All arrays."""
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path)


FORMATS: dict[str, tuple[Callable[[dict[str, Any], Path], None], Callable[[Path], Any]]] = {
    "safetensors": (safetensors_write, safetensors_read),
    "npz": (npz_write, npz_read),
    "torch.save": (torch_write, torch_read),
    "orbax": (orbax_write, orbax_read),
}


class PausedThread:
    """Another thread of the process, which notes for how long it was kept from running."""

    def __enter__(self) -> PausedThread:
        self.worst, self._stop = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        last = time.perf_counter()
        while not self._stop.wait(0.0005):
            now = time.perf_counter()
            self.worst, last = max(self.worst, now - last), now


def once(name: str, arrays: dict[str, Any], directory: Path) -> dict[str, float]:
    """Write and read in one format."""
    write, read = FORMATS[name]
    path = directory / name
    os.sync()
    with PausedThread() as other:
        began = time.perf_counter()
        write(arrays, path)
        wrote = time.perf_counter() - began
    began = time.perf_counter()
    loaded = read(path)
    took = time.perf_counter() - began
    if not np.array_equal(np.asarray(loaded["action"]), arrays["action"]):
        raise AssertionError(f"{name} read something else than it wrote")
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return {"write_s": round(wrote, 3), "read_s": round(took, 3), "pause_ms": round(1e3 * other.worst, 1)}


def main() -> None:
    """Measure all formats in turn, and print the medians."""
    part = Part("format", __doc__, subject="checkpoint")
    arrays = buffer(part.size(500_000, 20_000))
    size = sum(array.nbytes for array in arrays.values()) / 1e6
    with scratch() as directory:
        for number in range(part.size(ROUNDS, 1) + 1):
            for name in FORMATS:
                part.measure(f"{name} {number}", lambda name=name: once(name, arrays, directory))
    part.put("megabytes", round(size))
    rows = []
    for name in FORMATS:
        # The first round imports the libraries.
        rounds = [part.results[f"{name} {number}"] for number in range(1, part.size(ROUNDS, 1) + 1)]
        figures = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        rows.append([name, figures["write_s"], figures["read_s"], figures["pause_ms"]])
        part.put(name, figures)
    base = rows[0]
    table(
        ["format", "write s", "read s", "another thread waits at most, ms", "write against safetensors"],
        [[*row, row[1] / base[1]] for row in rows],
    )
    print(f"Medians of {part.size(ROUNDS, 1)} rounds with {size:,.0f} MB.")


if __name__ == "__main__":
    main()
