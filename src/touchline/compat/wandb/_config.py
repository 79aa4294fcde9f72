"""``wandb.config`` and ``wandb.summary``: mappings that a run records as they change."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from touchline.compat.last import kept, read
from touchline.errors import TouchlineError, UsageError


def parsed(config: Any) -> dict[str, Any]:
    """A configuration as a mapping: from one, a dataclass, argparse's or absl's flags, a YAML or JSON file.

    Raises UsageError on anything else.
    """
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return {str(key): value for key, value in config.items()}
    if isinstance(config, argparse.Namespace):
        return dict(vars(config))
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return dataclasses.asdict(config)
    for method in ("flag_values_dict", "to_dict", "model_dump"):
        if callable(getattr(config, method, None)):
            return parsed(getattr(config, method)())
    if isinstance(config, str | Path):
        return _from_file(Path(config))
    if hasattr(config, "__dict__") and not isinstance(config, type):
        return dict(vars(config))
    raise UsageError(f"A configuration is a mapping, a dataclass or an argparse.Namespace, and this is {config!r}.")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"The configuration {path} cannot be read ({error.strerror}). Check the path.") from error
    if path.suffix == ".json":
        return parsed(json.loads(text))
    try:
        import yaml
    except ImportError as error:
        raise TouchlineError("Reading a YAML configuration needs PyYAML: pip install pyyaml") from error
    return parsed(yaml.safe_load(text))


class _Items(MutableMapping[str, Any]):
    """Items that are attributes too; a change is recorded at once."""

    def __init__(self, record: Callable[[dict[str, Any]], None]) -> None:
        object.__setattr__(self, "_items", {})
        object.__setattr__(self, "_record", record)

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __delitem__(self, name: str) -> None:
        raise TouchlineError(f"{name!r} is recorded and cannot be taken back. Give it another value instead.")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self._items:
            raise AttributeError(f"There is no {name!r} in the run's {type(self).__name__.lower()}.")
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __repr__(self) -> str:
        return repr(dict(self))


class Config(_Items):
    """The run's parameters."""

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def update(self, config: Any = (), allow_val_change: bool | None = None, **more: Any) -> None:  # type: ignore[override]
        """Add parameters; raises UsageError when one would change and ``allow_val_change`` is not True."""
        values = {**parsed(config or {}), **more}
        for name, value in values.items():
            if not allow_val_change and name in self._items and not _same(self._items[name], value):
                raise UsageError(
                    f"The parameter {name!r} is {self._items[name]!r}, and would become {value!r}. If that is meant, "
                    "use wandb.config.update(…, allow_val_change=True)."
                )
        self._items.update(values)
        if values:
            self._record(values)

    def setdefaults(self, config: Any) -> None:
        """Add the parameters that have no value yet."""
        self.update({name: value for name, value in parsed(config).items() if name not in self._items})

    def as_dict(self) -> dict[str, Any]:
        """A copy of the parameters."""
        return dict(self._items)


class Summary(_Items):
    """Results of the whole run: the last value of each metric, and what was set."""

    def __getitem__(self, name: str) -> Any:
        return read(self._items[name])

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def update(self, values: Any = (), **more: Any) -> None:  # type: ignore[override]
        """Set results, numbers or texts."""
        given = {**dict(values), **more}
        self._items.update(given)
        if given:
            self._record(given)

    def follow(self, numbers: Mapping[str, Any]) -> None:
        """Remember the last value of each metric, without its gradient."""
        items = self._items
        for name, value in numbers.items():
            items[name] = value if type(value) is float else kept(value)


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except (TypeError, ValueError):  # arrays compare element by element
        return repr(one) == repr(other)
