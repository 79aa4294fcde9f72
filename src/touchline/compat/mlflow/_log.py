"""The ``log_*`` calls of MLflow's interface; with no active run each begins one, as MLflow does it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from touchline.compat.mlflow._start import current
from touchline.compat.pictures import is_figure, pixels
from touchline.compat.told import tell
from touchline.errors import TouchlineError, UsageError
from touchline.tracking.media import check_links, check_path


def log_param(key: str, value: Any, synchronous: bool | None = None) -> Any:
    """Record one parameter and return it; one that has another value already keeps it."""
    current().log_params({key: value})
    return value


def log_params(params: Mapping[str, Any], synchronous: bool | None = None, run_id: str | None = None) -> None:
    """Record parameters; one that has another value already keeps it."""
    current(run_id).log_params(params)


def log_metric(
    key: str,
    value: Any,
    step: int | None = None,
    synchronous: bool | None = None,
    timestamp: int | None = None,
    run_id: str | None = None,
    model_id: str | None = None,
    dataset: Any = None,
) -> None:
    """Record a number at ``step``. Without one it goes to the next free step of its metric: 0, 1, 2, …

    MLflow would put all of them at step 0. Times are the journal's own. Never waits for a device or a network.
    """
    log_metrics({key: value}, step, synchronous, run_id, timestamp, model_id, dataset)


def log_metrics(
    metrics: Mapping[str, Any],
    step: int | None = None,
    synchronous: bool | None = None,
    run_id: str | None = None,
    timestamp: int | None = None,
    model_id: str | None = None,
    dataset: Any = None,
) -> None:
    """Record numbers at ``step``, see ``log_metric``."""
    if timestamp is not None:
        tell("timestamp", "mlflow.log_metric: timestamp has no effect; the journal keeps the time of the call.")
    if model_id is not None or dataset is not None:
        tell("model_id", "mlflow.log_metric: model_id and dataset have no effect; the metric belongs to the run.")
    current(run_id).log_metrics(metrics, step)


def set_tag(key: str, value: Any, synchronous: bool | None = None) -> None:
    """Record a tag; a later value replaces an earlier one."""
    current().set_tags({key: value})


def set_tags(tags: Mapping[str, Any], synchronous: bool | None = None) -> None:
    """Record tags; later values replace earlier ones."""
    current().set_tags(tags)


def log_artifact(local_path: str | Path, artifact_path: str | None = None, run_id: str | None = None) -> None:
    """Keep a copy of a file or a directory and deliver it below ``artifact_path``.

    Raises TouchlineError when it cannot be copied.
    """
    path = Path(local_path)
    current(run_id).touchline.log_artifact(path, _below(artifact_path, path.absolute().name))


def log_artifacts(local_dir: str | Path, artifact_path: str | None = None, run_id: str | None = None) -> None:
    """Keep a copy of what is in a directory and deliver it below ``artifact_path``.

    Raises TouchlineError when it is no directory, a symbolic link in it leads out of it, or it cannot be copied.
    """
    run, folder = current(run_id).touchline, Path(local_dir)
    if not folder.is_dir():
        raise UsageError(f"mlflow.log_artifacts takes a directory, and {folder} is none. Use mlflow.log_artifact.")
    if artifact_path:
        run.log_artifact(folder, artifact_path)
        return
    entries = sorted(folder.iterdir())
    for each in (folder, *entries):  # each is copied by itself, so a link from one to another leads out too
        check_links(each)
    for entry in entries:
        run.log_artifact(entry, entry.name)


def log_text(text: str, artifact_file: str, run_id: str | None = None) -> None:
    """Keep a text as a file and deliver it."""
    with _file(artifact_file, run_id) as path:
        path.write_text(str(text), encoding="utf-8")


def log_dict(dictionary: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Keep a mapping or a list as a YAML file where the name says so, else as JSON, and deliver it."""
    with _file(artifact_file, run_id) as path:
        if path.suffix in (".yml", ".yaml"):
            try:
                import yaml
            except ImportError as error:
                raise TouchlineError("Writing YAML needs PyYAML: pip install pyyaml") from error
            path.write_text(yaml.safe_dump(dictionary, sort_keys=False), encoding="utf-8")
        else:
            path.write_text(json.dumps(dictionary, indent=2, default=str), encoding="utf-8")


def log_stream(stream: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Keep what a binary stream holds as a file and deliver it."""
    with _file(artifact_file, run_id) as path:
        path.write_bytes(stream.read())


def log_figure(figure: Any, artifact_file: str, *, save_kwargs: Mapping[str, Any] | None = None) -> None:
    """Keep a Matplotlib figure as a picture, or a Plotly figure as a page, and deliver it.

    Raises UsageError on another figure.
    """
    with _file(artifact_file, None) as path:
        if is_figure(figure):
            figure.savefig(path, **(save_kwargs or {}))
        elif hasattr(figure, "write_html") and path.suffix == ".html":
            figure.write_html(path, **(save_kwargs or {}))
        elif hasattr(figure, "write_image"):
            figure.write_image(path, **(save_kwargs or {}))
        else:
            raise UsageError(f"mlflow.log_figure takes a Matplotlib or Plotly figure, and this is {figure!r}.")


def log_image(
    image: Any,
    artifact_file: str | None = None,
    key: str | None = None,
    step: int | None = None,
    timestamp: int | None = None,
    synchronous: bool | None = None,
) -> None:
    """Record a picture: as a file of the run, or with ``key`` as one that changes over ``step``.

    An array (H, W) or (H, W, C), a torch tensor (C, H, W) or a Pillow image; floats within 0..1 are stretched.
    Raises UsageError on another shape, or when both or neither of ``artifact_file`` and ``key`` are given.
    """
    if (artifact_file is None) == (key is None):
        raise UsageError("mlflow.log_image takes either artifact_file, or key with a step.")
    if key is not None:
        current().touchline.log_image(pixels(image), key, step=step)
        return
    try:
        from PIL import Image
    except ImportError as error:
        raise TouchlineError("Writing images needs Pillow; install it with: pip install pillow") from error
    with _file(str(artifact_file), None) as path:
        Image.fromarray(pixels(image)).save(path)


def log_table(data: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Record a table: a mapping of columns, or a data frame. Rows for the same file are added to it.

    Raises UsageError when its columns differ in length, or above 10,000 rows.
    """
    columns = [str(name) for name in data]
    cells = [list(data[name]) if _is_column(data[name]) else [data[name]] for name in data]
    lengths = {len(column) for column in cells}
    if len(lengths) > 1:
        raise UsageError(f"The columns of {artifact_file!r} have different lengths: {sorted(lengths)}.")
    rows = [list(row) for row in zip(*cells, strict=True)]
    current(run_id).log_table(str(Path(artifact_file).with_suffix("")), columns, rows)


def log_input(
    dataset: Any = None, context: str | None = None, tags: Mapping[str, str] | None = None, model: Any = None
) -> None:
    """Record a dataset (an object with ``name``, ``digest`` and ``source``, as ``mlflow.data`` makes) or a model."""
    run = current().touchline
    if dataset is not None:
        source = getattr(dataset, "source", "")
        source = getattr(source, "uri", None) or getattr(source, "path", None) or source
        digest = str(getattr(dataset, "digest", ""))
        name = str(getattr(dataset, "name", dataset))
        run.log_dataset(name, digest=digest, source=str(source), context=context or "training")
    if model is not None:
        run.log_input(str(getattr(model, "model_id", model)), context or "model")


def log_inputs(datasets: Any = None, contexts: Any = None, tags_list: Any = None, models: Any = None) -> None:
    """Record several datasets and models, see ``log_input``."""
    datasets = list(datasets or ())
    for dataset, context in zip(datasets, list(contexts or [None] * len(datasets)), strict=True):
        log_input(dataset, context)
    for model in models or ():
        log_input(model=model)


@contextmanager
def _file(artifact_file: str, run_id: str | None) -> Iterator[Path]:
    """A path to write to; what is there afterwards becomes the artifact ``artifact_file``."""
    run = current(run_id).touchline
    check_path(artifact_file)
    with tempfile.TemporaryDirectory(prefix="touchline-") as folder:
        path = Path(folder) / Path(artifact_file).name
        yield path
        run.log_artifact(path, artifact_file)


def _below(folder: str | None, name: str) -> str:
    return f"{folder.strip('/')}/{name}" if folder and folder.strip("/") else name


def _is_column(values: Any) -> bool:
    return hasattr(values, "__len__") and not isinstance(values, str | bytes | Mapping)
