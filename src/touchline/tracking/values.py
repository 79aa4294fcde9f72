"""Metric values: a snapshot that costs the training loop nothing, and its conversion in the writer thread."""

from __future__ import annotations

import contextlib
import numbers
import reprlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from touchline.tracking.journal import encode_number
from touchline.tracking.queue import EVENT_BYTES, VALUE_BYTES

_PLAIN = frozenset((float, int, bool))
_FLOAT_BITS = 1_023


def snapshot(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the metrics so that what the caller changes later does not change what was logged.

    Python numbers and NumPy scalars are values already; arrays and torch tensors are cloned (detached, on
    their device); JAX arrays are immutable and only start their copy to the host. No device is synchronised.
    """
    values = dict(metrics)
    if not _PLAIN.issuperset(map(type, values.values())):
        for name, value in values.items():
            if type(value) not in _PLAIN:
                try:
                    values[name] = _copy(value)
                except Exception:  # the conversion will meet the same error and tell it
                    values[name] = value
    return values


def _copy(value: Any) -> Any:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return value.detach().clone()
    if hasattr(value, "copy_to_host_async"):
        if not value.is_deleted():
            value.copy_to_host_async()
        return value
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        return value.copy()
    return list(value) if isinstance(value, list) else value


def is_ready(value: Any) -> bool:
    """False while a device is still computing a JAX array; torch and everything else convert at once."""
    try:
        if not hasattr(value, "is_ready"):
            return True
        return bool(value.is_deleted() or value.is_ready())
    except Exception:  # the conversion will meet the same error and tell it
        return True


def to_number(value: Any) -> float | int | str:
    """Convert a snapshot value to what the journal holds.

    Raises TypeError or ValueError with a sentence for anything that is not one number.
    """
    if isinstance(value, bool):
        return int(value)
    if type(value) is int:
        return _bounded(value)
    if isinstance(value, str | bytes) or value is None:
        raise TypeError(f"{reprlib.repr(value)} is not a number")
    deleted = getattr(value, "is_deleted", None)
    if callable(deleted) and deleted():
        raise ValueError("its JAX buffer was donated or deleted before it could be read; log a copy of it")
    size = getattr(value, "size", 1)
    count = size() if callable(size) else size
    if hasattr(value, "numel"):
        count = value.numel()
    if count != 1:
        raise ValueError(f"it has shape {tuple(value.shape)}, and a metric is one number; reduce it first")
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, bool | numbers.Integral):
        return _bounded(int(plain))
    return encode_number(float(plain))


def _bounded(value: int) -> int:
    if value.bit_length() > _FLOAT_BITS:
        raise ValueError(f"it is an integer of {value.bit_length():,} bits, and no far side holds so many")
    return value


def size_of(values: Mapping[str, Any]) -> int:
    """Bytes that a snapshot takes in memory, about: arrays by their size, everything else by its entry."""
    size = EVENT_BYTES + VALUE_BYTES * len(values)
    if not _PLAIN.issuperset(map(type, values.values())):
        for value in values.values():
            with contextlib.suppress(Exception):  # an object that answers no question
                size += getattr(value, "nbytes", 0) or (
                    VALUE_BYTES * len(value) if isinstance(value, list | tuple) else 0
                )
    return size


def points(steps: Any, values: Any) -> Iterable[tuple[int, float]]:
    """The (step, value) pairs of a curve as Python numbers. Raises ValueError when a step is no whole number."""
    import numpy as np

    whole = _on_host(steps)
    if not np.issubdtype(whole.dtype, np.integer):
        if not np.all(whole == np.floor(whole)):
            raise ValueError("its steps are not whole numbers")
        whole = whole.astype(np.int64)
    return zip(whole.tolist(), _on_host(values).astype(float).tolist(), strict=True)


def histogram(values: Any, bins: int) -> dict[str, Any]:
    """Count an array: bin ``edges`` (bins + 1), ``counts`` (bins), and how many were not finite."""
    import numpy as np

    array = _on_host(values).astype(float).ravel()
    finite = array[np.isfinite(array)]
    counts, edges = np.histogram(finite, bins=bins)
    return {"edges": edges.tolist(), "counts": counts.tolist(), "non_finite": int(array.size - finite.size)}


def _on_host(values: Any) -> Any:
    """A NumPy array of what may be a sequence or an array of NumPy, torch or JAX."""
    import numpy as np

    deleted = getattr(values, "is_deleted", None)
    if callable(deleted) and deleted():
        raise ValueError("its JAX buffer was donated or deleted before it could be read; log a copy of it")
    if hasattr(values, "cpu") and hasattr(values, "numpy"):
        values = values.cpu()
        # NumPy has no bfloat16.
        values = values.double().numpy() if values.is_floating_point() else values.numpy()
    return np.asarray(values)
