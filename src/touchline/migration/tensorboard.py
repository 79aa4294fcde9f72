"""Runs of TensorBoard: a directory with event files is one, as TensorBoard itself groups them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from touchline.errors import UsageError
from touchline.migration import source
from touchline.migration.files import Files, OtherValues
from touchline.migration.source import About, Ending, Findings
from touchline.migration.tensorboard_file import load, unread
from touchline.migration.tensorboard_restarts import Restarts, Watch

_PATTERN = "*tfevents*"
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif"}
_STEPPED = {"scalars": "values", "images": "images", "histograms": "histograms", "text": "texts"}
_HPARAMS = "_hparams_/session_start_info"
_HPARAMS_OTHER = ("_hparams_/experiment", "_hparams_/session_end_info")


def find_runs(place: Path) -> list[TensorboardRun]:
    """The runs below a directory, each with its path below it as name. Raises UsageError where there is none."""
    files = sorted(path for path in place.rglob(_PATTERN) if path.is_file())
    folders: dict[Path, list[Path]] = {}
    for file in files:
        folders.setdefault(file.parent, []).append(file)
    if not folders:
        raise UsageError(
            f"There are no event files in {place}. Name the directory that tensorboard --logdir shows; the names of "
            "its files hold tfevents."
        )
    return [TensorboardRun(place, paths) for paths in folders.values()]


class TensorboardRun:
    """The event files of one directory."""

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        """``files`` are all of one directory, at or below ``root``."""
        self.findings = Findings()
        self._files = files
        root = root.resolve()
        relative = files[0].parent.resolve().relative_to(root)
        self._name = relative.as_posix() if relative.parts else root.name
        self._project = root.name
        self._about: About | None = None
        self._last_time = 0.0

    def about(self) -> About:
        """The time of its first event; the name of its first file, which has a time and a process, identifies it."""
        if self._about is None:
            first = next((event.wall_time for file in self._files for event in load(file)), None)
            self._about = About(
                track="tensorboard",
                identity=f"{self._files[0].parent.name}/{self._files[0].name}",
                name=self._name,
                project=self._project,
                started=self._files[0].stat().st_mtime if first is None else first,
                place=str(self._files[0].parent.resolve()),
            )
        return self._about

    def events(self, directory: Path | None) -> Iterator[source.Row]:
        """Yield the events of all files, one after the other."""
        about = self.about()
        self.findings.counts.clear()
        self.findings.omissions.clear()
        self._last_time = about.started
        files, texts = Files(directory), OtherValues()
        restarts, watch = Restarts(self._files), Watch()
        for file in self._files:
            records = 0
            for event in load(file):
                records += not event.HasField("graph_def")  # of which the reader makes a second event
                self._last_time = max(self._last_time, event.wall_time)
                watch.take(event)
                for value in event.summary.value:
                    restart = restarts.superseding(value.tag, event.step, watch.seen)
                    if restart is not None and self._tell_superseded(value, restart):
                        continue
                    yield from self._value(value, event.step, event.wall_time, files, texts)
                if event.HasField("graph_def") or event.HasField("meta_graph_def"):
                    self.findings.omit("graph", "a run has nothing like it; it stays in the event file")
            if lost := unread(file, records):
                self.findings.omit(f"a part of {file.name}", lost)
        if texts.count:
            self.findings.counts[source.OTHER_VALUES] += texts.count
            self.findings.counts[source.FILES] += 1
            yield "artifact", None, self._last_time, texts.payload(files, source.OTHER_VALUES_FILE)

    def ending(self) -> Ending:
        """Event files do not say how a run ended: what was written is taken for all there is."""
        return Ending("finished", self._last_time, "TensorBoard does not tell how a run ended.")

    def _tell_superseded(self, value: Any, restart: int) -> bool:
        """False for what has no place among the steps, such as parameters, or is left out anyway."""
        kind = _STEPPED.get(value.metadata.plugin_data.plugin_name)
        if kind is not None:
            reason = f"the run went on from step {restart:,} again, which superseded what it had there and after it"
            self.findings.omit(f"{kind} of an earlier attempt", reason)
        return kind is not None

    def _value(self, value: Any, step: int, time: float, files: Files, texts: OtherValues) -> Iterator[source.Row]:
        plugin = value.metadata.plugin_data.plugin_name
        if plugin == "hparams":
            yield from self._hparams(value, time)
            return
        take: dict[str, Callable[..., Iterator[source.Row]]] = {
            "scalars": self._scalar,
            "images": self._image,
            "histograms": self._histogram,
            "text": self._text,
        }
        if plugin not in take:
            self.findings.omit(f"{plugin or 'a value'} {value.tag}", "a run has nothing like it")
            return
        yield from take[plugin](value, _array(value), step, time, files, texts)

    def _scalar(self, value: Any, array: Any, step: int, time: float, *_: Any) -> Iterator[source.Row]:
        self.findings.counts[source.VALUES] += 1
        yield "metrics", step, time, {value.tag: float(array.item())}

    def _image(
        self, value: Any, array: Any, step: int, time: float, files: Files, _: OtherValues
    ) -> Iterator[source.Row]:
        encoded = array.ravel().tolist()[2:]  # after width and height
        for place, data in enumerate(encoded):
            name = value.tag if len(encoded) == 1 else f"{value.tag}/{place}"
            suffix = next((suffix for magic, suffix in _SUFFIXES.items() if data.startswith(magic)), ".png")
            kind = "video" if suffix == ".gif" else "image"
            self.findings.counts[source.VIDEOS if kind == "video" else source.IMAGES] += 1
            yield kind, step, time, files.encoded(kind, data, suffix, name, step)

    def _histogram(self, value: Any, array: Any, step: int, time: float, *_: Any) -> Iterator[source.Row]:
        self.findings.counts[source.HISTOGRAMS] += 1
        buckets = array.reshape(-1, 3).tolist()
        edges = [left for left, _, _ in buckets] + [right for _, right, _ in buckets[-1:]]
        counts = [number for _, _, number in buckets]
        yield "histogram", step, time, {"name": value.tag, "edges": edges, "counts": counts, "non_finite": 0}

    def _text(
        self, value: Any, array: Any, step: int, time: float, _: Files, texts: OtherValues
    ) -> Iterator[source.Row]:
        for data in array.ravel().tolist():
            texts.add(
                value.tag, step, time, data.decode(errors="backslashreplace") if isinstance(data, bytes) else data
            )
        yield from ()

    def _hparams(self, value: Any, time: float) -> Iterator[source.Row]:
        from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

        if value.tag != _HPARAMS:
            if value.tag not in _HPARAMS_OTHER:
                self.findings.omit(f"hparams {value.tag}", "it is of a kind that is not known")
            return
        info = parse_session_start_info_plugin_data(value.metadata.plugin_data.content)
        params = {name: getattr(item, str(item.WhichOneof("kind"))) for name, item in info.hparams.items()}
        self.findings.counts[source.PARAMS] += len(params)
        yield "params", None, time, params


def _array(value: Any) -> Any:
    from tensorboard.util.tensor_util import make_ndarray

    return make_ndarray(value.tensor)
