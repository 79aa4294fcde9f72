"""One curve drawn with braille dots, in plain text of a given width."""

from __future__ import annotations

import itertools

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
    if low == high:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    labels = [number(high), *[""] * (_ROWS - 2), number(low)]
    margin = max(map(len, labels))
    first, last = line[0][0], line[-1][0]
    columns = max(width - margin - 2, 10)
    canvas = Canvas(columns, _ROWS, xmin=first, ymin=low, xmax=last, ymax=high)
    for (x0, y0), (x1, y1) in itertools.pairwise(line):
        canvas.line(x0, y0, x1, y1)
    rows = canvas.plot(linesep="\n").split("\n")
    left, right = number(round(first)), number(round(last))
    axis = f"{left}{' ' * max(columns - len(left) - len(right), 1)}{right}"
    drawn = [f"{label:>{margin}} ┤{row}".rstrip("⠀ ") for label, row in zip(labels, rows, strict=True)]
    return [*drawn, f"{'':>{margin}} └{'─' * columns}", f"{'':>{margin}}  {axis}"]


def describe(curve: Curve) -> str:
    """The curve in one line of figures."""
    text = f"{curve.points:,} points, last {number(curve.last)} at step {curve.last_step:,}"
    if curve.points > curve.not_finite:
        text += f", lowest {number(curve.lowest)}, highest {number(curve.highest)}"
    return text + (f", {curve.not_finite:,} not finite" if curve.not_finite else "")
