"""Events as strict JSON, on their way into a journal: without secrets, non-finite numbers by their name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from touchline.redaction import redact


def encode_number(value: float) -> float | str:
    """Return what strict JSON can hold: the number itself, or the name of a non-finite one."""
    if math.isfinite(value):
        return value
    return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")


_encode = json.JSONEncoder(allow_nan=False, default=str).encode


def encode(kind: str, payload: Mapping[str, Any]) -> str:
    """Encode an event's payload as strict JSON, non-finite numbers by name; other objects by ``str``.

    Secrets are masked, except in kinds that hold only numbers. A byte that was no text (half of a surrogate pair, as
    in file names) becomes its escape: far sides refuse it.
    """
    payload = redact(kind, payload)
    text = _dump(payload)
    return _dump(_texts(payload)) if "\\ud" in text else text


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_texts(str(key)): _texts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(item) for item in value]
    return value


def _dump(payload: Mapping[str, Any]) -> str:
    try:
        return _encode(payload)
    except ValueError:
        return _encode(_finite(payload))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return encode_number(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
