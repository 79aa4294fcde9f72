"""The figures of the local GPUs, sorted by device for a reader."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from touchline.watch.snapshot import Snapshot

V = TypeVar("V")
_SERIES = re.compile(r"gpu/(?:(\d+)/)?([^/]+)")
"""``gpu/0/temperature`` or ``gpu/temperature``, but not ``gpu/temperature/max``."""
_UNIT = re.compile(r"_(percent|gb|watts|mhz|wh)$")
_CAUSES = ("thermal", "power", "hardware")
_RARE = "sm_percent"
"""A figure that most devices do not have; its absence is nothing to tell."""


@dataclass(frozen=True)
class Gpu:
    """One device at one moment; the names are without ``gpu/`` and without its index."""

    index: int
    name: str
    """The model, empty where the driver has not told."""
    values: Mapping[str, float]
    absent: Mapping[str, str]
    """Each figure that cannot be had, and why."""

    @property
    def throttled(self) -> tuple[str, ...] | None:
        """What holds the clocks back: thermal, power or hardware; None where the driver does not tell."""
        known = {name: self.values[f"throttle_{name}"] for name in _CAUSES if f"throttle_{name}" in self.values}
        return tuple(name for name, share in known.items() if share > 0.0) if known else None

    @property
    def sentences(self) -> tuple[str, ...]:
        """What no column has room for: an XID error, and why figures are absent."""
        which = f"GPU {self.index}"
        errors = (f"{which} reported XID error {self.values['xid']:.0f}.",) if "xid" in self.values else ()
        by_reason: dict[str, list[str]] = {}
        for name, reason in self.absent.items():
            if name != _RARE:
                by_reason.setdefault(reason.removeprefix(f"{which}: "), []).append(
                    _UNIT.sub("", name).replace("_", " ")
                )
        if not self.values and len(by_reason) == 1:
            return (*errors, f"{which} has no figures: {next(iter(by_reason))}")
        return (*errors, *(f"{which} has no {', '.join(names)}: {reason}" for reason, names in by_reason.items()))


def gpus(seen: Snapshot, names: Sequence[str]) -> tuple[Gpu, ...]:
    """Return the devices of one look; ``names`` are their models as far as they are known.

    Empty where there is no device; ``why_none`` says why.
    """
    values, absent = _by_device(seen.values), _by_device(seen.absent)
    own = sorted({index for index in (*values, *absent) if index is not None})
    is_lost = any("lost" in reason for reason in absent.get(None, {}).values())
    if not (own or values.get(None) or names or is_lost):
        return ()
    # With one device the plain names are its own; with several they are aggregates of no device.
    places: Sequence[int | None] = own or [None]
    return tuple(
        Gpu(place or 0, _at(names, place or 0), values.get(place, {}), absent.get(place, {})) for place in places
    )


def why_none(seen: Snapshot) -> str:
    """Say in one line why there is no GPU."""
    return "; ".join(dict.fromkeys(seen.absent.values())) or "the driver has not answered yet"


def which(names: Sequence[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """Say in sentences which devices those called ``names`` are, where a person would expect others.

    ``environment``: variables that choose the devices of a process.
    """
    if not names:
        return ()
    sentences = []
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        sentences.append(
            f"CUDA_VISIBLE_DEVICES={visible!r} chooses and numbers the GPUs here: GPU 0 is the first that it names."
        )
    if any("MIG" in name.split() for name in names):
        sentences.append(
            "GPU 0 is one MIG device, a part of a GPU: a process sees no other, and it is the first one unless "
            "CUDA_VISIBLE_DEVICES names another by its UUID (nvidia-smi -L lists them)."
        )
    return tuple(sentences)


def _by_device(series: Mapping[str, V]) -> dict[int | None, dict[str, V]]:
    """The series of each device by its index, and of all together under None."""
    found: dict[int | None, dict[str, V]] = {}
    for name, value in series.items():
        if match := _SERIES.fullmatch(name):
            index = None if match[1] is None else int(match[1])
            found.setdefault(index, {})[match[2]] = value
    return found


def _at(names: Sequence[str], index: int) -> str:
    return names[index] if index < len(names) else ""
