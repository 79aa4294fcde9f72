"""TensorBoard's ``SummaryWriter``, which records into a run of both tracks; for scripts in the style of CleanRL.

    from touchline.compat.tensorboard import SummaryWriter   # was: torch.utils.tensorboard, or tensorboardX

No call waits for a disk or a network, and none raises in a training loop: what cannot be recorded is told once.
"""

from __future__ import annotations

import functools
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from touchline.compat.endings import end
from touchline.compat.pictures import is_figure, pixels, to_array, to_uint8
from touchline.compat.steps import FreeSteps
from touchline.compat.told import tell
from touchline.tracking.events import slug
from touchline.tracking.run import Run
from touchline.tracking.start import start_run

_PARAMETER = re.compile(r"^\|([^|\n]+)\|(.*)\|\s*$", re.MULTILINE)
_Method = Callable[..., None]


def _careful(method: _Method) -> _Method:
    """Record, or tell once why it cannot be."""

    @functools.wraps(method)
    def record(self: SummaryWriter, tag: Any, *arguments: Any, **named: Any) -> None:
        if named.pop("walltime", None) is not None:
            tell("tensorboard walltime", "A run keeps the time of a call itself; walltime= has no effect.")
        try:
            method(self, tag, *arguments, **named)
        except Exception as error:
            tell(
                f"tensorboard {method.__name__} {type(error).__name__}",
                f"SummaryWriter.{method.__name__}({str(tag)[:60]!r}, …) recorded nothing ({error}). "
                "The training goes on.",
            )

    return record


class SummaryWriter:
    """The calls of ``torch.utils.tensorboard.SummaryWriter`` and of ``tensorboardX``, as far as a run has the like.

    A tag that has a value at a step, or at a later one, gets the next free step: a run keeps one value for each
    metric and step. ``run`` is the Touchline run.
    """

    def __init__(self, log_dir: str | Path | None = None, comment: str = "", *_: Any, **__: Any) -> None:
        """Open a run named after the last part of ``log_dir``, which is made, for scripts put files there.

        What steers event files (``purge_step``, ``max_queue``, ``flush_secs``, ``filename_suffix``) has no effect.
        Raises what ``start_run`` raises.
        """
        self.log_dir = self.logdir = str(log_dir or f"runs/{time.strftime('%b%d_%H-%M-%S')}{comment}")
        Path(self.log_dir).mkdir(parents=True, exist_ok=True)
        name = Path(self.log_dir).name
        self.run: Run = start_run(slug(name.partition("__")[0]), name=name)
        self._steps = FreeSteps()

    @_careful
    def add_scalar(self, tag: str, scalar_value: Any, global_step: Any = None, *_: Any, **__: Any) -> None:
        """Record a number of Python, NumPy, torch or JAX."""
        self.run.log({tag: scalar_value}, self._step(tag, global_step))

    @_careful
    def add_scalars(self, main_tag: str, tag_scalar_dict: Mapping[str, Any], global_step: Any = None) -> None:
        """Record numbers as ``main_tag/name``."""
        for name, value in tag_scalar_dict.items():
            self.run.log({f"{main_tag}/{name}": value}, self._step(f"{main_tag}/{name}", global_step))

    @_careful
    def add_text(self, tag: str, text_string: str, global_step: Any = None) -> None:
        """Record a text as a result of the run, the last one stays; a table ``|name|value|`` as parameters."""
        rows = [(name.strip(), value.strip()) for name, value in _PARAMETER.findall(text_string)]
        if len(rows) > 2 and set(rows[1][0]) <= set("-: "):
            self.run.log_params(dict(rows[2:]))
        else:
            self.run.set_summary({tag: text_string})

    @_careful
    def add_hparams(
        self,
        hparam_dict: Mapping[str, Any],
        metric_dict: Mapping[str, Any],
        *_: Any,
        global_step: Any = None,
        **__: Any,
    ) -> None:
        """Record parameters, and metrics as results of the run."""
        self.run.log_params(hparam_dict)
        self.run.set_summary(metric_dict)

    @_careful
    def add_histogram(self, tag: str, values: Any, global_step: Any = None, *_: Any, **__: Any) -> None:
        """Record how values of any shape are distributed; a run has bins of its own."""
        self.run.log_histogram(tag, values, self._step(tag, global_step))

    @_careful
    def add_image(self, tag: str, img_tensor: Any, global_step: Any = None, *, dataformats: str = "CHW") -> None:
        """Record an image whose axes are ``dataformats``."""
        self.run.log_image(pixels(_ordered(img_tensor, dataformats, "HWC")), tag, self._step(tag, global_step))

    @_careful
    def add_images(self, tag: str, img_tensor: Any, global_step: Any = None, *, dataformats: str = "NCHW") -> None:
        """Record images as ``tag/0``, ``tag/1``, …"""
        for place, image in enumerate(_ordered(img_tensor, dataformats, "NHWC")):
            name = f"{tag}/{place}"
            self.run.log_image(pixels(image), name, self._step(name, global_step))

    @_careful
    def add_figure(self, tag: str, figure: Any, global_step: Any = None, close: bool = True) -> None:
        """Record a figure of Matplotlib, or several as ``tag/0``, …, and close them."""
        figures = [figure] if is_figure(figure) else list(figure)
        for place, one in enumerate(figures):
            name = tag if len(figures) == 1 else f"{tag}/{place}"
            self.run.log_image(pixels(one), name, self._step(name, global_step))
            if close and "matplotlib.pyplot" in sys.modules:
                sys.modules["matplotlib.pyplot"].close(one)

    @_careful
    def add_video(self, tag: str, vid_tensor: Any, global_step: Any = None, fps: float = 4) -> None:
        """Record videos (N, T, C, H, W), tiled."""
        videos = to_uint8(to_array(vid_tensor)).transpose(0, 1, 3, 4, 2)
        self.run.log_video(list(videos), tag, self._step(tag, global_step), fps=float(fps))

    def flush(self) -> None:
        """Do nothing: a run is on disk within 50 ms."""

    def get_logdir(self) -> str:
        """The directory that the script named; a run's own is ``run.directory``."""
        return self.log_dir

    def close(self) -> None:
        """End the run, truly: as failed where an exception is on its way."""
        self._close(sys.exc_info()[1])

    def _close(self, error: BaseException | None) -> None:
        if not self.run._ended:
            end(self.run, error)

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(error)

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("add_"):
            raise AttributeError(f"SummaryWriter has no attribute {name!r}.")
        tell(f"tensorboard {name}", f"SummaryWriter.{name} has no like in a run, and records nothing.")
        return lambda *_, **__: None

    def _step(self, tag: str, step: Any) -> int:
        return self._steps.take(tag, 0 if step is None else int(step))


def _ordered(picture: Any, axes: str, wanted: str) -> np.ndarray:
    """A picture with its axes in the wanted order, without those that it lacks."""
    return to_array(picture).transpose([axes.upper().index(axis) for axis in wanted if axis in axes.upper()])
