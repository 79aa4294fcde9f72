"""What ``wandb.log`` is given, sorted: numbers, texts, and what is recorded as a file, a table or a distribution."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from touchline.compat.pictures import is_figure
from touchline.compat.wandb._artifact import Artifact
from touchline.compat.wandb._media import Image, Media
from touchline.compat.wandb._numbers import BINS_OF_AN_ARRAY, Histogram, Table
from touchline.errors import UsageError

_PLAIN = frozenset((float, int, bool))
_NAME = frozenset((str,))


@dataclass
class Row:
    """The parts of one call; nested names are joined by dots, as W&B shows them."""

    numbers: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, Any] = field(default_factory=dict)
    media: list[tuple[str, Media | Artifact]] = field(default_factory=list)


def sort(data: Mapping[str, Any]) -> Row:
    """Sort the values of one call. Raises UsageError when it is no mapping of names."""
    if not isinstance(data, Mapping):
        raise UsageError(f"wandb.log takes a mapping of names and values, and this is {data!r}.")
    if _PLAIN.issuperset(map(type, data.values())) and _NAME.issuperset(map(type, data)):
        return Row(numbers=dict(data))
    row = Row()
    _add(row, data, "")
    return row


def _add(row: Row, data: Mapping[str, Any], prefix: str) -> None:
    for key, value in data.items():
        if not isinstance(key, str):
            raise UsageError(f"A name in wandb.log is a text, and this is {key!r}.")
        name = prefix + key
        if type(value) in _PLAIN:
            row.numbers[name] = value
        elif value is None:
            continue
        elif isinstance(value, Media | Artifact):
            row.media.append((name, value))
        elif isinstance(value, Mapping):
            _add(row, value, f"{name}.")
        elif isinstance(value, str | bytes | datetime.date):
            row.texts[name] = value if isinstance(value, str) else str(value)
        elif isinstance(value, list | tuple):
            _add_sequence(row, name, value)
        elif is_figure(value):
            row.media.append((name, Image(value)))
        elif hasattr(value, "itertuples"):
            row.media.append((name, Table(dataframe=value)))
        elif _count(value) > 1:
            row.media.append((name, Histogram(value, num_bins=BINS_OF_AN_ARRAY)))
        else:
            row.numbers[name] = value


def _add_sequence(row: Row, name: str, values: list[Any] | tuple[Any, ...]) -> None:
    if not values:
        return
    if all(isinstance(value, Media) for value in values):
        many = len(values) > 1
        row.media += [(f"{name}/{place}" if many else name, value) for place, value in enumerate(values)]
    elif all(type(value) in _PLAIN for value in values):
        row.media.append((name, Histogram(values, num_bins=BINS_OF_AN_ARRAY)))
    else:
        row.texts[name] = str(values)


def _count(value: Any) -> int:
    """Number of elements of an array or tensor, 1 for everything else."""
    if hasattr(value, "numel"):
        return int(value.numel())
    size = getattr(value, "size", 1)
    return size if isinstance(size, int) else 1
