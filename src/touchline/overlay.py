"""Plain values (a TOML file, the environment, arguments) laid over frozen dataclasses; no unknown keys."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from touchline.errors import UsageError, unknown
from touchline.masking import is_secret

T = TypeVar("T")

_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file; raises UsageError when it is missing or malformed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"There is no configuration file {path}. Check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The configuration file {path} is not valid TOML: {error}. Correct that line.") from error
    except OSError as error:
        raise UsageError(
            f"The configuration file {path} cannot be read ({error.strerror}). Check its permissions."
        ) from error


def overlay(base: T, values: Mapping[str, Any], where: str) -> T:
    """Return the frozen dataclass ``base`` with ``values`` (nested mappings, as TOML gives them) over it.

    ``where`` names the source in errors. Raises UsageError on an unknown key (with the nearest name) and
    on a value of another type than the field's.
    """
    cls: Any = type(base)
    hints = _hints(cls)
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in hints:
            if is_secret(key):
                raise UsageError(
                    f"The {where} key {key!r} looks like a secret, and Touchline keeps none. "
                    "Set it in the environment under its native name, such as WANDB_API_KEY."
                )
            raise unknown(f"{where} key", key, hints)
        current = getattr(base, key)
        if dataclasses.is_dataclass(current) and isinstance(value, Mapping):
            changes[key] = overlay(current, value, where=f"{where} [{key}]")
        else:
            try:
                changes[key] = _coerce(value, hints[key])
            except (TypeError, ValueError) as error:
                raise UsageError(
                    f"The {where} key {key!r} has the value {value!r}; it should be {_name(hints[key])}."
                ) from error
    return dataclasses.replace(base, **changes)  # type: ignore[type-var]


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


def _name(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, typing.get_args(hint)))}"
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)


def _coerce(value: Any, hint: Any) -> Any:
    """Convert a TOML, environment or argument value to ``hint``; raises TypeError or ValueError otherwise."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _coerce_union(value, arguments)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(value)
        return value
    if origin is tuple:
        return _coerce_tuple(value, arguments)
    if hint is bool and isinstance(value, str):
        return _BOOLEANS[value.lower()] if value.lower() in _BOOLEANS else _refuse(value)
    if isinstance(value, bool) and hint is not bool:
        return _refuse(value)
    if hint is Path and isinstance(value, str | os.PathLike):
        return Path(value)
    if hint in (int, float) and isinstance(value, str):
        return hint(value)
    if hint is float and isinstance(value, int):
        return float(value)
    return value if isinstance(value, hint) else _refuse(value)


def _coerce_union(value: Any, members: tuple[Any, ...]) -> Any:
    if value is None and type(None) in members:
        return None
    for member in members:
        if member is not type(None):
            try:
                return _coerce(value, member)
            except (TypeError, ValueError):
                continue
    return _refuse(value)


def _coerce_tuple(value: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        return _refuse(value)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_coerce(part, arguments[0]) for part in value)
    if len(arguments) != len(value):
        return _refuse(value)
    return tuple(_coerce(part, hint) for part, hint in zip(value, arguments, strict=True))


def _refuse(value: Any) -> typing.NoReturn:
    raise TypeError(type(value).__name__)


def plain(config: Any) -> Any:
    """Turn a configuration (dataclasses, tuples, paths, numbers) into what JSON can hold."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {field.name: plain(getattr(config, field.name)) for field in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {str(key): plain(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [plain(value) for value in config]
    return config if isinstance(config, str | int | float | bool | None) else str(config)


def digest(config: Any) -> str:
    """First 16 hexadecimal digits of the sha256 of a configuration's canonical JSON."""
    text = json.dumps(plain(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
