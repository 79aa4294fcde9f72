"""Files of a run in MLflow: named as its pages want them, each uploaded once although an upload was interrupted."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import tempfile
import urllib.parse
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from touchline.tracking.journal import Event
from touchline.tracking.media import check_path

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

STEPPED_FOLDERS = ("images", "videos", "histograms", "tables")
_LONGEST_STEM = 120
_PREVIEW_PIXELS = 256


def stem(name: str) -> str:
    """Turn a name into a part of a file name: "/" becomes "~", and two names never become one.

    MLflow's pages turn "~" back into "/".
    """
    text = re.sub(r"[^A-Za-z0-9_.~ -]", "_", name.replace("/", "~"))
    if text.replace("~", "/") == name and len(text) <= _LONGEST_STEM and text.strip(". "):
        return text
    return f"{text[:_LONGEST_STEM]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


class Uploads:
    """Uploads the files of events one by one; after an interruption it goes on with the file that was not noted."""

    def __init__(self, client: MlflowClient, run_id: str, note: Path, tried: int) -> None:
        """``note`` is a file of ours; ``tried``: events up to this sequence number may be there in part."""
        self._client = client
        self._run_id = run_id
        self._note = note
        self._tried = tried

    def put(self, seq: int, files: Mapping[str, Path]) -> None:
        """Upload ``files``, by their path in the run's artifacts. Raises what MLflow raises."""
        arrived = self._arrived(seq, files) if seq <= self._tried else set()
        for target, path in files.items():
            if target not in arrived:
                self._upload(path, target)
                with self._note.open("a", encoding="utf-8") as note:
                    note.write(json.dumps([seq, target]) + "\n")

    def forget(self) -> None:
        """Drop the notes: the run is known to have all that was uploaded so far."""
        self._note.unlink(missing_ok=True)

    def sizes(self, folder: str) -> dict[str, int]:
        """Sizes in bytes of the files that the far side has in a folder, by path."""
        listed = self._client.list_artifacts(self._run_id, folder or None)
        return {item.path: int(item.file_size or 0) for item in listed if not item.is_dir}

    def _arrived(self, seq: int, files: Mapping[str, Path]) -> set[str]:
        """What was noted as uploaded for this event, and is there with the same size."""
        noted = set()
        with contextlib.suppress(FileNotFoundError):
            for line in self._note.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):  # the last line of a courier that was killed
                    number, target = json.loads(line)
                    if number == seq and target in files:
                        noted.add(target)
        there: dict[str, int] = {}
        for folder in {_folder(target) for target in noted}:
            there.update(self.sizes(folder))
        return {target for target in noted if there.get(target) == files[target].stat().st_size}

    def _upload(self, path: Path, target: str) -> None:
        if path.stat().st_nlink > 1 and self._link(path, target):
            return
        name = PurePosixPath(target).name
        with contextlib.ExitStack() as stack:
            if path.name != name:  # MLflow gives an artifact the name of the file
                place = stack.enter_context(tempfile.TemporaryDirectory(prefix="touchline-"))
                renamed = Path(place) / name
                renamed.symlink_to(path.absolute())
                path = renamed
            self._client.log_artifact(self._run_id, str(path), _folder(target) or None)

    def _link(self, path: Path, target: str) -> bool:
        """Link a file that never changes, as those of checkpoints, into a store on the same disk."""
        uri = urllib.parse.urlsplit(self._client.get_run(self._run_id).info.artifact_uri)
        if uri.scheme not in ("", "file") or uri.netloc:
            return False
        place = Path(urllib.parse.unquote(uri.path), target)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)  # of an upload that was interrupted
            place.hardlink_to(path)
        except OSError:
            return False
        return True


def _folder(target: str) -> str:
    folder = str(PurePosixPath(target).parent)
    return "" if folder == "." else folder


def files_of(path: Path, target: str) -> dict[str, Path]:
    """The files of a kept copy, one or a whole directory, by their path in the run's artifacts.

    Raises UsageError on a target that leads out of these.
    """
    check_path(target)
    if path.is_dir():
        found = (file for file in sorted(path.rglob("*")) if file.is_file())
        return {str(PurePosixPath(target) / file.relative_to(path).as_posix()): file for file in found}
    if not path.exists():
        raise FileNotFoundError(f"the kept copy {path} is gone")
    return {target: path}


@contextlib.contextmanager
def stepped_files(run_id: str, event: Event, path: Path | None) -> Iterator[dict[str, Path]]:
    """The files of a video, image, histogram or table event, for as long as the context lasts.

    ``path`` is the kept copy, where the event has one.
    """
    name, step = stem(str(event.payload["name"])), event.step or 0
    if event.kind == "video":
        assert path is not None
        yield files_of(path, f"videos/{name}-{step}{path.suffix}")
        return
    with tempfile.TemporaryDirectory(prefix="touchline-") as place:
        if event.kind == "image":
            assert path is not None
            yield _image(run_id, event, path, Path(place))
        else:
            file = Path(place) / f"{name}-{step}.json"
            file.write_text(json.dumps(_document(event)), encoding="utf-8")
            yield {f"{event.kind}s/{file.name}": file}


def _document(event: Event) -> dict[str, Any]:
    payload = event.payload
    if event.kind == "table":  # the form of mlflow.log_table, which its pages show as a table
        return {"columns": payload["columns"], "data": payload["rows"]}
    return {"step": event.step, **payload}


def _image(run_id: str, event: Event, path: Path, place: Path) -> dict[str, Path]:
    """An image under the names by which MLflow's charts find key and step, with the preview that they show first."""
    files_of(path, path.name)
    key = uuid.uuid5(uuid.NAMESPACE_URL, f"{run_id}/{event.seq}")
    base = (
        f"images/{stem(str(event.payload['name']))}+step+{event.step or 0}+timestamp+{int(event.time * 1000)}+{key}"
    )
    try:
        from PIL import Image

        with Image.open(path) as image:
            if path.suffix != ".png":
                image.save(place / "image.png")
                path = place / "image.png"
            image.thumbnail((_PREVIEW_PIXELS, _PREVIEW_PIXELS))
            image.save(place / "preview.webp")
    except (ImportError, OSError, ValueError):
        return {f"{base}{path.suffix}": path}
    return {f"{base}.png": path, f"{base}+compressed.webp": place / "preview.webp"}


def newest_steps(paths: Iterator[str]) -> dict[str, int]:
    """Newest step of each name among the paths of videos, images, histograms and tables."""
    steps: dict[str, int] = {}
    for path in paths:
        found = re.match(r"(.+)\+step\+(-?\d+)\+|(.+)-(\d+)\.\w+$", PurePosixPath(path).name)
        if found:
            name = (found[1] or found[3]).replace("~", "/")
            steps[name] = max(int(found[2] or found[4]), steps.get(name, 0))
    return steps
