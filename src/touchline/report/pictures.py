"""What is drawn here, as SVG that takes its colours from the page: pipeline, gate, curves before a script runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from touchline.cards import share
from touchline.report.gate import Gate, Row

NARROW, WIDE = 340, 960
"""Widths of the two drawings of each picture, in pixels; the page shows the one that fits."""
_BOX, _GAP, _HEIGHT = 132.0, 33.6, 92.0
_ROW = 46.0
_SKETCHED = 200
"""Points of a sketched line: more would be nearer to each other than pixels."""

GLYPHS = {
    "finished": '<circle r="8"/><path d="M-4 0l3 3 5-6" class="in"/>',
    "running": '<circle r="8" class="open"/><path d="M0-4v4l3 2" class="out"/>',
    "failed": '<rect x="-7" y="-7" width="14" height="14" rx="2"/><path d="M-3-3l6 6M3-3l-6 6" class="in"/>',
    "preempted": '<path d="M0-8.500L8.500 7h-17z"/><path d="M0-3v4M0 3.800v.4" class="in"/>',
    "planned": '<circle r="7" class="open dashed"/>',
    "pruned": '<path d="M0-8l8 8-8 8-8-8z"/><path d="M-3 0h6" class="in"/>',
}
"""A state's shape, around its middle; other states are drawn as failed ones."""
WORDS = {"killed-cause-unknown": "killed, cause unknown", "planned": "not begun"}
"""States that are told in other words."""


@dataclass(frozen=True)
class Stage:
    """One job of a pipeline."""

    job: str
    state: str
    duration: str
    """In words, empty before it has begun."""
    share: float
    """Of the whole pipeline's time."""
    link: str
    """Where a click goes, such as ``#job-convert``; empty for nowhere."""


def glyph(state: str) -> Markup:
    """A state's shape, 20 pixels wide."""
    shape = GLYPHS.get(state, GLYPHS["failed"])
    return Markup(
        f'<svg class="glyph state-{escape(state)}" viewBox="-10 -10 20 20" width="20" height="20" aria-hidden="true">'
        f"{shape}</svg>"
    )


def word(state: str) -> str:
    """A state in words."""
    return WORDS.get(state, state)


def sketch(data: Mapping[str, Any]) -> Markup:
    """The lines of a chart without axes, as its script is given them: what is seen until that has drawn it.

    It fills the width and height that it gets.
    """
    place = "t" if data.get("axis") == "time" else "x"
    lines = sorted(data["lines"], key=lambda line: not line.get("behind", False))
    points = []
    for line in lines:
        every = max(1, len(line["y"]) // _SKETCHED)
        pairs = zip(line[place][::every], line["y"][::every], strict=True)
        points.append([pair for pair in pairs if None not in pair])
    if not any(points):
        return Markup("")
    (left, right), (low, high) = (
        (min(values), max(values)) for values in zip(*(pair for line in points for pair in line), strict=True)
    )
    shapes, number = [], 0
    for line, shown in zip(lines, points, strict=True):
        colour = "quiet"
        if not line.get("behind"):
            colour, number = f"line-{number % 6 + 1}", number + 1
        told = " ".join(
            f"{1000 * share(x, left, right):.0f},{1000 - 1000 * share(y, low, high):.0f}" for x, y in shown
        )
        shapes.append(f'<polyline points="{told}" style="stroke: var(--{colour})"/>')
    return Markup(
        '<svg class="sketch" viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(shapes)}</svg>"
    )


def pipeline(stages: Sequence[Stage]) -> Markup:
    """The jobs from left to right; where there is no room for that, from top to bottom."""
    label = "; ".join(f"{one.job}: {word(one.state)}{f', {one.duration}' if one.duration else ''}" for one in stages)
    across, down = [], []
    per_row = 6
    for number, stage in enumerate(stages):
        row, column = divmod(number, per_row)
        left, top = column * (_BOX + _GAP), row * (_HEIGHT + 24)
        if column:
            across.append(_arrow(left - _GAP + 5, top + _HEIGHT / 2, left - 6, top + _HEIGHT / 2))
        across.append(_box(stage, left, top, _BOX, _HEIGHT, beside=False))
        top = number * 76.0
        if number:
            down.append(_arrow(28, top - 16, 28, top - 3))
        down.append(_box(stage, 0, top, NARROW, 58, beside=True))
    columns, rows = min(len(stages), per_row), math.ceil(len(stages) / per_row)
    width = columns * (_BOX + _GAP) - _GAP
    return _drawing("wide", width, rows * (_HEIGHT + 24) - 24, f"The pipeline. {label}", across, "group") + _drawing(
        "narrow", NARROW, len(stages) * 76 - 18, f"The pipeline. {label}", down, "group"
    )


def gate(found: Gate) -> Markup:
    """For each task a strip of paired differences with their mean and its interval, beside zero and the margin."""
    label = f"Score of {found.candidate} minus that of {found.opponent}. " + "; ".join(
        f"{row.task}: {interval_in_words(row)}" for row in found.rows
    )
    return _gate(found, WIDE, "wide", label) + _gate(found, NARROW, "narrow", label)


def interval_in_words(row: Row) -> str:
    """The mean difference of a task with its interval, as ``+0.125 [+0.010, +0.250]``."""
    one = row.interval
    if one.low is None or one.high is None:
        return f"{one.mean:+z.3f}, too few pairs for an interval".replace("-", "−")
    return f"{one.mean:+z.3f} [{one.low:+z.3f}, {one.high:+z.3f}]".replace("-", "−")


def _drawing(kind: str, width: float, height: float, label: str, parts: Sequence[str], role: str) -> Markup:
    return Markup(
        f'<svg class="drawing {kind}" viewBox="-1 -1 {width + 2:g} {height + 2:g}" role="{role}" '
        f'aria-label="{escape(label)}" style="max-width:{width + 2:g}px">{"".join(parts)}</svg>'
    )


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    head = f"M{x2 - 5:g} {y2 - 4:g}L{x2:g} {y2:g}l-5 4" if y1 == y2 else f"M{x2 - 4:g} {y2 - 5:g}L{x2:g} {y2:g}l4-5"
    return f'<path class="arrow" d="M{x1:g} {y1:g}L{x2:g} {y2:g}{head}"/>'


def _box(stage: Stage, left: float, top: float, width: float, height: float, *, beside: bool) -> str:
    shape = GLYPHS.get(stage.state, GLYPHS["failed"])
    bar = max(stage.share, 0.0) * (width - 28)
    if beside:
        told = _text("name", left + 46, top + 25, stage.job) + _text("quiet", left + 46, top + 43, word(stage.state))
        told += _text("figure", left + width - 14, top + 34, stage.duration, "end")
    else:
        told = _text("name", left + 38, top + 29, stage.job) + _text("quiet", left + 14, top + 51, word(stage.state))
        told += _text("figure", left + 14, top + 71, stage.duration)
    middle = (left + 24, top + 29) if beside else (left + 22, top + 24)
    line = f'<rect class="share" x="{left + 14:g}" y="{top + height - 8:g}" width="{bar:.1f}" height="3" rx="1.500"/>'
    drawn = (
        f'<rect class="box" x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" rx="10"/>'
        f'<g class="glyph" transform="translate({middle[0]:g} {middle[1]:g})">{shape}</g>{told}'
    )
    drawn += line if bar >= 1 else ""
    kind = f"stage state-{escape(stage.state)}"
    if not stage.link:
        return f'<g class="{kind}">{drawn}</g>'
    said = f"{stage.job}: {word(stage.state)}{f', {stage.duration}' if stage.duration else ''}"
    return f'<a class="{kind}" href="{escape(stage.link)}" aria-label="{escape(said)}">{drawn}</a>'


def _gate(found: Gate, width: int, kind: str, label: str) -> Markup:
    narrow = kind == "narrow"
    left, right, top = (18, width - 18, 8) if narrow else (250, width - 230, 8)
    row_height = _ROW + 24 if narrow else _ROW
    ticks = _ticks(found)
    low, high = ticks[0], ticks[-1]

    def at(value: float) -> float:
        return left + (right - left) * (min(max(value, low), high) - low) / (high - low)

    bottom = top + row_height * len(found.rows)
    parts = []
    for tick in ticks:
        told = "0" if abs(tick) < 1e-9 else f"{tick:+g}".replace("-", "−")
        strength = "zero" if abs(tick) < 1e-9 else "grid"
        parts.append(f'<path class="{strength}" d="M{at(tick):.1f} {top}V{bottom:g}"/>')
        parts.append(f'<text class="tick" x="{at(tick):.1f}" y="{bottom + 18:g}" text-anchor="middle">{told}</text>')
    if found.margin:
        lines = "".join(f"M{at(value):.1f} {top}V{bottom:g}" for value in (-found.margin, found.margin))
        parts.append(f'<path class="margin" d="{lines}"/>')
    for number, row in enumerate(found.rows):
        parts.append(_strip(row, at, top + row_height * number, width, narrow))
    return _drawing(kind, width, bottom + 26, label, parts, "img")


def _text(kind: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.4g}" y="{y:.4g}" text-anchor="{anchor}">{escape(text)}</text>'


def _strip(row: Row, at: Callable[[float], float], top: float, width: int, narrow: bool) -> str:
    middle = top + (_ROW / 2 + 22 if narrow else _ROW / 2)
    one = row.interval
    sign = "open"
    if one.low is not None and one.high is not None:
        sign = "good" if one.low > 0 else "bad" if one.high < 0 else "open"
    words = interval_in_words(row)
    if narrow:
        parts = [
            _text("name", 4, top + 16, row.task),
            _text("figure", width - 4, top + 16, words.split(" [")[0], "end"),
        ]
    else:
        parts = [_text("name", 0, middle + 5, row.task), _text("figure", width, middle + 5, words, "end")]
    # Spread by the golden ratio: even, and the same each time.
    parts += [
        f'<circle class="pair" cx="{at(value):.1f}" cy="{middle + 22 * ((number * 0.618) % 1 - 0.5):.1f}" r="2.600"/>'
        for number, value in enumerate(row.values)
    ]
    if one.low is not None and one.high is not None:
        parts.append(
            f'<path class="interval {sign}" d="M{at(one.low):.1f} {middle:g}H{at(one.high):.1f}'
            f'M{at(one.low):.1f} {middle - 6:g}v12M{at(one.high):.1f} {middle - 6:g}v12"/>'
        )
    parts.append(f'<path class="mean {sign}" d="M{at(one.mean):.1f} {middle - 7:g}l6 7-6 7-6-7z"/>')
    return "".join(parts)


def _ticks(found: Gate) -> list[float]:
    """Three to seven round numbers that enclose every difference, and zero among them."""
    values = [value for row in found.rows for value in row.values]
    values += [
        value for row in found.rows for value in (row.interval.mean, row.interval.low, row.interval.high) if value
    ]
    low, high = min([*values, -found.margin, 0.0]), max([*values, found.margin, 0.0])
    rough = max(high - low, 1e-6) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]
