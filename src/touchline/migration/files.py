"""Files of an imported run: copied into its directory, or only counted."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from touchline.tracking.events import slug
from touchline.tracking.media import check_path, keep

_FOLDERS = {"image": "images", "video": "videos", "artifact": "artifacts"}


class Files:
    """Makes the payloads of events that have a file."""

    def __init__(self, directory: Path | None) -> None:
        """``directory`` is the run's; None copies nothing."""
        self._directory = directory

    @property
    def only_counts(self) -> bool:
        """True when nothing is copied."""
        return self._directory is None

    def artifact(self, path: Path, name: str) -> dict[str, Any]:
        """Keep a file, to be delivered under ``name``. Raises TouchlineError when it cannot be copied."""
        return {"name": name, "path": self._keep("artifact", path, name)}

    def picture(self, kind: str, path: Path, name: str, step: int | None, caption: str = "") -> dict[str, Any]:
        """Keep an ``image`` or a ``video``. Raises TouchlineError when it cannot be copied."""
        kept = self._keep(kind, path, f"{slug(name)}-{step or 0}{path.suffix}")
        return {"name": name, "path": kept, "caption": caption}

    def encoded(self, kind: str, data: bytes, suffix: str, name: str, step: int | None) -> dict[str, Any]:
        """Keep a picture that is bytes in the source."""
        with tempfile.TemporaryDirectory(prefix="touchline-") as folder:
            path = Path(folder) / f"data{suffix}"
            if self._directory is not None:
                path.write_bytes(data)
            return self.picture(kind, path, name, step)

    def text(self, text: str, name: str) -> dict[str, Any]:
        """Keep a text as a file, to be delivered under ``name``."""
        with tempfile.TemporaryDirectory(prefix="touchline-") as folder:
            path = Path(folder) / "text"
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
            return self.artifact(path, name)

    def _keep(self, kind: str, path: Path, name: str) -> str:
        check_path(name)
        return "" if self._directory is None else keep(self._directory, path, _FOLDERS[kind], name)


class OtherValues:
    """Values that are no numbers, on their way into one file of JSON lines."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    @property
    def count(self) -> int:
        """Number of them."""
        return len(self._lines)

    def add(self, name: str, step: int | None, time: float, value: Any) -> None:
        """Add one."""
        line: Mapping[str, Any] = {"name": name, "step": step, "time": time, "value": value}
        self._lines.append(json.dumps(line, default=str) + "\n")

    def payload(self, files: Files, name: str) -> dict[str, Any]:
        """The artifact that has them all."""
        return files.text("".join(self._lines), name)
