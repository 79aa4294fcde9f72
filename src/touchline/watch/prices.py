"""What a device costs by the hour: list prices, and your own over them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from touchline.errors import UsageError


@dataclass(frozen=True)
class Price:
    """What one device, with the machine around it, costs in USD per hour."""

    on_demand: float | None = None
    spot: float | None = None
    """None: not known, or changing too often to be written down."""

    def __post_init__(self) -> None:
        for value in (self.on_demand, self.spot):
            if value is not None and not 0.0 <= value < math.inf:
                raise UsageError(f"A price is a number of USD per hour, 0 or more, and this is {value}.")


LIST_PRICES: Mapping[str, Price] = MappingProxyType(
    {
        "L4": Price(0.80, 0.35),
        "T4": Price(0.526),
        "A10G": Price(1.006),
        "L40S": Price(1.861),
        "V100 16GB": Price(3.06),
        "A100 40GB": Price(2.74),
        "A100 80GB": Price(3.43),
        "H100 HBM3": Price(6.88),
    }
)
"""By words of the device's name, on demand: what AWS EC2 lists for Linux in us-east-1 (g6, g4dn, g5, g6e, p3, p4d,
p4de, p5; November 2026), divided by the machine's GPUs. Spot prices change by the hour: only the L4 has a usual one.
"""


@dataclass(frozen=True)
class Prices:
    """A price table; your own prices go over the list ones with ``Prices.parse``."""

    table: Mapping[str, Price] = field(default_factory=lambda: LIST_PRICES)
    """By words that the device's name must have: ``A100 40GB`` is found in ``NVIDIA A100-SXM4-40GB``."""

    def __post_init__(self) -> None:
        for key in self.table:
            if not _words(key):
                raise UsageError(f"A price belongs to a device's name, and {key!r} has no word. Example: 'L4'.")

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Prices:
        """Put entries such as ``L4=0.71`` or ``A100=2.10/0.95`` (on demand/spot) over the list prices.

        An entry replaces each list price that it covers: ``A100`` those of 40 and of 80 GB. Raises UsageError on
        another form, and on one text in place of several.
        """
        if isinstance(entries, str):
            raise UsageError(f"Prices are several, and {entries!r} is one text. Put it in brackets: [{entries!r}].")
        given = dict(_parse_entry(entry) for entry in entries)
        listed = {
            key: price for key, price in LIST_PRICES.items() if not any(_words(mine) <= _words(key) for mine in given)
        }
        return cls({**listed, **given})

    def usd_per_hour(self, device_name: str, spot: bool = False) -> float | None:
        """Return the price of the entry with the most words in common, or None when there is none.

        A slice of a device (MIG) has a price only under a name with the word MIG: it is not sold as the whole.
        """
        words = _words(device_name)
        fitting = [key for key in self.table if _words(key) <= words and ("mig" in words) == ("mig" in _words(key))]
        if not fitting:
            return None
        price = self.table[max(fitting, key=lambda key: len(_words(key)))]
        return price.spot if spot else price.on_demand


def _words(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9]+", name.lower()))


def _parse_entry(entry: str) -> tuple[str, Price]:
    name, _, figures = entry.partition("=")
    try:
        on_demand, *spot = (float(figure) for figure in figures.split("/"))
        if len(spot) > 1:
            raise ValueError(figures)
    except ValueError as error:
        raise UsageError(
            f"The price {entry!r} is not like L4=0.80/0.35: a device's name, '=', USD per hour on demand, "
            "and after '/' the spot price if there is one."
        ) from error
    return name.strip(), Price(on_demand, *spot)
