"""One curve drawn with braille dots, in plain text of a given width."""

from __future__ import annotations

import itertools
import math

from touchline.tracking.curves import Curve
from touchline.tracking.narrate import number

_ROWS = 7


def chart(curve: Curve, width: int) -> list[str]:
    """The lines of a chart at most ``width`` characters wide; a sentence where nothing finite is to be drawn."""
    line = curve.line()
    if not line:
        return ["  no finite value"]
    if len(line) == 1:
        return [f"  one value: {number(line[0][1])}"]
    from plotille import Canvas

    low, high = min(y for _, y in line), max(y for _, y in line)
    labels = [""] * _ROWS
    if low == high:
        labels[_ROWS // 2] = number(low)
    else:
        labels[0], labels[-1] = number(high), number(low)
    margin = max(map(len, labels))
    first, last = curve.first_step, curve.final_step
    columns = max(width - margin - 2, 10)
    canvas = Canvas(columns, _ROWS, xmin=first, ymin=0.0, xmax=last, ymax=1.0)
    heights = [(x, _share(y, low, high)) for x, y in line]
    for (x0, y0), (x1, y1) in itertools.pairwise(heights):
        canvas.line(x0, y0, x1, y1)
    rows = canvas.plot(linesep="\n").split("\n")
    left, right = number(first), number(last)
    axis = f"{left}{' ' * max(columns - len(left) - len(right), 1)}{right}"
    drawn = [f"{label:>{margin}} ┤{row}".rstrip("⠀ ") for label, row in zip(labels, rows, strict=True)]
    return [*drawn, f"{'':>{margin}} └{'─' * columns}", f"{'':>{margin}}  {axis}"]


def _share(value: float, low: float, high: float) -> float:
    """Where ``value`` is between ``low`` (0) and ``high`` (1), whose difference may be more than a float holds."""
    if low == high:
        return 0.5
    span = high - low
    return (value - low) / span if math.isfinite(span) else (value / 2 - low / 2) / (high / 2 - low / 2)


def describe(curve: Curve) -> str:
    """The curve in one line of figures."""
    text = f"{curve.points:,} points, last {number(curve.last)} at step {curve.last_step:,}"
    if curve.points > curve.not_finite:
        text += f", lowest {number(curve.lowest)}, highest {number(curve.highest)}"
    return text + (f", {curve.not_finite:,} not finite" if curve.not_finite else "")
