"""Files that ``wandb.save`` names, and those in ``wandb.run.dir``, which are recorded when the run ends."""

from __future__ import annotations

import glob
from pathlib import Path

from touchline.errors import UsageError
from touchline.filesystem import make_private
from touchline.tracking.run import Run

POLICIES = ("live", "now", "end")


class SavedFiles:
    """Remembers what is to be recorded at the end."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._at_end: dict[Path, str] = {}
        self._recorded: dict[Path, tuple[int, int]] = {}

    @property
    def directory(self) -> Path:
        """The run's own directory for files, created when it is asked for."""
        directory = self._run.directory / "files"
        return make_private(directory)

    def add(self, pattern: str, base: str | Path | None, policy: str) -> list[str]:
        """Record the files that match now, at the end, or both when they changed. Raises UsageError on a policy."""
        if policy not in POLICIES:
            raise UsageError(f"A policy of wandb.save is one of {', '.join(POLICIES)}, and this is {policy!r}.")
        matches = glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob refuses absolute patterns
        found = [Path(path) for path in sorted(matches) if Path(path).is_file()]
        for path in found:
            name = _name_of(path, base)
            if policy != "now":
                self._at_end[path.absolute()] = name
            if policy != "end":
                self._record(path.absolute(), name)
        return [str(path) for path in found]

    def close(self) -> None:
        """Record what waits for the end and is new or changed."""
        folder = self._run.directory / "files"
        inside = {path: str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()}
        for path, name in {**self._at_end, **inside}.items():
            if path.is_file():
                self._record(path, name)

    def _record(self, path: Path, name: str) -> None:
        stat = path.stat()
        signature = (stat.st_mtime_ns, stat.st_size)
        if self._recorded.get(path) != signature:
            self._run.log_artifact(path, name)
            self._recorded[path] = signature


def _name_of(path: Path, base: str | Path | None) -> str:
    """The file's name in the run: below ``base``, else as it was written when that was relative, else its own."""
    if base is not None and path.absolute().is_relative_to(Path(base).absolute()):
        return str(path.absolute().relative_to(Path(base).absolute()))
    return path.name if path.is_absolute() or ".." in path.parts else str(path)
