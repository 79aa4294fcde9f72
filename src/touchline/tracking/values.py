"""Metric values: a snapshot that costs the training loop nothing, and its conversion in the writer thread."""

from __future__ import annotations

import math
import numbers
import reprlib
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from operator import call
from typing import Any, Protocol, runtime_checkable

from touchline.tracking.encoding import encode_number
from touchline.tracking.queue import EVENT_BYTES, VALUE_BYTES

_PLAIN = frozenset((float, int, bool))
_FLOAT_BITS = 1_023
_NUMBERS = frozenset((float, int))
_TEXT = frozenset((str,))
_host_sharding: Any = None
"""Where the newest JAX array on the CPU lay."""


def is_plain(values: Mapping[str, Any]) -> bool:
    """True when all are Python numbers, which is what a loop usually logs: no copy and no conversion is needed."""
    return _PLAIN.issuperset(map(type, values.values()))


@runtime_checkable
class Loggable(Protocol):
    """A value of ``run.log`` that is no number and records itself, as a ``Video`` does."""

    def log_to(self, run: Any, name: str, step: int | None) -> None:
        """Record it in ``run`` under ``name``."""
        ...


class NotOnlyNumbers(Exception):
    """A value among the metrics is ``Loggable``; nothing was recorded."""


def snapshot(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the metrics so that what the caller changes later does not change what was logged.

    Python numbers and NumPy scalars are values already; torch's on the CPU are read; arrays and other tensors are
    cloned (detached, on their device); JAX arrays are immutable and only start their copy to the host. No device
    is synchronised.
    Raises NotOnlyNumbers when one of them is ``Loggable``.
    """
    values = dict(metrics)
    if not is_plain(values):
        for name, value in values.items():
            if type(value) not in _PLAIN:
                try:
                    values[name] = _copy(value)
                except NotOnlyNumbers:
                    raise
                except Exception:  # the conversion will meet the same error and tell it
                    values[name] = value
    return values


def _copy(value: Any) -> Any:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        # On the CPU nobody is waited for, and the number itself costs less than a copy.
        return value.item() if value.is_cpu and value.numel() == 1 else value.detach().clone()
    if hasattr(value, "copy_to_host_async"):
        if not value.is_deleted() and not _lies_on_host(value):
            value.copy_to_host_async()
        return value
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        return value.copy()
    if hasattr(value, "log_to"):
        raise NotOnlyNumbers
    return list(value) if isinstance(value, list) else value


def _lies_on_host(value: Any) -> bool:
    """True for a JAX array on the CPU: to ask for its copy would cost more than all the rest of a log call."""
    global _host_sharding
    sharding = getattr(value, "sharding", None)
    if sharding is not None and sharding is _host_sharding:  # what one compiled step returns shares one
        return True
    devices = getattr(value, "devices", None)
    if devices is None or not all(device.platform == "cpu" for device in devices()):
        return False
    _host_sharding = sharding
    return True


def is_ready(value: Any) -> bool:
    """False while a device is still computing a JAX array; torch and everything else convert at once."""
    try:
        ready = getattr(value, "is_ready", None)
        if ready is None:
            return True
        # ``is_ready`` of a deleted array ends the process; asked within one call of C, no other thread can donate
        # the array between the two answers.
        return any(map(call, (value.is_deleted, ready)))
    except Exception:  # the conversion will meet the same error and tell it
        return True


def are_numbers(values: Mapping[Any, Any]) -> bool:
    """True when the journal can hold the values as they are: finite Python numbers under text names."""
    # A sum is finite only if each of its terms is; one that overflows merely takes the longer way.
    return (
        _TEXT.issuperset(map(type, values)) and _NUMBERS.issuperset(map(type, values.values())) and _is_finite(values)
    )


def _is_finite(values: Mapping[Any, Any]) -> bool:
    try:
        return math.isfinite(sum(values.values()))
    except OverflowError:
        return False


def to_number(value: Any) -> float | int | str:
    """Convert a snapshot value to what the journal holds.

    Raises TypeError or ValueError with a sentence for anything that is not one number.
    """
    if type(value) is float:
        return encode_number(value)
    if isinstance(value, bool):
        return int(value)
    if type(value) is int:
        return _bounded(value)
    try:  # most are one number, and to ask first costs as much as to read it
        number = value.item()
    except Exception:
        return _examined(value)
    return encode_number(number) if type(number) is float else _examined(number)


def _examined(value: Any) -> float | int | str:
    if isinstance(value, str | bytes | complex) or value is None:
        raise TypeError(f"{reprlib.repr(value)} is not a number")
    if isinstance(value, Mapping | Sequence | Set):
        raise TypeError(f"{reprlib.repr(value)} is not a number; log each of its parts under a name of its own")
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
    if not is_plain(values):
        for value in values.values():
            try:
                if isinstance(value, list | tuple):
                    size += VALUE_BYTES * len(value)
                elif getattr(value, "shape", None) != ():
                    size += getattr(value, "nbytes", 0)
            except Exception:  # an object that answers no question
                continue
    return size


def points(steps: Any, values: Any) -> Iterable[tuple[int, float]]:
    """The (step, value) pairs of a curve as Python numbers. Raises ValueError when a step is no whole number."""
    import numpy as np

    whole = _on_host(steps)
    if not np.issubdtype(whole.dtype, np.integer):
        if not np.all((whole == np.floor(whole)) & (np.abs(whole) < 2**63)):
            raise ValueError("its steps are not whole numbers below 2**63")
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
