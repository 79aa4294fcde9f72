"""Media of W&B's history: dictionaries with a ``_type``, which name files of the run's folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from touchline.filesystem import is_inside
from touchline.migration import source
from touchline.migration.files import Files
from touchline.tracking.events import LONGEST_TABLE

_KINDS = {"image-file": ("image", source.IMAGES), "video-file": ("video", source.VIDEOS)}
_Missing = Callable[[str, str], None]


class Media:
    """Makes events of the media of one run."""

    def __init__(self, folder: Path, files: Files, findings: source.Findings) -> None:
        """``folder`` is the run's ``files``."""
        self._folder = folder
        self._files = files
        self._findings = findings
        self.used: set[Path] = set()
        """Files that became an event of their own."""

    def events(self, name: str, value: Mapping[str, Any], step: int, time: float) -> Iterator[source.Row]:
        """Yield the events of a value; one whose file is missing is noted."""
        kind = value.get("_type")
        if kind in _KINDS:
            yield from self._picture(str(kind), name, value, step, time)
        elif kind == "images/separated":
            captions = value.get("captions") or ()
            names = value.get("filenames") or ()
            for place, path in enumerate(names):
                caption = captions[place] if place < len(captions) else ""
                one = {"path": path, "caption": caption}
                yield from self._picture(
                    "image-file", name if len(names) == 1 else f"{name}/{place}", one, step, time
                )
        elif kind == "histogram":
            yield from self._histogram(name, value, step, time)
        elif kind == "table-file":
            yield from self._table(name, value, step, time)
        elif not isinstance(value.get("path"), str):
            self._findings.omit(f"{kind} {name}", "it is no file, and a run has nothing like it")
        # Any other file of the folder is kept as it is, with its name.

    def _picture(
        self, form: str, name: str, value: Mapping[str, Any], step: int, time: float
    ) -> Iterator[source.Row]:
        kind, counted = _KINDS[form]
        self._findings.counts[counted] += 1
        path = self._found(counted, name, value)
        if path is not None:
            yield kind, step, time, self._files.picture(kind, path, name, step, str(value.get("caption") or ""))

    def _histogram(self, name: str, value: Mapping[str, Any], step: int, time: float) -> Iterator[source.Row]:
        self._findings.counts[source.HISTOGRAMS] += 1
        counts, edges = value.get("values"), value.get("bins")
        if edges is None and isinstance(packed := value.get("packedBins"), Mapping):
            edges = [packed["min"] + packed["size"] * place for place in range(packed["count"] + 1)]
        if not isinstance(counts, list) or not isinstance(edges, list) or len(edges) != len(counts) + 1:
            self._findings.omit(f"histogram {name}", "its bins and counts do not fit together")
            return
        yield "histogram", step, time, {"name": name, "edges": edges, "counts": counts, "non_finite": 0}

    def _table(self, name: str, value: Mapping[str, Any], step: int, time: float) -> Iterator[source.Row]:
        path = self._folder / str(value.get("path"))
        try:
            if not is_inside(path, self._folder):
                raise ValueError(path)
            table = json.loads(path.read_text(encoding="utf-8"))
            columns, rows = [str(column) for column in table["columns"]], table["data"]
        except (OSError, ValueError, KeyError, TypeError):
            self._findings.counts[source.TABLES] += 1
            self._findings.omit(f"table {name}", f"its file {path.name} is not in the folder, or is no table")
            return
        if len(rows) > LONGEST_TABLE:
            reason = f"it has more than {LONGEST_TABLE:,} rows, so it is kept as the file files/{value['path']}"
            self._findings.omit(f"table {name} as a table", reason)
            return
        self._findings.counts[source.TABLES] += 1
        self.used.add(path)
        cells = [[json.dumps(cell) if isinstance(cell, dict | list) else cell for cell in row] for row in rows]
        yield "table", step, time, {"name": name, "columns": columns, "rows": cells}

    def _found(self, what: str, name: str, value: Mapping[str, Any]) -> Path | None:
        path = self._folder / str(value.get("path"))
        if not is_inside(path, self._folder) or not path.is_file():
            self._findings.omit(f"{what} {name}", "a file of it is not in the folder")
            return None
        self.used.add(path)
        return path
