"""What a notebook shows of an object: a small card of HTML, in the colours of whatever page it stands on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

WIDTH, HEIGHT = 160.0, 24.0
"""Of a line, in pixels."""
# Notebooks differ in their colours, and are light or dark: all here is a share of the text's own.
_CARD = "border:1px solid color-mix(in srgb,currentColor 22%,transparent);border-radius:6px;padding:.6em .9em;"
_QUIET = "opacity:.72"
_TABLE = "border-collapse:collapse;margin:.4em 0;color:inherit;font:inherit"
_CELL = "padding:.15em 1em .15em 0;text-align:left;vertical-align:middle;background:none;border:0;"


def card(title: str, sentences: Iterable[str], *tables: str, links: Sequence[tuple[str, str]] = ()) -> str:
    """The card's HTML: a title, what there is to say, tables from ``table``, and links as (text, address)."""
    said = "".join(f'<div style="{_QUIET}">{escape(sentence)}</div>' for sentence in sentences if sentence)
    there = " · ".join(
        f'<a href="{escape(address)}" target="_blank" rel="noopener">{escape(text)}</a>'
        for text, address in links
        if address.startswith(("https://", "http://"))
    )
    foot = f"<div>{there}</div>" if there else ""
    return (
        f'<div style="{_CARD}display:inline-block;max-width:100%;overflow-x:auto;line-height:1.45">'
        f"<b>{escape(title)}</b>{said}{''.join(tables)}{foot}</div>"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts; what ``line`` has drawn goes in as it is. Empty without rows."""
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    if not body:
        return ""
    names = "".join(f'<th scope="col" style="{_CELL}{_QUIET}">{escape(name)}</th>' for name in head)
    return f'<table style="{_TABLE}"><tr>{names}</tr>{body}</table>'


class Line(str):
    """A drawn line: SVG that is no text to be escaped."""


def line(points: Sequence[tuple[float, float]], about: str) -> Line:
    """Draw (x, y) in the order of x, scaled to fill; ``about`` says in words what it shows."""
    drawn = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(drawn) < 2:
        return Line("")
    (left, right), low, high = (drawn[0][0], drawn[-1][0]), min(y for _, y in drawn), max(y for _, y in drawn)
    path = " ".join(
        f"{2 + (WIDTH - 4) * share(x, left, right):.1f},{HEIGHT - 2 - (HEIGHT - 4) * share(y, low, high):.1f}"
        for x, y in drawn
    )
    return Line(
        f'<svg width="{WIDTH:g}" height="{HEIGHT:g}" role="img" aria-label="{escape(about)}">'
        f'<polyline points="{path}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )


def share(value: float, low: float, high: float) -> float:
    """Where a finite value lies between two others, from 0 to 1; a half where these are the same."""
    # Halves, for the difference of two large numbers may be infinite.
    return (value / 2 - low / 2) / (high / 2 - low / 2) if high / 2 > low / 2 else 0.5


def _cell(text: str) -> str:
    return f'<td style="{_CELL}">{text if isinstance(text, Line) else escape(text)}</td>'
