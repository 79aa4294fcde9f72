"""Artifacts: files put together under one name, and kept when they are logged."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from touchline.compat.told import tell
from touchline.errors import TouchlineError, UsageError
from touchline.tracking.media import check_links
from touchline.tracking.run import Run

_REGISTRY = (
    "Versions and aliases of models are the catalog's: run.log_milestone(), touchline.load_model('name@Alias')."
)


class Artifact:
    """Files under one name; each is copied when it is added, so the original may change at once."""

    def __init__(
        self,
        name: str,
        type: str = "file",
        description: str | None = None,
        metadata: dict[str, Any] | None = None,
        incremental: bool = False,
        use_as: str | None = None,
        **ignored: Any,
    ) -> None:
        """``type`` and ``description`` go into ``metadata.json`` beside the files, where metadata is given."""
        self.name = name
        self.type = type
        self.description = description
        self.metadata: dict[str, Any] = dict(metadata or {})
        self._folder = tempfile.TemporaryDirectory(prefix="touchline-artifact-")
        self._root = Path(self._folder.name)

    def add_file(self, local_path: str | Path, name: str | None = None, **ignored: Any) -> None:
        """Copy a file into the artifact as ``name``. Raises TouchlineError when it cannot be copied."""
        source = Path(local_path)
        if not source.is_file():
            raise TouchlineError(f"There is no file {source} to add to the artifact {self.name}. Check the path.")
        self._copy(source, name or source.name)

    def add_dir(self, local_path: str | Path, name: str | None = None, **ignored: Any) -> None:
        """Copy what is in a directory into the artifact, below ``name``. Raises TouchlineError when it cannot."""
        source = Path(local_path)
        if not source.is_dir():
            raise TouchlineError(
                f"There is no directory {source} to add to the artifact {self.name}. Check the path."
            )
        self._copy(source, name or ".")

    @contextlib.contextmanager
    def new_file(self, name: str, mode: str = "w", encoding: str | None = None) -> Iterator[IO[Any]]:
        """Open a new file of the artifact for writing."""
        with self._place(name).open(mode, encoding=encoding) as file:
            yield file

    def add(self, obj: Any, name: str, **ignored: Any) -> None:
        """Refused: log a table or a picture with wandb.log."""
        raise TouchlineError(f"An artifact takes files only. Log the {type(obj).__name__} {name!r} with wandb.log.")

    def add_reference(self, uri: str, name: str | None = None, **ignored: Any) -> None:
        """Record where something is, without a copy of it, in the artifact's metadata."""
        self.metadata.setdefault("references", {})[name or uri.rpartition("/")[2]] = str(uri)

    def wait(self, timeout: int | None = None) -> Artifact:
        """Return at once: a courier delivers it."""
        return self

    @property
    def files_at(self) -> Path:
        """The directory that holds the artifact's files."""
        return self._root

    def record(self, run: Run, aliases: Any = None) -> None:
        """Keep the files in the run. Raises TouchlineError when there is none, or they cannot be copied."""
        if aliases and set(aliases) - {"latest"}:
            tell("aliases", f"The aliases of the artifact {self.name} are recorded in its metadata. {_REGISTRY}")
        about = {"type": self.type, "description": self.description, "aliases": list(aliases or ()), **self.metadata}
        if self.metadata or self.description or aliases:
            self._place("metadata.json").write_text(json.dumps(about, indent=1, default=str), encoding="utf-8")
        if not any(self._root.iterdir()):
            raise UsageError(f"The artifact {self.name} has no files. Add some with add_file() before it is logged.")
        run.log_artifact(self._root, self.name)

    def _copy(self, source: Path, name: str) -> None:
        try:
            target = self._place(name)
            if source.is_dir():
                check_links(source)
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copyfile(source, target)
        except (OSError, shutil.Error) as error:
            raise TouchlineError(
                f"{source} could not be copied into the artifact {self.name} ({error}). Check the disk's space."
            ) from error

    def _place(self, name: str) -> Path:
        target = (self._root / name).resolve()
        if not target.is_relative_to(self._root.resolve()):
            raise UsageError(f"The name {name!r} leads out of the artifact {self.name}. Use one without '..'.")
        target.parent.mkdir(parents=True, exist_ok=True)
        return target
