"""What each kind of event looks like in TensorBoard, in its own protocol buffers, without TensorFlow or torch."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchline.tracking.decisions import headline_of_decision
from touchline.tracking.journal import Event
from touchline.tracking.media import kept

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

GIF_PIXELS = 320
GIF_FPS = 10
GIF_SECONDS = 20
_ENCODE_SECONDS = 60.0
_LONGEST_CELL = 500


def summary_of(event: Event, directory: Path) -> Summary | None:
    """The summary that shows an event; None for what TensorBoard has no place for.

    ``directory`` is the run's. Raises OSError or ValueError when a file of the event cannot be used.
    """
    make = {
        "metrics": _scalars,
        "params": lambda event: text(f"params/{event.seq}", table(("parameter", "value"), event.payload.items())),
        "tags": lambda event: text("tags", table(("tag", "value"), event.payload.items())),
        "summary": lambda event: text("summary", table(("result", "value"), event.payload.items())),
        "alert": _alert,
        "decision": lambda event: text("decisions", headline_of_decision(event.payload)),
        "milestone": _milestone,
        "histogram": _histogram,
        "table": lambda event: text(
            f"table/{event.payload['name']}", table(event.payload["columns"], event.payload["rows"])
        ),
        "image": lambda event: _image(event, kept(directory, event.payload["path"])),
        "video": lambda event: _image(event, animation(kept(directory, event.payload["path"]))),
    }.get(event.kind)
    return make(event) if make is not None else None


def text(tag: str, markdown: str) -> Summary:
    """A text of the text plugin."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.plugins.text.metadata import create_summary_metadata

    tensor = TensorProto(dtype=DT_STRING, string_val=[markdown.encode()])
    metadata = create_summary_metadata(display_name=None, description=None)
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def hparams_start(params: Mapping[str, Any], name: str, moment: float) -> Summary:
    """What the HParams page needs to show the run's parameters; ``moment`` in seconds since the epoch."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import SessionStartInfo

    info: Any = SessionStartInfo(group_name=name, start_time_secs=moment)
    for key, value in params.items():
        if isinstance(value, bool):
            info.hparams[key].bool_value = value
        elif isinstance(value, int | float):
            info.hparams[key].number_value = value
        else:
            info.hparams[key].string_value = str(value)
    return _hparams("_hparams_/session_start_info", session_start_info=info)


def hparams_end(status: str, moment: float) -> Summary:
    """How the run ended, for the HParams page."""
    from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
    from tensorboard.plugins.hparams.plugin_data_pb2 import SessionEndInfo

    info = SessionEndInfo(
        status=STATUS_SUCCESS if status in ("finished", "pruned") else STATUS_FAILURE, end_time_secs=moment
    )
    return _hparams("_hparams_/session_end_info", session_end_info=info)


def animation(video: Path) -> Path:
    """A small animated GIF of a video, made once and kept beside it; a GIF is taken as it is.

    Raises OSError when there is no encoder or it fails.
    """
    if video.suffix == ".gif":
        return video
    target = video.with_suffix(".small.gif")
    if target.exists():
        return target
    if not video.exists():
        raise FileNotFoundError(f"the kept copy {video} is gone")
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError as error:
        raise OSError(
            "a video needs imageio-ffmpeg to be shown; install it with: pip install imageio-ffmpeg"
        ) from error
    partial = target.with_suffix(".partial.gif")
    size = f"fps={GIF_FPS},scale='min({GIF_PIXELS},iw)':-2:flags=bilinear"
    colours = "split[a][b];[a]palettegen=max_colors=64[p];[b][p]paletteuse=dither=none"
    command = [get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y", "-t", str(GIF_SECONDS), "-i", str(video)]
    command += ["-filter_complex", f"{size},{colours}", "-loop", "0", str(partial)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_ENCODE_SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        words = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        raise OSError(f"{video.name} could not be made an animation ({words[-1] if words else error})") from error
    partial.replace(target)
    return target


def _scalars(event: Event) -> Summary | None:
    from tensorboard.compat.proto.summary_pb2 import Summary

    values = event.metrics
    if not values:
        return None
    return Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])


def _alert(event: Event) -> Summary:
    return text("alerts", f"**{event.payload['level']}: {event.payload['title']}** {event.payload['text']}")


def _milestone(event: Event) -> Summary:
    payload = event.payload
    aliases = ", ".join(payload["aliases"])
    return text("milestones", f"**{payload['name']}** version {payload['version']}, {aliases}, {payload['digest']}")


def _histogram(event: Event) -> Summary:
    import numpy as np
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.histogram.metadata import create_summary_metadata
    from tensorboard.util.tensor_util import make_tensor_proto

    edges, counts = event.payload["edges"], event.payload["counts"]
    buckets = np.array(
        [(left, right, count) for left, right, count in zip(edges, edges[1:], counts, strict=False)], np.float64
    ).reshape(-1, 3)
    metadata = create_summary_metadata(display_name=None, description=None)
    tensor = make_tensor_proto(buckets)
    return Summary(value=[Summary.Value(tag=event.payload["name"], metadata=metadata, tensor=tensor)])


def _image(event: Event, path: Path) -> Summary:
    from tensorboard.compat.proto.summary_pb2 import Summary

    data = path.read_bytes()
    width, height = _size(path)
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=data)
    return Summary(value=[Summary.Value(tag=event.payload["name"], image=image)])


def _size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, 0 where they cannot be told; a GIF has them at a fixed place."""
    head = path.open("rb").read(10)
    if head[:3] == b"GIF":
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    with contextlib.suppress(ImportError, OSError, ValueError):
        from PIL import Image

        with Image.open(path) as image:
            return int(image.width), int(image.height)
    return 0, 0


def _hparams(tag: str, **content: Any) -> Summary:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.metadata import NULL_TENSOR, create_summary_metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    metadata = create_summary_metadata(HParamsPluginData(**content))
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=NULL_TENSOR)])


def _cell(value: Any) -> str:
    return str(value)[:_LONGEST_CELL].replace("|", "\\|").replace("\n", " ")
