"""Histogram and Table: numbers that are more than one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from touchline.compat.told import tell
from touchline.compat.wandb._media import Image, Media
from touchline.errors import UsageError
from touchline.tracking.run import Run

BINS = 64
"""Bins of a Histogram, as in the SDK."""
BINS_OF_AN_ARRAY = 32
"""Bins of an array that is logged as it is, as in the SDK."""
_LONGEST = 512


class Histogram(Media):
    """A distribution: of a sequence or an array of any shape, or one that ``numpy.histogram`` has counted."""

    def __init__(self, sequence: Any = None, np_histogram: Any = None, num_bins: int = BINS) -> None:
        """Raises UsageError when the counts and the edges do not fit."""
        self._values, self._bins = sequence, num_bins
        self._counted: dict[str, Any] | None = None
        if num_bins > _LONGEST:
            raise UsageError(f"A histogram has up to {_LONGEST} bins, and this wants {num_bins}.")
        if np_histogram is not None:
            counts, edges = (_listed(part) for part in np_histogram)
            if len(counts) + 1 != len(edges):
                raise UsageError(
                    f"A histogram of {len(counts)} counts has {len(counts) + 1} edges, and this has {len(edges)}. "
                    "Give what numpy.histogram returns."
                )
            self._counted = {"edges": edges, "counts": counts, "non_finite": 0}
        elif sequence is None:
            raise UsageError("A histogram needs a sequence, or np_histogram=(counts, edges).")

    def record(self, run: Run, name: str, step: int) -> None:
        """Record it; a sequence is counted off the loop."""
        if self._counted is None:
            run.log_histogram(name, self._values, step=step, bins=self._bins)
        else:
            run._writer.put("histogram", {"name": name, **self._counted}, step)


class Table(Media):
    """Rows of numbers, texts and images under named columns."""

    def __init__(
        self,
        columns: Sequence[Any] | None = None,
        data: Any = None,
        rows: Sequence[Sequence[Any]] | None = None,
        dataframe: Any = None,
        dtype: Any = None,
        optional: bool | list[bool] = True,
        allow_mixed_types: bool = False,
        log_mode: str | None = "IMMUTABLE",
    ) -> None:
        """``data`` is rows, an array (rows, columns) or a data frame. Raises UsageError on a ragged row."""
        if dataframe is None and hasattr(data, "itertuples"):
            dataframe, data = data, None
        if dataframe is not None:
            columns, data = list(dataframe.columns), dataframe.itertuples(index=False, name=None)
        given = data if data is not None else (rows or [])
        self.data: list[list[Any]] = [list(row) for row in given]
        if columns is None:
            width = len(self.data[0]) if self.data else 3
            columns = ["Input", "Output", "Expected"] if width == 3 else [str(place) for place in range(width)]
        self.columns = [str(column) for column in columns]
        for row in self.data:
            self._check(row)

    def add_data(self, *cells: Any) -> None:
        """Add one row. Raises UsageError when it has not one cell a column."""
        self._check(cells)
        self.data.append(list(cells))

    add_row = add_data

    def add_column(self, name: str, data: Iterable[Any], optional: bool = False) -> None:
        """Add a column with one cell a row. Raises UsageError when the number of rows differs."""
        cells = list(data)
        if self.data and len(cells) != len(self.data):
            raise UsageError(f"The table has {len(self.data)} rows, and the column {name!r} has {len(cells)} cells.")
        self.data = self.data or [[] for _ in cells]
        self.columns.append(str(name))
        for row, cell in zip(self.data, cells, strict=True):
            row.append(cell)

    def get_column(self, name: str, convert_to: str | None = None) -> Any:
        """The cells of a column, as an array with ``convert_to="numpy"``. Raises UsageError on another name."""
        if name not in self.columns:
            raise UsageError(f"The table has no column {name!r}. Its columns: {', '.join(self.columns)}.")
        cells = [row[self.columns.index(name)] for row in self.data]
        if convert_to == "numpy":
            import numpy as np

            return np.array(cells)
        return cells

    def record(self, run: Run, name: str, step: int) -> None:
        """Record it; an image in a cell is recorded beside it, and the cell says its name."""
        rows = []
        for place, row in enumerate(self.data):
            cells = []
            for column, cell in zip(self.columns, row, strict=True):
                if isinstance(cell, Image):
                    picture = f"{name}/{column}-{place}"
                    cell.record(run, picture, step)
                    cell = picture
                elif isinstance(cell, Media):
                    tell("cell", f"wandb.Table: a {type(cell).__name__} in a cell is not recorded; log it by itself.")
                    cell = type(cell).__name__
                cells.append(cell)
            rows.append(cells)
        run.log_table(name, self.columns, rows, step=step)

    def _check(self, row: Sequence[Any]) -> None:
        if len(row) != len(self.columns):
            raise UsageError(f"The table has {len(self.columns)} columns, and this row has {len(row)}: {row!r}.")


def _listed(values: Any) -> list[Any]:
    return values.tolist() if hasattr(values, "tolist") else list(values)
